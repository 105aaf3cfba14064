/** Repositories that are not what a directory remembers, and directories that do not remember. */
import { HoldfastError, onCut, sleep, type Lsn } from '@holdfast/core';
import type { ObjectStore } from '@holdfast/objects';
import { afterEach, describe, expect, it } from 'vitest';
import { ArchiveMemory, writeArchiveState } from '../src/backup/archive/archive-state.ts';
import { repositoryId } from '../src/backup/repository/repository-names.ts';
import { openDatabase, rebalanceDatabase, verifyDatabase } from '../src/index.ts';
import { type OpenedDatabase, repositoryOf, write } from './archive-fixtures.ts';
import {
  clock,
  random,
  type Node,
  newStore,
  copyOf,
  writeSome,
  running,
  inWorld,
  refusal,
} from './archive-nodes.ts';
import { RowEngine } from './row-engine.ts';

let off: (() => void) | undefined;
afterEach(() => off?.());

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
      const { database: again, engine } = await node.open(empty, {
        acceptRollback: true,
        archivePieceBytes: 50,
      });
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
  const engine = new RowEngine();
  const { fileSystem } = node;
  const database = await openDatabase(
    { fileSystem, clock, random, objects },
    { dir: '/data', diskReserveBytes: 0, scrubIntervalMs: 0 },
    [engine],
  );
  return { database, engine };
}
