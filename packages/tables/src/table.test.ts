import { MemoryFileSystem } from '@holdfast/core';
import { SimFs } from '@holdfast/testkit';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  collect,
  DIRECTORY,
  keys,
  makeTable,
  numberedRows,
  openTable,
  plain,
  row,
  sortedRows,
} from '../test/table-fixtures.ts';
import { BlockCache } from './block-cache.ts';
import { hashKey } from './key-filter.ts';
import { prefixRange } from './row.ts';
import { UNREAD } from './table.ts';

let fileSystem: MemoryFileSystem;
beforeEach(async () => {
  fileSystem = new MemoryFileSystem();
  await fileSystem.makeDirectory(DIRECTORY);
});

describe('table', () => {
  test('equals a sorted list of rows for every get and range, at every block size', async () => {
    const bound = fc.option(keys, { nil: undefined });
    let fileId = 1;
    await fc.assert(
      fc.asyncProperty(
        sortedRows.filter((rows) => rows.length > 0),
        fc.constantFrom(1, 40, 200, 16_384),
        fc.constantFrom(0, 300, 1 << 20),
        fc.array(fc.record({ from: bound, to: bound, probe: keys }), {
          minLength: 1,
          maxLength: 5,
        }),
        async (rows, blockBytes, cacheBytes, probes) => {
          const written = await makeTable(fileSystem, rows, { fileId: ++fileId, blockBytes });
          const table = await openTable(fileSystem, written, new BlockCache(cacheBytes));
          expect(written.info.rows).toBe(rows.length);
          expect(written.info.tombstones).toBe(rows.filter(({ value }) => !value).length);
          for (const each of rows)
            expect(plain([(await table.get(each.key))!])).toEqual(plain([each]));
          for (const { from, to, probe } of probes) {
            const range = { ...(from && { from }), ...(to && { to }) };
            const expected = rows.filter(
              ({ key }) =>
                (!from || Buffer.compare(key, from) >= 0) && (!to || Buffer.compare(key, to) < 0),
            );
            expect(plain(await collect(table.scan(range)))).toEqual(plain(expected));
            const wanted = rows.find(({ key }) => key.equals(probe));
            const found = await table.get(probe);
            expect(found && plain([found])).toEqual(wanted && plain([wanted]));
            const cached = table.getCached(probe, hashKey(probe));
            if (cacheBytes === 1 << 20) expect(cached).not.toBe(UNREAD); // it was read just now
            if (cached !== UNREAD) expect(cached).toEqual(found);
          }
          await table.verify(failOnProblem);
          await table.retire();
        },
      ),
    );
  });

  test('a table of several groups and many blocks is found, scanned and verified whole', async () => {
    const rows = numberedRows(20_000);
    const written = await makeTable(fileSystem, rows, { blockBytes: 512 });
    const table = await openTable(fileSystem, written);
    expect(plain(await collect(table.scan()))).toEqual(plain(rows));
    for (let i = 0; i < rows.length; i += 997) {
      expect(plain([(await table.get(rows[i]!.key))!])).toEqual(plain([rows[i]!]));
      expect(await table.get(Buffer.concat([rows[i]!.key, Buffer.from('x')]))).toBeUndefined();
    }
    const some = await collect(table.scan(prefixRange(Buffer.from('key-0123'))));
    expect(plain(some)).toEqual(plain(rows.slice(12_300, 12_400)));
    await table.verify(failOnProblem);
  });

  test('no rows make no file, and remove a leftover of the same name', async () => {
    await makeTable(fileSystem, [row('a', '1')], { fileId: 7 });
    await expect(makeTable(fileSystem, [], { fileId: 7 })).rejects.toThrow('no rows');
    expect(await fileSystem.list(DIRECTORY)).toEqual([]);
  });

  test('rows that do not rise, or are too large, are refused and leave no file', async () => {
    for (const rows of [
      [row('b', '1'), row('a', '2')],
      [row('a', '1'), row('a', '2')],
    ]) {
      await expect(makeTable(fileSystem, rows)).rejects.toMatchObject({
        code: 'INVARIANT_VIOLATED',
      });
    }
    const large = [{ key: Buffer.alloc(4097), value: Buffer.alloc(1) }];
    await expect(makeTable(fileSystem, large)).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' });
    const heavy = [{ key: Buffer.alloc(1), value: Buffer.alloc((1 << 20) + 1) }];
    await expect(makeTable(fileSystem, heavy)).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' });
    expect(await fileSystem.list(DIRECTORY)).toEqual([]);
  });

  test('rows of the largest size and async rows are taken', async () => {
    const key = Buffer.alloc(4096, 1);
    async function* rows() {
      yield { key, value: Buffer.alloc(1 << 20, 2) };
      yield { key: Buffer.alloc(4096, 2), value: Buffer.alloc(1 << 20, 3) };
    }
    const list = await collect(rows());
    const table = await openTable(fileSystem, await makeTable(fileSystem, list));
    expect((await table.get(key))?.value).toHaveLength(1 << 20);
  });

  test('a retired table serves who reads it, closes after the last, and then refuses', async () => {
    const sim = new SimFs();
    await sim.makeDirectory(DIRECTORY);
    const rows = numberedRows(100);
    const cache = new BlockCache(1 << 20);
    const table = await openTable(sim, await makeTable(sim, rows), cache);
    table.retain();
    const scan = table.scan()[Symbol.asyncIterator]();
    await scan.next();
    const closesBefore = sim.disk.calls('close');
    const retired = table.retire();
    await sim.unlink(table.path);
    expect((await table.get(rows[50]!.key))?.value).toEqual(rows[50]!.value);
    table.release();
    expect(sim.disk.calls('close')).toBe(closesBefore);
    for (let next = await scan.next(); !next.done; next = await scan.next());
    await retired;
    expect(sim.disk.calls('close')).toBe(closesBefore + 1);
    expect(cache.bytes).toBe(0);
    await expect(table.get(rows[0]!.key)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('a second get of the same key reads nothing from disk', async () => {
    const sim = new SimFs();
    await sim.makeDirectory(DIRECTORY);
    const rows = numberedRows(1000);
    const table = await openTable(sim, await makeTable(sim, rows));
    await table.get(rows[500]!.key);
    const reads = sim.disk.calls('read');
    await table.get(rows[500]!.key);
    expect(sim.disk.calls('read')).toBe(reads);
  });
});

function failOnProblem(problem: unknown): void {
  throw new Error(`unexpected problem ${JSON.stringify(problem)}`);
}
