/** Who may write a repository, when that changes, and what is refused. */
import { hasCode, HoldfastError, onCut, type Lsn, sleep } from '@holdfast/core';
import { MemoryObjectStore, type ObjectStore } from '@holdfast/objects';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { ArchiveMemory, writeArchiveState } from '../src/backup/archive-state.ts';
import type { BackupSettings } from '../src/backup/database-backup.ts';
import { repositoryId } from '../src/backup/repository-names.ts';
import { rebalanceDatabase, verifyDatabase } from '../src/index.ts';
import {
  type ArchivedHistory,
  archivedHistory,
  openArchived,
  type OpenedDatabase,
  repositoryOf,
  write,
} from './archive-fixtures.ts';
import { FaultyObjectStore } from './faulty-object-store.ts';
import { RowEngine } from './row-engine.ts';

const clock = new SimClock(new SeededRandom(1));
const random = new SeededRandom(2);

/** One data directory, on a disk of its own. */
class Node {
  fileSystem = new SimFs();
  warnings: string[] = [];

  open(objects: ObjectStore | undefined, backup: BackupSettings = {}): Promise<OpenedDatabase> {
    const warn = (event: string): void => void this.warnings.push(event);
    const logger = { debug() {}, info() {}, warn, error() {} };
    const store = objects === undefined ? {} : { objects };
    return openArchived({ fileSystem: this.fileSystem, clock, random, logger, ...store }, backup);
  }

  /** A copy of the directory as it is, on another machine. */
  clone(): Node {
    const copy = new Node();
    copy.fileSystem = new SimFs({ disk: this.fileSystem.disk.clone() });
    return copy;
  }

  /** The process ends at once; what it wrote stays. */
  kill(): void {
    this.fileSystem = this.fileSystem.kill();
  }

  async history(objects: ObjectStore, asOf?: number): Promise<ArchivedHistory> {
    return archivedHistory(await repositoryOf(this.fileSystem, objects), asOf);
  }
}

function newStore(): MemoryObjectStore {
  return new MemoryObjectStore({ clock });
}

async function copyOf(store: ObjectStore): Promise<MemoryObjectStore> {
  const copy = newStore();
  for (const { key } of (await store.list()).objects) {
    const pieces: Buffer[] = [];
    for await (const piece of (await store.get(key)).body) pieces.push(piece);
    await copy.put(key, Buffer.concat(pieces));
  }
  return copy;
}

async function writeSome(engine: RowEngine, from: number, count: number): Promise<void> {
  for (let i = from; i < from + count; i++) await write(engine, i);
}

/** A node that archived ten records, and is still open. */
async function running(store: ObjectStore): Promise<OpenedDatabase & { node: Node }> {
  const node = new Node();
  const opened = await node.open(store);
  await writeSome(opened.engine, 0, 10);
  await opened.database.archive?.flush();
  return { ...opened, node };
}

function inWorld(work: () => Promise<void>): () => Promise<void> {
  return () => clock.run(work());
}

async function refusal(work: Promise<unknown>): Promise<{ code: string; effect: string }> {
  try {
    await work;
  } catch (error) {
    return error as { code: string; effect: string };
  }
  throw new Error('it was accepted');
}

function rangesOf({ lineage }: ArchivedHistory): (number | undefined)[][] {
  return lineage.ranges.map(({ epoch, from, to }) => [epoch, from, to]);
}

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

describe('a repository', () => {
  it(
    'that is older than what the directory knows is refused, and may be accepted',
    inWorld(async () => {
      const store = newStore();
      const { node, database } = await running(store);
      await database.close();
      const old = await copyOf(store);
      const { database: second, engine } = await node.open(store);
      await writeSome(engine, 10, 5);
      await second.close();
      for (const place of [old, newStore()]) {
        const own = node.clone();
        expect(await refusal(own.open(place))).toMatchObject({ code: 'REPOSITORY_ROLLED_BACK' });
        const { database: third, engine: rows } = await own.open(place, { acceptRollback: true });
        await writeSome(rows, 15, 5);
        await third.close();
        const { records, lineage } = await own.history(place);
        expect(records.at(-1)?.lsn).toBe(20);
        expect(lineage.ranges).toHaveLength(1);
        const { database: fourth } = await own.open(place);
        await fourth.close();
      }
    }),
  );

  it(
    'that was accepted as it is gets what the log still has before the log lets it go',
    inWorld(async () => {
      const { node, database } = await running(newStore());
      await database.close();
      const empty = newStore();
      const put = empty.put.bind(empty);
      let refuses = true;
      empty.put = async (key, ...rest) => {
        if (!refuses || !key.includes('/archive/')) return put(key, ...rest);
        throw new HoldfastError('STORAGE_UNAVAILABLE', 'not now');
      };
      const { database: again, engine } = await node.open(empty, { acceptRollback: true });
      for (let i = 0; i < 60; i++) await write(engine, i, 4_000);
      await again.checkpoint();
      await again.checkpoint();
      refuses = false;
      await sleep(clock, 60_000);
      const { records, lineage } = await node.history(empty);
      expect(records.at(0)?.lsn).toBe(lineage.from);
      expect(records.at(-1)?.lsn).toBe(70);
      expect(lineage.from).toBeLessThan(11);
      expect(node.warnings).not.toContain('archive.gap');
      await again.close();
    }),
  );

  it(
    'that lost what was archived under the newest claim is refused',
    inWorld(async () => {
      const store = newStore();
      const { node, database, engine } = await running(store);
      const old = await copyOf(store);
      await writeSome(engine, 10, 5);
      await database.close();
      expect(await refusal(node.open(old))).toMatchObject({ code: 'REPOSITORY_ROLLED_BACK' });
      const { database: again } = await node.open(old, { acceptRollback: true });
      await again.close();
    }),
  );

  it(
    'with a damaged piece that nobody noted gets its records again',
    inWorld(async () => {
      const store = newStore();
      const { node, database, engine } = await running(store);
      off = onCut((name) => {
        if (name === 'backup.piecePut') node.fileSystem.disk.halt();
      });
      await writeSome(engine, 10, 5);
      await database.archive?.flush().catch(() => undefined);
      off();
      node.kill();
      const repository = await repositoryOf(node.fileSystem, store);
      for await (const piece of repository.pieces({ epoch: 1 })) {
        if (piece.firstLsn === 11) await store.put(piece.key, Buffer.from('rot'));
      }
      const { database: again } = await node.open(store);
      await again.close();
      const lineage = await repository.claims();
      expect(lineage.at(-1)).toMatchObject({ epoch: 2, parent: 1, from: 11 });
    }),
  );
});

describe('the memory of a directory', () => {
  it(
    'is whole as long as one copy is; without either the node does not pose as the writer',
    inWorld(async () => {
      const store = newStore();
      const { node, database } = await running(store);
      await database.close();
      for (const name of ['archive-state', 'archive-state.mirror']) {
        node.fileSystem.disk.flipBit(`/data/${name}`, 80, 1);
        const { database: again } = await node.open(store);
        await again.close();
      }
      for (const name of ['archive-state', 'archive-state.mirror']) {
        node.fileSystem.disk.flipBit(`/data/${name}`, 80, 1);
      }
      const { problems } = await verifyDatabase({ fileSystem: node.fileSystem }, { dir: '/data' });
      expect(problems.map(({ path }) => path)).toEqual([
        ...['/data/archive-state', '/data/archive-state.mirror'],
      ]);
      expect(await refusal(node.open(store))).toMatchObject({ code: 'CHECKSUM_MISMATCH' });
      for (const name of ['archive-state', 'archive-state.mirror']) {
        node.fileSystem.disk.deleteFile(`/data/${name}`);
      }
      expect(await refusal(node.open(store))).toMatchObject({ code: 'WRITER_FENCED' });
      const { database: back } = await node.open(store, { takeOver: true });
      await back.close();
      const claims = await (await repositoryOf(node.fileSystem, store)).claims();
      expect(claims.at(-1)).toMatchObject({ parent: 0 });
    }),
  );

  it(
    'of a restored directory makes it go on from there, and fences who came later',
    inWorld(async () => {
      const store = newStore();
      const { node, database, engine } = await running(store);
      const restored = node.clone();
      await writeSome(engine, 10, 5);
      await database.archive?.flush();
      const repository = await repositoryOf(restored.fileSystem, store);
      const place = { fileSystem: restored.fileSystem, codec: repository.codec, dir: '/data' };
      const id = repository.names.id;
      const { current } = await ArchiveMemory.open(place, id, false);
      expect(current).toMatchObject({ repositoryId: id, archivedLsn: 10 });
      const none = 0 as Lsn;
      const restoredFrom = { epoch: 1, lsn: 10 as Lsn };
      await writeArchiveState(place, {
        ...{ repositoryId: id, archivedLsn: none, archivedFrom: none, restoredFrom },
      });
      const { database: second, engine: rows } = await restored.open(store);
      await writeSome(rows, 60, 2);
      await second.close();
      const { records, lineage } = await restored.history(store);
      expect(records).toHaveLength(12);
      expect(lineage.ranges).toMatchObject([{ epoch: 1, to: 10 }, { epoch: 2 }]);
      await sleep(clock, 6_000);
      expect(database.state).toBe('failed');
      await database.close();
    }),
  );

  it(
    'of another repository is refused',
    inWorld(async () => {
      const store = newStore();
      const { node, database } = await running(store);
      await database.close();
      const { codec } = await repositoryOf(node.fileSystem, store);
      const place = { fileSystem: node.fileSystem, codec, dir: '/data' };
      const id = repositoryId(Buffer.alloc(16, 9));
      await writeArchiveState(place, {
        ...{ repositoryId: id, archivedLsn: 0 as Lsn, archivedFrom: 0 as Lsn },
      });
      expect(await refusal(node.open(store))).toMatchObject({ code: 'FORMAT_INVALID' });
    }),
  );
});

describe('a history', () => {
  it(
    'has a gap, and says so, where the log was let go without its archive',
    inWorld(async () => {
      const store = newStore();
      const { node, database } = await running(store);
      await database.close();
      const { database: apart, engine } = await node.open(undefined);
      for (let i = 0; i < 60; i++) await write(engine, i, 4_000);
      await apart.close();
      const { database: again } = await node.open(store);
      await again.close();
      expect(node.warnings).toContain('archive.gap');
      const claims = await (await repositoryOf(node.fileSystem, store)).claims();
      expect(claims.at(-1)?.parent).toBe(1);
      expect(claims.at(-1)?.from).toBeGreaterThan(11);
    }),
  );

  it(
    'begins anew when the number of shards changed: old snapshots cannot take the new records',
    inWorld(async () => {
      const store = newStore();
      const { node, database } = await running(store);
      await database.close();
      const engine = new RowEngine();
      const { fileSystem } = node;
      await rebalanceDatabase(
        { fileSystem, clock, random },
        { dir: '/data', shardCount: 4, diskReserveBytes: 0 },
        [engine],
      );
      const again = await openArchivedAsIs(node, store);
      await writeSome(again.engine, 10, 3);
      await again.database.close();
      const { records, lineage } = await node.history(store);
      expect(lineage.ranges).toHaveLength(1);
      expect(records.map(({ lsn }) => lsn)).toEqual([11, 12, 13]);
      const layout = await store.get((await repositoryOf(fileSystem, store)).names.layout);
      const bytes: Buffer[] = [];
      for await (const piece of layout.body) bytes.push(piece);
      expect(JSON.parse(Buffer.concat(bytes).toString())).toMatchObject({ shardCount: 4 });
    }),
  );
});

async function openArchivedAsIs(node: Node, objects: ObjectStore): Promise<OpenedDatabase> {
  const { openDatabase } = await import('../src/index.ts');
  const engine = new RowEngine();
  const { fileSystem } = node;
  const database = await openDatabase(
    { fileSystem, clock, random, objects },
    { dir: '/data', diskReserveBytes: 0, scrubIntervalMs: 0 },
    [engine],
  );
  return { database, engine };
}
