import type { FileId, Lsn } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import '../test/table-fixtures.ts';
import { planCompaction } from './plan-compaction.ts';
import type { TableInfo } from './table-info.ts';

const MIB = 1024 * 1024;

function tableOf(bytes: number, id = 1): TableInfo {
  const key = Buffer.alloc(0);
  return {
    fileId: id as FileId,
    bytes,
    rows: 1,
    tombstones: 0,
    firstKey: key,
    lastKey: key,
    firstLsn: 1 as Lsn,
    lastLsn: 1 as Lsn,
    digest: Buffer.alloc(32),
  };
}

/** Newest first, sizes in MiB. */
function plan(
  ...sizes: number[]
): { from: number; to: number; dropTombstones: boolean } | undefined {
  const found = planCompaction(
    sizes.map((size) => tableOf(size * MIB)),
    4,
  );
  return found && { from: found.from, to: found.to, dropTombstones: found.dropTombstones };
}

describe('planning compaction', () => {
  test('four tables of the smallest tier are merged, three are not', () => {
    expect(plan(1, 1, 1)).toBeUndefined();
    expect(plan(0.1, 1, 0.5, 1)).toEqual({ from: 0, to: 4, dropTombstones: true });
  });

  test('older, larger tables are left alone, and then tombstones stay', () => {
    expect(plan(1, 1, 1, 1, 4, 16)).toEqual({ from: 0, to: 4, dropTombstones: false });
    expect(plan(1, 4, 4, 4, 4, 64)).toEqual({ from: 0, to: 5, dropTombstones: false });
    expect(plan(1, 2, 3, 4, 16, 64)).toBeUndefined();
  });

  test('only neighbours in age are merged: a larger table in between parts the run', () => {
    expect(plan(1, 1, 64, 1, 1)).toBeUndefined();
    expect(plan(64, 1, 1, 1, 1)).toEqual({ from: 1, to: 5, dropTombstones: true });
  });

  test('the number of tables and the bytes rewritten stay logarithmic', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.2, max: 3, noNaN: true }), { minLength: 300, maxLength: 300 }),
        (sizes) => {
          let tables: TableInfo[] = [];
          let rewritten = 0;
          let added = 0;
          sizes.forEach((size, id) => {
            tables.unshift(tableOf(size * MIB, id + 1));
            added += size * MIB;
            for (let next = planCompaction(tables, 4); next; next = planCompaction(tables, 4)) {
              const bytes = next.tables.reduce((sum, table) => sum + table.bytes, 0);
              expect(next.tables).toEqual(tables.slice(next.from, next.to));
              expect(next.dropTombstones).toBe(next.to === tables.length);
              tables = [...tables.slice(0, next.from), tableOf(bytes), ...tables.slice(next.to)];
              rewritten += bytes;
            }
            expect(tables.length).toBeLessThanOrEqual(20);
          });
          expect(rewritten / added).toBeLessThan(6);
        },
      ),
      { numRuns: 20 },
    );
  });
});
