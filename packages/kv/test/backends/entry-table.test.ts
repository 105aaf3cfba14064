/** What the rows of a store promise to what decides about them: a change happens where it was meant. */
import { NodeClock, NodeFileSystem } from '@holdfast/core';
import { encodeEnvelope } from '@holdfast/kv';
import { findRealPostgres, findRealRedis, RealPostgres, RealRedis } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { LmdbEntryTable } from '../../src/backends/lmdb/lmdb-entry-table.ts';
import { PostgresEntryTable } from '../../src/backends/postgres/postgres-entry-table.ts';
import { RedisEntryTable } from '../../src/backends/redis/redis-entry-table.ts';
import { SqliteEntryTable } from '../../src/backends/sqlite/sqlite-entry-table.ts';
import type { EntryTable, TablePut } from '../../src/backends/table/entry-table.ts';
import { whyNoSqlite } from './embedded.ts';
import { removeScratch, scratch, serverTests } from './servers.ts';

const clock = new NodeClock();
const timeoutMs = 5_000;

interface Opened {
  readonly table: EntryTable;
  readonly stop?: () => Promise<void>;
}

const postgres = findRealPostgres();
const redis = findRealRedis();
const KINDS: Record<string, ((directory: string) => Promise<Opened>) | undefined> = {
  lmdb: async (directory) => {
    const fileSystem = new NodeFileSystem();
    const lock = await fileSystem.lockDirectory(directory);
    return { table: await LmdbEntryTable.open(fileSystem, `${directory}/e.mdb`, lock) };
  },
  sqlite:
    (await whyNoSqlite()) === undefined
      ? async (directory) => {
          const lock = await new NodeFileSystem().lockDirectory(directory);
          return { table: await SqliteEntryTable.open(`${directory}/e.sqlite`, lock) };
        }
      : undefined,
  postgres: serverTests('Postgres', postgres)
    ? async (directory) => {
        const server = await RealPostgres.start(postgres as string, directory);
        const place = { url: server.url, connections: 2, timeoutMs };
        const table = await PostgresEntryTable.open(clock, place, 'rows');
        return { table, stop: () => server.stop() };
      }
    : undefined,
  redis: serverTests('Redis', redis)
    ? async (directory) => {
        const server = await RealRedis.start({ program: redis as string, directory });
        const place = { url: server.url, name: 'rows', timeoutMs };
        const table = await RedisEntryTable.open(clock, place);
        return { table, stop: () => server.stop() };
      }
    : undefined,
};

function put(key: string, version: number): TablePut {
  const facts = { seq: version, version, epoch: 0, expiresAtMs: undefined };
  const value = Buffer.from(`${key} ${version}`);
  return { key, facts, bytes: Buffer.concat([encodeEnvelope(key, facts, value), value]) };
}

const here = Object.entries(KINDS).flatMap(([name, open]) =>
  open === undefined ? [] : [[name, open] as const],
);

describe.each(here)('rows in %s', (_, open) => {
  it('change only where the head is the expected one, whole or not at all', async () => {
    const directory = scratch();
    const { table, stop } = await open(directory);
    const { head } = await table.load([]);
    expect(head).toEqual({ next: 1, epoch: 0 });
    const first = { expected: head, head: { next: 3, epoch: 0 }, dels: [] };
    expect(await table.commit({ ...first, puts: [put('a', 1), put('b', 2)] })).toBe(true);
    // As if the answer had been lost, and it was sent again.
    expect(await table.commit({ ...first, puts: [put('a', 1), put('c', 2)] })).toBe(false);
    const now = { next: 3, epoch: 0 };
    const claim = { expected: now, head: { next: 3, epoch: 4 }, puts: [], dels: [] };
    expect(await table.commit(claim)).toBe(true);
    const late = { expected: now, head: { next: 4, epoch: 0 }, puts: [put('c', 3)], dels: ['a'] };
    expect(await table.commit(late)).toBe(false);
    const { head: last, entries } = await table.load(['a', 'b', 'c']);
    expect(last).toEqual({ next: 3, epoch: 4 });
    expect([...entries.keys()].toSorted()).toEqual(['a', 'b']);
    expect(await table.read('c')).toBeUndefined();
    await table.close();
    await stop?.();
    removeScratch(directory);
  });

  it('come by bytes and by number, but at least one at a time', async () => {
    const directory = scratch();
    const { table, stop } = await open(directory);
    const puts = ['a', 'b', 'c', 'd'].map((key, at) => put(key, at + 1));
    const head = { next: 5, epoch: 0 };
    expect(await table.commit({ expected: { next: 1, epoch: 0 }, head, puts, dels: [] })).toBe(
      true,
    );
    const each = puts[0]?.bytes.length ?? 0;
    const all = { from: '', to: undefined };
    for (const [entries, bytes, found] of [
      [10, 1, 1],
      [10, each, 1],
      [10, 2 * each, 2],
      [3, 100 * each, 3],
      [10, 100 * each, 4],
    ] as const) {
      for (const reverse of [false, true]) {
        const wanted = { reverse, entries, bytes };
        const keys = ['a', 'b', 'c', 'd'];
        const ranged = (await table.range(all, wanted)).map(({ key }) => key);
        const created = (await table.created(undefined, wanted)).map(({ key }) => key);
        expect(ranged).toEqual((reverse ? keys.toReversed() : keys).slice(0, found));
        expect(created).toEqual((reverse ? keys : keys.toReversed()).slice(0, found));
      }
    }
    await table.close();
    await stop?.();
    removeScratch(directory);
  });
});
