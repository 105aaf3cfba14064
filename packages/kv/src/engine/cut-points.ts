/**
 * Where a crash would hurt the key-value stores most; tests arm each of them through `onCut`. All
 * are passed within one turn: nothing here may wait, and nothing here may throw.
 */
export const KV_CUT_POINTS = [
  /** A write is on its way to the log. */
  'kv.submitted',
  /** A batch of entries is applied up to here, the rest of it is not. */
  'kv.applied',
  /** The rows and extents of a shard are in the cut of a checkpoint. */
  'kv.collected',
  /** The extent of an entry that was replaced or deleted before is given back in that cut. */
  'kv.graveFreed',
  /** An entry past its expiry is about to be removed. */
  'kv.purging',
  /** What is kept about a shard stands in memory again, without what the log holds. */
  'kv.shardLoaded',
] as const;

export type KvCutPoint = (typeof KV_CUT_POINTS)[number];
