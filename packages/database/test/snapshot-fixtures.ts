/** One database with a repository in a world of its own, and what tests of snapshots do with it. */
import type { HoldfastError, Lsn } from '@holdfast/core';
import { MemoryObjectStore, type ObjectStore } from '@holdfast/objects';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import type { BackupSettings } from '../src/backup/database-backup.ts';
import type { DatabaseSnapshots } from '../src/backup/snapshot/database-snapshots.ts';
import type { Repository } from '../src/backup/repository/repository.ts';
import type { Database } from '../src/index.ts';
import { openArchived, repositoryOf, type ringOf } from './archive-fixtures.ts';
import type { RowEngine } from './row-engine.ts';

export interface World {
  readonly clock: SimClock;
  readonly fs: SimFs;
  readonly objects: ObjectStore;
  readonly database: Database;
  readonly snapshots: DatabaseSnapshots;
  readonly engine: RowEngine;
  readonly repository: Repository;
}

export interface WorldSettings extends BackupSettings {
  readonly seed?: number;
  readonly keys?: ReturnType<typeof ringOf>;
  readonly store?: (inner: ObjectStore, clock: SimClock) => ObjectStore;
}

/** Runs `play` in a world of its own, and closes the database whatever happened. */
export function within(
  settings: WorldSettings,
  play: (world: World) => Promise<void>,
): Promise<void> {
  const { seed = 1, keys, store = (inner) => inner, ...backup } = settings;
  const random = new SeededRandom(seed);
  const clock = new SimClock(random);
  const fs = new SimFs({ yieldPoint: () => clock.yieldPoint() });
  const objects = store(new MemoryObjectStore({ clock }), clock);
  const place = { fileSystem: fs, clock, random, objects, ...(keys === undefined ? {} : { keys }) };
  return clock.run(
    (async () => {
      const { database, engine } = await openArchived(place, backup);
      const snapshots = database.snapshots as DatabaseSnapshots;
      const repository = await repositoryOf(fs, objects, keys);
      try {
        await play({ clock, fs, objects, database, snapshots, engine, repository });
      } finally {
        await database.close();
      }
    })(),
  );
}

export async function fill(
  engine: RowEngine,
  from: number,
  count: number,
  bytes = 3_000,
): Promise<Lsn> {
  let last = 0 as Lsn;
  for (let number = from; number < from + count; number++) {
    last = await engine.write(new Map([[`key ${number}`, Buffer.alloc(bytes, `${number}.`)]]));
  }
  return last;
}

export async function errorOf(work: Promise<unknown>): Promise<HoldfastError> {
  try {
    await work;
  } catch (error) {
    return error as HoldfastError;
  }
  throw new Error('it was expected to fail');
}
