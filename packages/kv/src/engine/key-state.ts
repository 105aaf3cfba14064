/**
 * What memory knows of one key: what is planned, what was applied since the last checkpoint, and
 * what rests in rows. Exists only while there is something to know.
 *
 * Invariants
 * 1. `applied` holds while `dirty`: the entry since the last checkpoint, or its absence.
 * 2. `resting` holds while `known`: the facts that the rows of the last checkpoint say.
 * 3. `planned` holds while commits are in flight: what the last of them leads to.
 * 4. A write in `queue` is planned only as its first: so the order of calls is kept.
 */
import type { ShardId } from '@holdfast/core';
import type { Flight } from '@holdfast/database';
import type { StoredFacts } from './kv-operations.ts';
import type { PendingWrite } from './pending-write.ts';

export interface AppliedEntry {
  readonly facts: StoredFacts;
  readonly value: Buffer;
}

export class KeyState {
  readonly store: string;
  readonly key: string;
  readonly shard: ShardId;
  known = false;
  resting: StoredFacts | undefined;
  dirty = false;
  applied: AppliedEntry | undefined;
  /** Kept by `StoreKeys`: it stands in the order of keys; its place in that of creation. */
  standsByKey = false;
  createdAs: string | undefined;
  /** It waits for its place in them. */
  isUnplaced = false;
  inFlight = 0;
  planned: StoredFacts | undefined;
  lastCommit: Flight | undefined;
  readonly queue: PendingWrite[] = [];

  constructor(store: string, key: string, shard: ShardId) {
    this.store = store;
    this.key = key;
    this.shard = shard;
  }

  /** What the next write will find. Only while `known`. */
  get ahead(): StoredFacts | undefined {
    if (this.inFlight > 0) return this.planned;
    return this.dirty ? this.applied?.facts : this.resting;
  }

  /** I1 to I4: nothing to know. */
  get isIdle(): boolean {
    return !this.dirty && this.inFlight === 0 && this.queue.length === 0;
  }
}
