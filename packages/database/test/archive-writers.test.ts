/** Who may write a repository, when that changes, and which directories may not. */
import { hasCode, onCut, sleep, type Lsn } from '@holdfast/core';
import { SeededRandom } from '@holdfast/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { openDatabase } from '../src/index.ts';
import { type OpenedDatabase, repositoryOf, write } from './archive-fixtures.ts';
import {
  clock,
  Node,
  newStore,
  random,
  writeSome,
  running,
  inWorld,
  refusal,
  rangesOf,
} from './archive-nodes.ts';
import { FaultyObjectStore } from './faulty-object-store.ts';
import { RowEngine } from './row-engine.ts';

let off: (() => void) | undefined;
afterEach(() => off?.());

describe('a node', () => {
  it(
    'goes on where it was after each restart, under a new claim',
    inWorld(async () => {
      const store = newStore();
      const { node, database } = await running(store);
      await database.close();
      for (const from of [10, 20]) {
        const { database: again, engine } = await node.open(store);
        await writeSome(engine, from, 10);
        await again.close();
      }
      const history = await node.history(store);
      expect(rangesOf(history)).toEqual([
        [1, 1, 10],
        [2, 11, 20],
        [3, 21, undefined],
      ]);
      expect(history.records).toHaveLength(30);
      expect(node.warnings).toEqual([]);
    }),
  );

  it(
    'starts while the store is away, and archives everything once it is back',
    inWorld(async () => {
      const store = newStore();
      const node = new Node();
      const network = new FaultyObjectStore({
        ...{ inner: store, world: clock, clock, random: new SeededRandom(3) },
        alive: async () => undefined,
      });
      network.faults.away = true;
      const { database, engine } = await node.open(network);
      await writeSome(engine, 0, 10);
      await sleep(clock, 60_000);
      const away = database.archive?.stats();
      expect(away).toMatchObject({ state: 'claiming', archivedLsn: 0, lagRecords: 10 });
      expect(away?.lastError?.code).toBe('STORAGE_UNAVAILABLE');
      expect(away?.lagSeconds).toBeGreaterThan(50);
      expect(away?.lagBytes).toBeGreaterThan(0);
      network.faults.away = false;
      await sleep(clock, 60_000);
      expect(database.archive?.stats()).toMatchObject({
        ...{ state: 'archiving', archivedLsn: 10, lagSeconds: 0, lagRecords: 0, lagBytes: 0 },
        lastError: undefined,
      });
      expect((await node.history(store)).records).toHaveLength(10);
      await database.close();
    }),
  );

  it(
    'keeps its log as long as it is not archived, and lets it go when it is',
    inWorld(async () => {
      const store = newStore();
      const { node, database } = await running(store);
      const network = new FaultyObjectStore({
        ...{ inner: store, world: clock, clock, random: new SeededRandom(3) },
        alive: async () => undefined,
      });
      await database.close();
      const { database: again, engine: next } = await node.open(network);
      network.faults.away = true;
      for (let i = 0; i < 60; i++) await write(next, i, 4_000);
      await again.checkpoint();
      await again.checkpoint();
      const kept = again.stats().logBytes;
      expect(kept).toBeGreaterThan(60 * 4_000);
      network.faults.away = false;
      await sleep(clock, 60_000);
      expect(again.archive?.stats().archivedLsn).toBe(70);
      expect(again.stats().logBytes).toBeLessThan(kept / 3);
      await again.close();
      expect((await node.history(store)).records).toHaveLength(70);
      expect(node.warnings).not.toContain('archive.gap');
    }),
  );

  it(
    'ends in bounded time when the store does not answer',
    inWorld(async () => {
      const store = newStore();
      const { node, database, engine } = await running(store);
      const silence = new Promise<never>(() => undefined);
      store.list = () => silence;
      store.put = () => silence;
      await write(engine, 10);
      await Promise.race([
        database.close(),
        sleep(clock, 120_000).then(() => {
          throw new Error('it waits for ever');
        }),
      ]).catch((error: unknown) => error);
      expect(node.warnings).toContain('archive.incomplete');
    }),
  );
});

describe('of two nodes on one repository', () => {
  it(
    'one that cannot load its data takes nothing over',
    inWorld(async () => {
      const store = newStore();
      const { node, database, engine } = await running(store);
      const copy = node.clone();
      const unable = Object.assign(new RowEngine(), {
        load: () => Promise.reject(new Error('no memory')),
      });
      const components = { fileSystem: copy.fileSystem, clock, random, objects: store };
      const settings = { dir: '/data', diskReserveBytes: 0, scrubIntervalMs: 0 };
      await expect(openDatabase(components, settings, [unable])).rejects.toThrow('no memory');
      await writeSome(engine, 10, 2);
      await database.archive?.flush();
      expect(await (await repositoryOf(node.fileSystem, store)).epochs()).toEqual([1]);
      await database.close();
    }),
  );

  it(
    'the newer one wins; the older one stops, and says why',
    inWorld(async () => {
      const store = newStore();
      const { node, database, engine } = await running(store);
      const other = node.clone();
      const { database: second, engine: newer } = await other.open(store);
      expect(second.archive?.stats().epoch).toBe(2);
      let failure: unknown;
      database.onFailed((error) => (failure = error));
      await write(engine, 99);
      expect(await refusal(database.archive?.flush() as Promise<void>)).toMatchObject({
        code: 'WRITER_FENCED',
      });
      expect((await node.history(store, 1)).records).toHaveLength(10); // it asked before it put
      expect(hasCode(failure, 'WRITER_FENCED')).toBe(true);
      expect(database.state).toBe('failed');
      expect(database.archive?.stats().state).toBe('fenced');
      expect(await refusal(write(engine, 10))).toMatchObject({
        ...{ code: 'WRITER_FENCED', effect: 'none' },
      });
      expect(await refusal(database.archive?.flush() as Promise<void>)).toMatchObject({
        code: 'WRITER_FENCED',
      });
      await writeSome(newer, 10, 5);
      await second.close();
      await database.close();
      const history = await other.history(store);
      expect(history.records).toHaveLength(15);
      expect(rangesOf(history)).toEqual([
        [1, 1, 10],
        [2, 11, undefined],
      ]);
    }),
  );

  it(
    'what the older one still puts is in nobody’s history',
    inWorld(async () => {
      const store = newStore();
      const { node, database, engine } = await running(store);
      const other = node.clone();
      let second: OpenedDatabase | undefined;
      off = onCut(async (name) => {
        if (name !== 'backup.pieceMade' || second !== undefined) return;
        off?.();
        second = await other.open(store); // between the look and the put of the older one
      });
      await writeSome(engine, 90, 3);
      await database.archive?.flush();
      expect(database.archive?.stats()).toMatchObject({ archivedLsn: 13, epoch: 1 });
      await writeSome(second?.engine as RowEngine, 10, 2);
      await second?.database.archive?.flush();
      const { records } = await other.history(store);
      expect(records).toHaveLength(12);
      expect(records[10]?.payload.toString()).toContain('10.');
      expect((await node.history(store, 1)).records).toHaveLength(13);
      await sleep(clock, 6_000);
      expect(database.state).toBe('failed');
      await second?.database.close();
      await database.close();
    }),
  );

  it(
    'one that could not ask at its start stops as soon as it can',
    inWorld(async () => {
      const store = newStore();
      const { node, database } = await running(store);
      await database.close();
      const other = node.clone();
      const network = new FaultyObjectStore({
        ...{ inner: store, world: clock, clock, random: new SeededRandom(3) },
        alive: async () => undefined,
      });
      network.faults.away = true;
      const { database: lonely } = await node.open(network);
      const { database: second } = await other.open(store);
      network.faults.away = false;
      await sleep(clock, 60_000);
      expect(lonely.state).toBe('failed');
      expect(lonely.archive?.stats()).toMatchObject({ state: 'fenced' });
      await lonely.close();
      await second.close();
    }),
  );

  it(
    'one whose claim was put at the same moment as the other’s is not the writer',
    inWorld(async () => {
      const store = newStore();
      const { node, database } = await running(store);
      await database.close();
      const other = node.clone();
      let second: OpenedDatabase | undefined;
      off = onCut(async (name) => {
        if (name !== 'backup.claimAnnounced' || second !== undefined) return;
        off?.();
        second = await other.open(store);
      });
      expect(await refusal(node.open(store))).toMatchObject({ code: 'WRITER_FENCED' });
      expect(await refusal(node.open(store))).toMatchObject({ code: 'WRITER_FENCED' });
      await second?.database.close();
      const { database: back } = await node.open(store, { takeOver: true });
      expect(back.archive?.stats().epoch).toBe(3);
      await back.close();
    }),
  );
});

describe('a copy of a directory', () => {
  it(
    'that is older than the archive is refused, and may take over',
    inWorld(async () => {
      const store = newStore();
      const { node, database, engine } = await running(store);
      const copy = node.clone();
      await writeSome(engine, 10, 5);
      await database.archive?.flush();
      node.kill();
      expect(await refusal(copy.open(store))).toMatchObject({ code: 'ARCHIVE_AHEAD' });
      const { database: right, engine: rows } = await copy.open(store, { takeOver: true });
      await writeSome(rows, 70, 2);
      await right.close();
      const { records, lineage } = await copy.history(store);
      expect(records).toHaveLength(12);
      expect(lineage.epochAt(11 as Lsn)).toBe(2);
      expect(await refusal(node.open(store))).toMatchObject({ code: 'WRITER_FENCED' });
    }),
  );

  it(
    'that was written apart from the archive is refused, and may take over',
    inWorld(async () => {
      const store = newStore();
      const { node, database, engine } = await running(store);
      const copy = node.clone();
      await writeSome(engine, 10, 5);
      await database.archive?.flush();
      node.kill();
      const { database: apart, engine: rows } = await copy.open(undefined);
      await writeSome(rows, 10, 2);
      await writeSome(rows, 50, 9);
      copy.kill();
      void apart;
      expect(await refusal(copy.open(store))).toMatchObject({
        ...{ code: 'ARCHIVE_DIVERGED' },
        details: { firstLsn: 13 }, // up to there both wrote the same, at the same time
      });
      const { database: right } = await copy.open(store, { takeOver: true });
      await right.close();
      const { records, lineage } = await copy.history(store);
      expect(records).toHaveLength(21);
      expect(lineage.epochAt(12 as Lsn)).toBe(1);
      expect(lineage.epochAt(13 as Lsn)).toBe(2);
      expect(records[12]?.payload.toString()).toContain('50.');
    }),
  );

  it(
    'of a node that was started again elsewhere is refused',
    inWorld(async () => {
      const store = newStore();
      const { node, database } = await running(store);
      await database.close();
      const copy = node.clone();
      const { database: second } = await node.open(store);
      await second.close();
      expect(await refusal(copy.open(store))).toMatchObject({ code: 'WRITER_FENCED' });
    }),
  );
});
