/**
 * What the next checkpoint of one shard has to write.
 *
 * Invariants
 * 1. A stream whose rows are behind its applied state is in `dirty`.
 * 2. `highestId` only rises; an operation on a smaller, unknown id is about a stream that was
 *    removed, a greater one would be a lost record.
 */
import type { CounterRow } from './stream-rows.ts';
import type { Stream } from './stream.ts';

export class ShardChanges {
  readonly dirty: Set<Stream> = new Set();
  /** Removed streams that still have rows or extents, by id. */
  readonly graves: Map<number, Stream> = new Map();
  /** Streams of the last collect: on disk once it is checkpointed. */
  collected: Stream[] = [];
  /** Touched by readers since their rows were written; those rows are not behind otherwise. */
  readonly touched: Set<Stream> = new Set();
  highestId = 0;
  /** What the counter row says, if there is one. */
  saved: CounterRow | undefined;
}
