/** The log lets go only what a manifest on disk stands for: never at the collect, never at a commit that failed. */
import { BlockCodec, type Lsn, type ShardId, SILENT } from '@holdfast/core';
import { BlockCache, ManifestStore } from '@holdfast/tables';
import { SeededRandom, SimClock, type SimDisk, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { Checkpointer } from '../src/checkpointer.ts';
import { DatabaseShard } from '../src/database-shard.ts';
import { EngineRegistry } from '../src/engine-registry.ts';
import { ExtentStore } from '../src/extent-store.ts';
import { ManifestKeeper } from '../src/manifest-keeper.ts';

const DIR = '/data';
const codec = new BlockCodec(Buffer.alloc(16, 7));

interface Raised {
  readonly lsn: Lsn;
  /** As it was in that moment. */
  readonly disk: SimDisk;
}

/** A checkpointer over one shard whose newest record is the `appliedLsn` it is given. */
async function checkpointerOf(
  fileSystem: SimFs,
): Promise<{ checkpoint(lsn: number): Promise<void>; raised: Raised[] }> {
  const raised: Raised[] = [];
  await fileSystem.makeDirectory(DIR);
  const { store } = await ManifestStore.open({ fileSystem, codec }, DIR);
  const first = {
    generation: 0,
    previousDigest: Buffer.alloc(32),
    writerEpoch: 1,
    nextFileId: 1,
    cleanShutdown: false,
    writtenAtMs: 0,
    shards: [{ appliedLsn: 0 as Lsn, tables: [] }],
    extentFiles: [],
  };
  const manifest = new ManifestKeeper(store, first, new SimClock(new SeededRandom(1)));
  await manifest.edit((current) => current);
  const onDamage = (): void => undefined;
  const shared = { fileSystem, codec, cache: new BlockCache(1 << 20), logger: SILENT, onDamage };
  const extents = new ExtentStore(shared, DIR, () => manifest.claimFileId());
  const shard = new DatabaseShard(0 as ShardId, extents);
  let appliedLsn = 0 as Lsn;
  const checkpointer = new Checkpointer(shared, {
    dir: DIR,
    shards: [shard],
    extents,
    manifest,
    registry: new EngineRegistry([]),
    floor: {
      raise: (lsn) => void raised.push({ lsn, disk: fileSystem.disk.clone() }),
      release: () => undefined,
    },
    appliedLsn: () => appliedLsn,
    onDropped: () => undefined,
  });
  const checkpoint = (lsn: number): Promise<void> => {
    shard.put(Buffer.from(`row ${lsn}`), Buffer.from('value'));
    appliedLsn = lsn as Lsn;
    return checkpointer.run();
  };
  return { checkpoint, raised };
}

/** What a start after a power cut in that moment would go on from. */
async function lsnAfterPowerCut(disk: SimDisk, seed: number): Promise<number | undefined> {
  const fileSystem = new SimFs({ disk }).powerCut(new SeededRandom(seed));
  const { manifest } = await ManifestStore.open({ fileSystem, codec }, DIR);
  return manifest?.shards[0]?.appliedLsn;
}

it('the floor of the log is raised when the manifest with the cut survives a power cut, not before', async () => {
  const { checkpoint, raised } = await checkpointerOf(new SimFs());
  for (const lsn of [5, 9]) await checkpoint(lsn);
  expect(raised.map(({ lsn }) => lsn)).toEqual([5, 9]);
  for (const { lsn, disk } of raised) {
    for (let seed = 1; seed <= 8; seed++) {
      expect(await lsnAfterPowerCut(disk.clone(), seed)).toBe(lsn);
    }
  }
});

it('the floor of the log stays where it is over a commit that failed', async () => {
  const fileSystem = new SimFs();
  const { checkpoint, raised } = await checkpointerOf(fileSystem);
  const path = (name: string): boolean => name.includes('/manifest-');
  fileSystem.disk.faults.plan({ effect: 'ENOSPC', operations: ['rename'], path });
  await expect(checkpoint(5)).rejects.toMatchObject({ code: 'DISK_FULL' });
  expect(raised).toEqual([]);
  await checkpoint(7);
  expect(raised.map(({ lsn }) => lsn)).toEqual([5, 7]);
  fileSystem.disk.faults.plan({ effect: 'EIO', operations: ['rename'], path, performed: true });
  await expect(checkpoint(9)).rejects.toMatchObject({ effect: 'unknown' });
  expect(raised).toHaveLength(2);
});
