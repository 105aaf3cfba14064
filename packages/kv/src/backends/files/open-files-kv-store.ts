/**
 * A key-value store with one file for each entry, in its own folder: whole and synced before a write
 * is acknowledged, under names that every disk takes. For exports and few large values: for many
 * small ones any other backend is quicker.
 */
import { type Clock, type FileSystem, LIMITS, NodeFileSystem, type Random } from '@holdfast/core';
import { openFsObjectStore } from '@holdfast/objects';
import type { FencedKvStore } from '../../fencing.ts';
import { BackedFencedKvStore } from '../backed-fenced-kv-store.ts';
import { CallGate } from '../call-gate.ts';
import { CellKvBackend } from '../cell/cell-kv-backend.ts';
import { ObjectCellStore } from '../objects/object-cell-store.ts';

export interface FilesKvSettings {
  readonly id: string;
  /** A folder of this store alone; made if it is not there. */
  readonly directory: string;
  /** What writes carry: see `fencing.ts`. Default: 0. */
  readonly epoch?: number;
}

export interface FilesKvComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly fileSystem?: FileSystem;
}

export async function openFilesKvStore(
  { clock, random, fileSystem = new NodeFileSystem() }: FilesKvComponents,
  { id, directory, epoch = 0 }: FilesKvSettings,
): Promise<FencedKvStore> {
  await fileSystem.makeDirectory(directory);
  const lock = await fileSystem.lockDirectory(directory);
  try {
    const place = { directory: `${directory}/entries` };
    const objects = await openFsObjectStore(place, { clock, random, fileSystem });
    const close = async (): Promise<void> => {
      await objects.close();
      await lock.release();
    };
    const gate = new CallGate(clock, LIMITS.backendConnections);
    const store = new ObjectCellStore(
      { objects, gate, nowMs: () => clock.now(), close },
      { sole: true, durability: 'power' },
    );
    const backend = await CellKvBackend.open({ clock, random, store }, { id, epoch, sole: true });
    return new BackedFencedKvStore({ clock }, backend);
  } catch (error) {
    await lock.release();
    throw error;
  }
}
