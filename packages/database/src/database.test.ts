import { HoldfastError, MemoryFileSystem, NodeClock, NodeRandom } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { RowEngine } from '../test/row-engine.ts';
import {
  type Database,
  type DatabaseSettings,
  openDatabase,
  rebalanceDatabase,
  verifyDatabase,
} from './index.ts';

interface Opened {
  database: Database;
  rows: RowEngine;
}

async function open(
  fileSystem: MemoryFileSystem,
  settings: Partial<DatabaseSettings> = {},
): Promise<Opened> {
  const rows = new RowEngine();
  const database = await openDatabase(
    { fileSystem, clock: new NodeClock(), random: new NodeRandom() },
    { dir: '/data', diskReserveBytes: 0, ...settings },
    [rows],
  );
  return { database, rows };
}

const text = (value: string): Buffer => Buffer.from(value);
const change = (key: string, value?: string): Map<string, Buffer | undefined> =>
  new Map([[key, value === undefined ? undefined : text(value)]]);

describe('database', () => {
  it('finds what was committed after a clean stop, from rows and from extents', async () => {
    const fileSystem = new MemoryFileSystem();
    const first = await open(fileSystem);
    await first.rows.write(change('small', 'a'));
    await first.rows.write(change('large', 'b'.repeat(100_000)));
    await first.rows.write(change('gone', 'c'));
    await first.rows.write(change('gone'));
    await first.database.close();
    const second = await open(fileSystem);
    expect(second.database.cleanStart).toBe(true);
    expect(second.rows.keys()).toEqual(['large', 'small']);
    expect((await second.rows.get('small'))?.toString()).toBe('a');
    expect((await second.rows.get('large'))?.toString()).toBe('b'.repeat(100_000));
    expect(await second.database.verify()).toEqual([]);
    await second.database.close();
  });

  it('lets the log go after a checkpoint and reclaims extents nobody points at', async () => {
    const fileSystem = new MemoryFileSystem();
    const { database, rows } = await open(fileSystem, {
      segmentTargetBytes: 64 * 1024,
      preallocateBytes: 16 * 1024,
    });
    for (let i = 0; i < 40; i++) await rows.write(change(`k${i % 4}`, 'x'.repeat(9000)));
    await database.checkpoint();
    const before = database.stats();
    expect(before.logBytes).toBeLessThan(200 * 1024);
    for (let i = 0; i < 4; i++) await rows.write(change(`k${i}`));
    await database.checkpoint();
    expect(database.stats().extentFiles).toBe(0);
    expect((await fileSystem.list('/data')).filter((name) => name.endsWith('.hfx'))).toEqual([]);
    await database.close();
  });

  it('merges tables until no tier is full and keeps every row', async () => {
    const { database, rows } = await open(new MemoryFileSystem(), { shardCount: 1 });
    for (let i = 0; i < 24; i++) {
      await rows.write(change(`k${i}`, String(i)));
      await database.checkpoint();
    }
    await database.compact();
    expect(database.stats().tables).toBeLessThan(8);
    for (let i = 0; i < 24; i++) {
      expect((await rows.get(`k${i}`))?.toString()).toBe(String(i));
    }
    await database.close();
  });

  it('rewrites a sparse extent file and readers find the bytes at their new place', async () => {
    const { database, rows } = await open(new MemoryFileSystem(), { shardCount: 1 });
    for (let i = 0; i < 10; i++) await rows.write(change(`k${i}`, `${i}`.repeat(20_000)));
    await database.checkpoint();
    for (let i = 0; i < 8; i++) await rows.write(change(`k${i}`));
    await database.checkpoint();
    await database.checkpoint();
    expect(database.stats().extentFiles).toBe(1);
    expect((await rows.get('k9'))?.toString()).toBe('9'.repeat(20_000));
    await database.close();
  });

  it('refuses another shard count, a foreign directory and a lost layout, and touches nothing', async () => {
    const fileSystem = new MemoryFileSystem();
    const { database, rows } = await open(fileSystem, { shardCount: 2 });
    await rows.write(change('a', 'b'));
    await database.close();
    await expect(open(fileSystem, { shardCount: 4 })).rejects.toMatchObject({
      code: 'INVALID_SETTINGS',
    });
    await fileSystem.rename('/data/layout.json', '/data/elsewhere');
    await fileSystem.rename('/data/layout.json.mirror', '/data/elsewhere.mirror');
    await expect(open(fileSystem)).rejects.toMatchObject({ code: 'FILE_MISSING' });
    await fileSystem.rename('/data/elsewhere.mirror', '/data/layout.json.mirror');
    const again = await open(fileSystem);
    expect(again.database.damages()).toMatchObject([
      { kind: 'missing', path: '/data/layout.json', state: 'repaired' },
    ]);
    expect((await again.rows.get('a'))?.toString()).toBe('b');
    await again.database.close();
  });

  it('answers CLOSED after close and closes once', async () => {
    const { database, rows } = await open(new MemoryFileSystem());
    const closing = database.close();
    expect(database.close()).toBe(closing);
    await closing;
    expect(() => rows.host.commit([], { visible() {}, failed() {} })).toThrow(HoldfastError);
  });

  it('moves to another number of shards and back, with every row and extent', async () => {
    const fileSystem = new MemoryFileSystem();
    const { database, rows } = await open(fileSystem, { shardCount: 2 });
    for (let i = 0; i < 30; i++) await rows.write(change(`k${i}`, `${i}`.repeat(1 + i * 20)));
    await database.close();
    for (const shardCount of [8, 1, 4]) {
      const report = await rebalanceDatabase(
        { fileSystem, clock: new NodeClock(), random: new NodeRandom() },
        { dir: '/data', shardCount, diskReserveBytes: 0 },
        [new RowEngine()],
      );
      expect(report).toMatchObject({ to: shardCount, rows: 30 });
      expect((await verifyDatabase({ fileSystem }, { dir: '/data' })).problems).toEqual([]);
      const again = await open(fileSystem);
      expect(again.database.shardCount).toBe(shardCount);
      for (let i = 0; i < 30; i++) {
        expect((await again.rows.get(`k${i}`))?.toString()).toBe(`${i}`.repeat(1 + i * 20));
      }
      await again.database.close();
    }
  });

  it('verifies offline, naming each damaged file and changing none', async () => {
    const fileSystem = new MemoryFileSystem();
    const { database, rows } = await open(fileSystem, { shardCount: 1 });
    await rows.write(change('small', 'a'));
    await rows.write(change('large', 'b'.repeat(3000)));
    await database.close();
    expect(await verifyDatabase({ fileSystem }, { dir: '/data' })).toMatchObject({ problems: [] });
    const names = await fileSystem.list('/data');
    const victims = names.filter((name) => /^(table|extent)-/.test(name)).map((n) => `/data/${n}`);
    expect(victims).toHaveLength(3); // a table rests twice
    for (const path of victims) await flip(fileSystem, path, 100);
    const report = await verifyDatabase({ fileSystem }, { dir: '/data' });
    expect(new Set(report.problems.map((problem) => problem.path))).toEqual(new Set(victims));
  });
});

async function flip(fileSystem: MemoryFileSystem, path: string, position: number): Promise<void> {
  const file = await fileSystem.open(path, 'write');
  const byte = Buffer.alloc(1);
  await file.read(byte, position);
  await file.write(Buffer.from([(byte[0] as number) ^ 1]), position);
  await file.close();
}
