import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { collect, plain, row, rowsOf, sortedRows } from '../test/table-fixtures.ts';
import { mergeRowBatches, mergeRows, type RowSource } from './merge-rows.ts';
import type { Row } from './row.ts';

describe('merging rows', () => {
  test('the newest source wins, one row per key, in order, whatever kind the sources are', async () => {
    const source = fc.record({
      rows: sortedRows,
      kind: fc.constantFrom('sync', 'async', 'batches'),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(source, { maxLength: 6 }),
        fc.boolean(),
        async (all, dropTombstones) => {
          const oldestFirst = all.map(({ rows }) => rows).reverse();
          const model = rowsOf(oldestFirst.flat().map(({ key, value }) => [key, value] as const));
          const expected = dropTombstones
            ? model.filter((each) => each.value !== undefined)
            : model;
          const sources = all.map(({ rows, kind }) => sourceOf(rows, kind));
          expect(plain(await collect(mergeRows(sources, { dropTombstones })))).toEqual(
            plain(expected),
          );
        },
      ),
    );
  });

  test('long sources are merged in batches, none larger than 256 rows', async () => {
    const rows = Array.from({ length: 2000 }, (_, i) => row(String(i).padStart(6, '0'), 'v'));
    const odd = rows.filter((_, i) => i % 2 === 1);
    const even = rows.filter((_, i) => i % 2 === 0);
    const batches = await collect(mergeRowBatches([odd, even], { dropTombstones: false }));
    expect(Math.max(...batches.map((batch) => batch.length))).toBeLessThanOrEqual(256);
    expect(plain(batches.flat())).toEqual(plain(rows));
  });

  test('who asks for it gets what is there before a source is waited for', async () => {
    const rows = Array.from({ length: 8 }, (_, i) => row(String(i), 'v'));
    const asked: number[] = [];
    const slow = (from: number): RowSource => ({
      async *batches() {
        for (let at = from; at < rows.length; at += 4) {
          asked.push(at);
          yield rows.slice(at, at + 2);
        }
      },
    });
    const sources = [slow(0), slow(2)];
    const batches = mergeRowBatches(sources, { dropTombstones: false, eager: true });
    expect(plain((await batches.next()).value ?? [])).toEqual(plain(rows.slice(0, 2)));
    expect(asked).toEqual([0, 2]);
    expect(plain((await collect(batches)).flat())).toEqual(plain(rows.slice(2)));
  });

  test('sources are closed when the consumer stops early and when a source fails', async () => {
    let closed = 0;
    async function* endless(fails: boolean): AsyncGenerator<Row> {
      try {
        for (let i = 0; ; i++) {
          if (fails && i === 3) throw new Error('broken source');
          yield row(String(i).padStart(6, '0'), 'v');
        }
      } finally {
        closed++;
      }
    }
    for await (const each of mergeRows([endless(false), endless(false)], {
      dropTombstones: true,
    })) {
      if (String(each.key) === '000002') break;
    }
    expect(closed).toBe(2);
    const merged = collect(mergeRows([endless(false), endless(true)], { dropTombstones: true }));
    await expect(merged).rejects.toThrow('broken source');
    expect(closed).toBe(4);
  });
});

function sourceOf(rows: Row[], kind: string): RowSource {
  if (kind === 'sync') return rows;
  async function* inTime(): AsyncGenerator<Row> {
    yield* rows;
  }
  if (kind === 'async') return inTime();
  return {
    async *batches() {
      yield [];
      for (let at = 0; at < rows.length; at += 3) yield rows.slice(at, at + 3);
    },
    [Symbol.asyncIterator]: inTime,
  };
}
