/**
 * A key-value store in an object store: S3, or any other one that puts with conditions. One process
 * writes at a time; another one that begins to write fences it. Reads are anybody's.
 */
import { type Clock, LIMITS, type Random } from '@holdfast/core';
import type { ObjectStore } from '@holdfast/objects';
import type { FencedKvStore } from '../../fencing.ts';
import { BackedFencedKvStore } from '../backed-fenced-kv-store.ts';
import { CallGate } from '../call-gate.ts';
import { CellKvBackend } from '../cell/cell-kv-backend.ts';
import { ObjectCellStore } from '../objects/object-cell-store.ts';

export interface S3KvSettings {
  readonly id: string;
  /** Requests at a time. Default: 8. */
  readonly connections?: number;
  /** What writes carry: see `fencing.ts`. Default: 0. */
  readonly epoch?: number;
}

export interface S3KvComponents {
  readonly clock: Clock;
  readonly random: Random;
  /** All of it is the store's; who opened it closes it, after the key-value store. */
  readonly objects: ObjectStore;
}

export async function openS3KvStore(
  { clock, random, objects }: S3KvComponents,
  settings: S3KvSettings,
): Promise<FencedKvStore> {
  const { id, connections = LIMITS.backendConnections, epoch = 0 } = settings;
  const store = new ObjectCellStore(
    {
      objects,
      gate: new CallGate(clock, connections),
      nowMs: () => clock.now(),
      close: () => Promise.resolve(),
    },
    { sole: false, durability: 'power' },
  );
  const backend = await CellKvBackend.open({ clock, random, store }, { id, epoch, sole: false });
  return new BackedFencedKvStore({ clock }, backend);
}
