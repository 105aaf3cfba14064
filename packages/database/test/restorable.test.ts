/** What is kept leads to the newest state: after gaps, restores to earlier moments, and pruning. */
import { sleep, type Lsn } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import type { DatabaseSnapshots } from '../src/backup/snapshot/database-snapshots.ts';
import { planRestore } from '../src/backup/restore/restore-plan.ts';
import type { Repository } from '../src/backup/repository/repository.ts';
import { restoreDatabase } from '../src/index.ts';
import { openArchived, repositoryOf, write } from './archive-fixtures.ts';
import { clock, inWorld, newStore, Node, random, writeSome } from './archive-nodes.ts';

const DAY = 86_400_000;
const DAILY = { snapshotIntervalMs: DAY };

describe('the newest state', () => {
  it(
    'can be restored soon after the log was let go without having been archived',
    inWorld(async () => {
      const store = newStore();
      const node = new Node();
      const first = await node.open(store, DAILY);
      await writeSome(first.engine, 0, 10);
      await sleep(clock, 200_000);
      expect(first.database.snapshots?.stats().created).toBe(1);
      await first.database.close();

      const without = await node.open(undefined);
      for (let i = 0; i < 40; i++) await write(without.engine, i, 4_000);
      await without.database.close();

      const { database, engine } = await node.open(store, DAILY);
      expect(node.warnings).toContain('archive.gap');
      await writeSome(engine, 50, 5);
      await sleep(clock, 200_000);
      const repository = await repositoryOf(node.fileSystem, store);
      expect((await planRestore(repository, { target: 'latest' })).lsn).toBe(55);
      // Once is enough.
      await sleep(clock, 400_000);
      expect(database.snapshots?.stats().created).toBe(1);
      await database.close();
    }),
  );

  it(
    'of a database in which nothing happened yet is restored, and goes on',
    inWorld(async () => {
      const store = newStore();
      const node = new Node();
      const { database } = await node.open(store, {});
      await database.snapshots?.create();
      await database.close();
      const { fileSystem } = node;
      const into = '/again';
      const components = { fileSystem, clock, random, objects: store };
      const report = await restoreDatabase(components, { into, target: 'latest' });
      expect(report).toMatchObject({ lsn: 0, records: 0 });
      const place = { fileSystem, clock, random, objects: store, dir: into };
      const again = await openArchived(place);
      expect(await write(again.engine, 1)).toBe(1);
      await again.database.close();
      const repository = await repositoryOf(fileSystem, store);
      expect((await planRestore(repository, { target: 'latest' })).lsn).toBe(1);
    }),
  );
});

describe('after a restore to an earlier moment', () => {
  /** Snapshots at 10 and 30, a restart between them; restored to 15, which is before it. */
  async function restoredBack(): Promise<{
    readonly repository: Repository;
    readonly snapshots: DatabaseSnapshots;
    readonly close: () => Promise<void>;
  }> {
    const store = newStore();
    const node = new Node();
    const first = await node.open(store);
    await writeSome(first.engine, 0, 10);
    await first.database.snapshots?.create();
    await writeSome(first.engine, 10, 10);
    await first.database.close();
    const second = await node.open(store);
    await writeSome(second.engine, 20, 10);
    await second.database.archive?.flush();
    await second.database.snapshots?.create();
    await writeSome(second.engine, 30, 10);
    await second.database.close();
    const { fileSystem } = node;
    const components = { fileSystem, clock, random, objects: store };
    await restoreDatabase(components, { into: '/back', target: { lsn: 15 as Lsn } });
    const { database, engine } = await openArchived({ ...components, dir: '/back' });
    await writeSome(engine, 100, 3);
    await database.archive?.flush();
    return {
      repository: await repositoryOf(fileSystem, store),
      snapshots: database.snapshots as DatabaseSnapshots,
      close: () => database.close(),
    };
  }

  it(
    'pruning keeps the snapshot that it began with, though there are newer ones',
    inWorld(async () => {
      const { repository, snapshots, close } = await restoredBack();
      const { deleted, kept } = await snapshots.prune({ keepLast: 1 }, { graceMs: 0 });
      expect(deleted).toEqual([]);
      expect(kept).toHaveLength(2);
      expect((await planRestore(repository, { target: 'latest' })).lsn).toBe(18);
      await close();
    }),
  );

  it(
    'each history has its own mark at one LSN',
    inWorld(async () => {
      const store = newStore();
      const node = new Node();
      const { database, engine } = await node.open(store);
      await writeSome(engine, 0, 10);
      expect(await database.mark('before it')).toBe(11);
      await database.close();
      const { fileSystem } = node;
      const components = { fileSystem, clock, random, objects: store };
      await restoreDatabase(components, { into: '/back', target: { lsn: 10 as Lsn } });
      const back = await openArchived({ ...components, dir: '/back' });
      expect(await back.database.mark('once more')).toBe(11);
      await back.database.close();
      const repository = await repositoryOf(fileSystem, store);
      for (const [epoch, name] of [
        [1, 'before it'],
        [2, 'once more'],
      ] as const) {
        expect((await planRestore(repository, { target: { name }, epoch })).lsn).toBe(11);
      }
    }),
  );

  it(
    'a sweep keeps what was before, as long as a snapshot leads there',
    inWorld(async () => {
      const { repository, snapshots, close } = await restoredBack();
      await snapshots.create();
      await snapshots.sweep({ graceMs: 0 });
      for (const [epoch, last] of [
        [2, 40],
        [3, 18],
      ] as const) {
        expect((await planRestore(repository, { target: 'latest', epoch })).lsn).toBe(last);
      }
      const target = { lsn: 25 as Lsn };
      expect(await planRestore(repository, { target, epoch: 2 })).toMatchObject(target);
      await close();
    }),
  );
});

it(
  'a pruning that is only tried deletes nothing, and says what would go',
  inWorld(async () => {
    const store = newStore();
    const node = new Node();
    const { database, engine } = await node.open(store);
    const snapshots = database.snapshots as DatabaseSnapshots;
    for (const from of [0, 10]) {
      await writeSome(engine, from, 10);
      await snapshots.create();
    }
    const names = async (): Promise<string[]> => (await store.list()).objects.map(({ key }) => key);
    const before = await names();
    const rules = { keepLast: 1 };
    const tried = await snapshots.prune(rules, { graceMs: 0, dryRun: true });
    expect(await names()).toEqual(before);
    expect(tried).toMatchObject({ sweep: { dryRun: true } });
    expect(tried.sweep.parts).toBeGreaterThan(0);
    const done = await snapshots.prune(rules, { graceMs: 0 });
    expect({ ...done, sweep: { ...done.sweep, dryRun: true } }).toEqual(tried);
    await database.close();
  }),
);
