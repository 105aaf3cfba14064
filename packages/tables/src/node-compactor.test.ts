import { mkdtemp, rm, writeFile, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { type FileId, type Lsn, NodeFileSystem } from '@holdfast/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codec, collect, JOB_DATABASE, numberedRows, plain } from '../test/table-fixtures.ts';
import type { CompactionJob } from './compaction.ts';
import { NodeCompactor } from './node-compactor.ts';
import { paceByRate } from './pace.ts';
import { Table } from './table.ts';
import { writeTable } from './write-table.ts';

const fileSystem = new NodeFileSystem();
const newer = numberedRows(3000, 50).filter((_, index) => index % 3 === 0);
const older = numberedRows(4000, 20);
let directory: string;
let compactor: NodeCompactor;
let job: CompactionJob;

beforeEach(async () => {
  directory = await mkdtemp(`${tmpdir()}/holdfast-tables-`);
  compactor = new NodeCompactor({ bytesPerSecond: 1e9 });
  const inputs = [];
  for (const [index, rows] of [newer, older].entries()) {
    const path = `${directory}/table-${index}`;
    const target = { path, fileId: (index + 1) as FileId, firstLsn: 1 as Lsn, lastLsn: 9 as Lsn };
    const info = await writeTable({ fileSystem, codec }, target, rows);
    inputs.push({ path, info: info! });
  }
  const output = { path: `${directory}/output`, fileId: 3 as FileId };
  job = { ...JOB_DATABASE, inputs, output, dropTombstones: true };
});

afterEach(async () => {
  await compactor.close();
  await rm(directory, { recursive: true });
});

describe('node compactor', () => {
  test('merges in a thread of its own and hands back a table that opens', async () => {
    const info = (await compactor.compact(job))!;
    const table = await Table.open({ fileSystem, codec }, job.output.path, info);
    const replaced = new Map(newer.map((row) => [row.key.toString(), row]));
    const expected = older.map((row) => replaced.get(row.key.toString()) ?? row);
    expect(plain(await collect(table.scan()))).toEqual(plain(expected));
    expect(Buffer.isBuffer(info.firstKey) && Buffer.isBuffer(info.digest)).toBe(true);
    await table.verify((problem) => expect(problem).toBeUndefined());
    await table.retire();
  });

  test('damage comes back as the typed error it was, and the next job runs', async () => {
    const { path } = job.inputs[0]!;
    const bytes = await readFile(path);
    const damaged = Buffer.from(bytes);
    damaged[100] = damaged[100]! ^ 1;
    await writeFile(path, damaged);
    await expect(compactor.compact(job)).rejects.toMatchObject({
      name: 'HoldfastError',
      code: 'CHECKSUM_MISMATCH',
      kind: 'corrupt',
      effect: 'none',
      details: { path, position: 0 },
    });
    await writeFile(path, bytes);
    expect((await compactor.compact(job))?.rows).toBe(4000);
  });

  test('no rows left is undefined also across the thread', async () => {
    const path = `${directory}/tombstones`;
    const target = { path, fileId: 7 as FileId, firstLsn: 1 as Lsn, lastLsn: 9 as Lsn };
    const rows = numberedRows(5).map(({ key }) => ({ key, value: undefined }));
    const info = (await writeTable({ fileSystem, codec }, target, rows))!;
    expect(await compactor.compact({ ...job, inputs: [{ path, info }] })).toBeUndefined();
  });

  test('close gives up the running job with CLOSED and may be called twice', async () => {
    await compactor.close();
    compactor = new NodeCompactor({ bytesPerSecond: 1000 });
    const outcomes = [compactor.compact(job), compactor.compact(job)].map((each) =>
      each.catch((error: unknown) => error),
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    await compactor.close();
    await compactor.close();
    for (const outcome of outcomes) expect(await outcome).toMatchObject({ code: 'CLOSED' });
  });
});

test('a rate limit asks for as much pause as the bytes are worth, and saves nothing up', async () => {
  let now = 0;
  const pauses: number[] = [];
  const clock = {
    now: () => now,
    monotonicMs: () => now,
    after: (delayMs: number, callback: () => void) => {
      pauses.push(delayMs);
      now += delayMs;
      callback();
      return { cancel: () => undefined };
    },
    immediate: (callback: () => void) => callback(),
  };
  const pace = paceByRate(clock, 1_000_000);
  now += 60_000;
  for (let i = 0; i < 10; i++) await pace(100_000);
  expect(pauses.reduce((sum, pause) => sum + pause, 0)).toBeCloseTo(1000);
});
