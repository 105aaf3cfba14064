/**
 * Taking a store away from its other writers: an epoch that rests in the store, is raised there by
 * compare-and-set, and is carried by every write.
 *
 * Contract
 * 1. Of any number of claims of one epoch at most one succeeds, whoever makes them and wherever. A
 *    claim at or below the newest epoch is `FENCED`, as is one that another one was quicker than.
 * 2. Once a claim has resolved no write of a store that carries a lower epoch is acknowledged: it is
 *    `FENCED`. The effect says whether the write may be there nevertheless; backends that compare
 *    the epoch in the write itself (SQL, Redis) say `none`.
 * 3. A store carries the epoch it was opened with (default 0: that of a store nobody ever claimed)
 *    until it claims another one. Whoever goes on after a restart opens with the epoch that it had
 *    claimed: one that it reads from the store would be that of whoever took it over.
 * 4. An entry tells the epoch of its last writer. Reads are not fenced.
 */
import { HoldfastError } from '@holdfast/core';
import { assertCount } from './checked-writes.ts';
import type { KvCallOptions, KvStore } from './kv-store.ts';

export interface KvFence {
  /** What writes of this store carry. */
  readonly epoch: number;
  /** The highest epoch that was claimed in the store; 0: none ever was. */
  newest(options?: KvCallOptions): Promise<number>;
  /** Raises the newest epoch to this one, which writes carry from then on. */
  claim(epoch: number, options?: KvCallOptions): Promise<void>;
}

/** A store that can be taken over. */
export interface FencedKvStore extends KvStore {
  readonly fence: KvFence;
}

export function fencedError(
  newest: number,
  epoch: number,
  effect: 'none' | 'unknown' = 'none',
): HoldfastError {
  return new HoldfastError('FENCED', `the store has a newer writer epoch=${newest} own=${epoch}`, {
    effect,
    details: { epoch: newest },
  });
}

/** A claim has to be a number above 0. */
export function assertEpoch(epoch: number): void {
  assertCount('epoch', epoch, 1);
}
