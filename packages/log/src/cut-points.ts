/** Where a crash would hurt the log most; tests arm them through `onCut`. */
export const LOG_CUT_POINTS = [
  /** The frame is complete in memory, nothing of it is written. */
  'log.beforeWrite',
  /** The frame is written, not synced. */
  'log.afterWrite',
  /** The batch is durable, nobody has heard of it. */
  'log.afterSync',
  /** A new segment file holds synced zeros and its name is durable; it has no header yet. */
  'log.segmentPrepared',
  /** The header of the next segment is durable; the old segment is sealed from here on. */
  'log.rollCreated',
  /** Zeros ahead of the tail are written, not synced; the tail has not entered them. */
  'log.extended',
  /** A segment is unlinked, its folder is not synced. */
  'log.truncateUnlinked',
  /** Recovery wrote zeros over a torn tail and has not synced them. */
  'log.recoveryZeroing',
  /** Recovery made the end of the last segment durable; no new segment exists. */
  'log.recoverySettled',
  /** The segment of this start is durable; leftovers are still there. */
  'log.recoveryBegun',
  /** The closing frame is written, not synced. */
  'log.closeWritten',
] as const;

export type LogCutPoint = (typeof LOG_CUT_POINTS)[number];
