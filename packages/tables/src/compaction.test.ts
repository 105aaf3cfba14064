import { type FileId, MemoryFileSystem, NodeClock } from '@holdfast/core';
import { SimFs } from '@holdfast/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  codec,
  collect,
  JOB_DATABASE,
  DIRECTORY,
  makeTable,
  numberedRows,
  openTable,
  plain,
  rowsOf,
  sortedRows,
} from '../test/table-fixtures.ts';
import { type CompactionJob, compactTables, InlineCompactor } from './compaction.ts';
import type { Row } from './row.ts';

const OUTPUT = { path: `${DIRECTORY}/output`, fileId: 100 as FileId };

/** Tables of these rows, newest first, and the job to merge them. */
async function jobOf(
  fileSystem: SimFs | MemoryFileSystem,
  newestFirst: readonly Row[][],
  dropTombstones: boolean,
): Promise<CompactionJob> {
  const inputs = [];
  for (const [index, rows] of newestFirst.entries()) {
    inputs.push(await makeTable(fileSystem, rows, { fileId: newestFirst.length - index }));
  }
  return { ...JOB_DATABASE, inputs, output: OUTPUT, dropTombstones };
}

async function simDisk(): Promise<SimFs> {
  const fileSystem = new SimFs();
  await fileSystem.makeDirectory(DIRECTORY);
  return fileSystem;
}

describe('compaction', () => {
  test('the merged table equals a map that was written oldest first', async () => {
    const tables = fc.array(
      sortedRows.filter((rows) => rows.length > 0),
      { minLength: 1, maxLength: 4 },
    );
    await fc.assert(
      fc.asyncProperty(tables, fc.boolean(), async (newestFirst, dropTombstones) => {
        const fileSystem = new MemoryFileSystem();
        await fileSystem.makeDirectory(DIRECTORY);
        const job = await jobOf(fileSystem, newestFirst, dropTombstones);
        const pairs = [...newestFirst].reverse().flat();
        const model = rowsOf(pairs.map(({ key, value }) => [key, value] as const));
        const expected = dropTombstones ? model.filter(({ value }) => value !== undefined) : model;
        const info = await compactTables({ fileSystem, codec }, job);
        if (expected.length === 0) {
          expect(info).toBeUndefined();
          expect(await fileSystem.stat(OUTPUT.path)).toBeUndefined();
          return;
        }
        expect(info).toMatchObject({ firstLsn: 1, lastLsn: newestFirst.length + 1 });
        const table = await openTable(fileSystem, { path: OUTPUT.path, info: info! });
        expect(plain(await collect(table.scan()))).toEqual(plain(expected));
      }),
    );
  });

  test('any call that fails gives a typed error or the right table; inputs stay, handles close', async () => {
    const newer = numberedRows(400, 30);
    const older = numberedRows(700, 10);
    let failures = 0;
    for (let nth = 1; ; nth++) {
      const fileSystem = await simDisk();
      const job = await jobOf(fileSystem, [newer, older], true);
      const fault = fileSystem.disk.faults.plan({ effect: 'EIO', nth });
      const outcome = await compactTables({ fileSystem, codec }, job).catch(
        (error: unknown) => error,
      );
      if (fault.fired === 0) break;
      if (outcome instanceof Error) {
        failures++;
        expect(outcome).toMatchObject({ code: 'STORAGE_UNAVAILABLE', effect: 'none' });
        expect(await fileSystem.stat(OUTPUT.path)).toBeUndefined();
      }
      fileSystem.disk.faults.clear();
      expect(fileSystem.disk.openHandles).toBeLessThanOrEqual(1); // of a close that failed
      const info = await compactTables({ fileSystem, codec }, job);
      const table = await openTable(fileSystem, { path: OUTPUT.path, info: info! });
      expect(plain(await collect(table.scan()))).toEqual(plain([...newer, ...older.slice(400)]));
    }
    expect(failures).toBeGreaterThan(10);
  });

  test('an input that is damaged, or gone, in one of its copies is merged from the other', async () => {
    const fileSystem = await simDisk();
    const job = await jobOf(fileSystem, [numberedRows(50), numberedRows(80)], true);
    const [newer, older] = job.inputs.map(({ path }) => path) as [string, string];
    for (const path of [newer, older]) fileSystem.disk.duplicateFile(path, `${path}.mirror`);
    fileSystem.disk.flipBit(newer, 500, 1);
    fileSystem.disk.deleteFile(older);
    const info = await compactTables({ fileSystem, codec }, job);
    const table = await openTable(fileSystem, { path: OUTPUT.path, info: info! });
    expect(plain(await collect(table.scan()))).toEqual(plain(numberedRows(80)));
  });

  test('a damaged input rejects with its typed error, makes no table and is not touched', async () => {
    const fileSystem = await simDisk();
    const job = await jobOf(fileSystem, [numberedRows(50), numberedRows(80)], true);
    const { path } = job.inputs[1]!;
    fileSystem.disk.flipBit(path, 500, 1);
    const before = fileSystem.disk.content(path);
    await expect(compactTables({ fileSystem, codec }, job)).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
      details: { path },
    });
    expect(fileSystem.disk.content(path)).toEqual(before);
    expect(await fileSystem.stat(OUTPUT.path)).toBeUndefined();
  });
});

describe('inline compactor', () => {
  test('gives way to the events of the process while it merges', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory(DIRECTORY);
    const job = await jobOf(fileSystem, [numberedRows(20_000, 100)], true);
    let turns = 0;
    let running = true;
    const count = (): void => {
      turns++;
      if (running) setImmediate(count);
    };
    setImmediate(count);
    const compactor = new InlineCompactor({ fileSystem, clock: new NodeClock() });
    await compactor.compact(job);
    running = false;
    expect(turns).toBeGreaterThan(10);
  });

  test('close gives up what runs and what waits with CLOSED, and leaves no output', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory(DIRECTORY);
    const job = await jobOf(fileSystem, [numberedRows(20_000, 100)], true);
    const compactor = new InlineCompactor({ fileSystem, clock: new NodeClock() });
    const outcomes = [compactor.compact(job), compactor.compact(job)].map((each) =>
      each.catch((error: unknown) => error),
    );
    await new Promise((resolve) => setImmediate(resolve));
    await compactor.close();
    for (const outcome of outcomes) expect(await outcome).toMatchObject({ code: 'CLOSED' });
    expect(await fileSystem.stat(OUTPUT.path)).toBeUndefined();
    await expect(compactor.compact(job)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('a failed job does not stop the next one', async () => {
    const fileSystem = await simDisk();
    const job = await jobOf(fileSystem, [numberedRows(10)], true);
    const compactor = new InlineCompactor({ fileSystem, clock: new NodeClock() });
    fileSystem.disk.faults.plan({ effect: 'ENOSPC' });
    const failed = compactor.compact(job);
    const good = compactor.compact(job);
    await expect(failed).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect((await good)?.rows).toBe(10);
    await compactor.close();
  });
});
