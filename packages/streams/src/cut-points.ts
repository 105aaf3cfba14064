/**
 * Where a crash would hurt the streams most; tests arm each of them through `onCut`. The engine
 * plans and applies within one turn, so nothing here may wait, and nothing here may throw.
 */
export const STREAMS_CUT_POINTS = [
  /** A fork and the count of its source are one commit that is on its way. */
  'streams.forkSubmitted',
  /** A delete is about to be planned, with everything that goes with it. */
  'streams.deleting',
  /** A deleted fork takes a soft-deleted ancestor along. */
  'streams.cascadePlanned',
  /** Of the records of one commit, one is applied that leaves a stream to its forks. */
  'streams.softDeleteApplied',
  /** One that counts forks. */
  'streams.forkCountApplied',
  /** One that removes a stream. */
  'streams.removeApplied',
  /** The reaper is about to delete what has expired. */
  'streams.expiring',
  /** The rows and extents of a shard are in the cut of a checkpoint. */
  'streams.collected',
  /** The space of a removed stream is given back in that cut. */
  'streams.graveFreed',
  /** The streams of a shard stand in memory again, without what the log holds. */
  'streams.shardLoaded',
] as const;

export type StreamsCutPoint = (typeof STREAMS_CUT_POINTS)[number];
