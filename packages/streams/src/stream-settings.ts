/** Settings of the stream engine. Defaults come from `LIMITS`; all are plain data. */
import { HoldfastError, LIMITS } from '@holdfast/core';

export interface StreamSettings {
  /** See `LIMITS.maxStreams`. */
  readonly maxStreams: number;
  /** See `LIMITS.maxProducersPerStream`. */
  readonly maxProducersPerStream: number;
  /** Own bytes of one stream. Beyond: `STREAM_TOO_LARGE`. Absent: no bound. */
  readonly maxStreamBytes?: number;
  /** Own bytes of all streams. Beyond: `QUOTA_EXCEEDED`. Absent: no bound but the disk. */
  readonly maxTotalBytes?: number;
  readonly tailCacheBytesPerStream: number;
  readonly tailCacheBytes: number;
  /** See `LIMITS.readPieceBytes`. */
  readonly readPieceBytes: number;
  readonly reaperIntervalMs: number;
  /** No deletes by expiry this long after the start: time for an operator to look at the clock. */
  readonly reaperStartGraceMs: number;
}

export function streamSettings(given: Partial<StreamSettings> = {}): StreamSettings {
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === 'number' && !(Number.isSafeInteger(value) && value >= 0)) {
      throw new HoldfastError('INVALID_SETTINGS', `not a whole number ${name}=${value}`);
    }
  }
  return Object.freeze({
    maxStreams: LIMITS.maxStreams,
    maxProducersPerStream: LIMITS.maxProducersPerStream,
    tailCacheBytesPerStream: LIMITS.tailCacheBytesPerStream,
    tailCacheBytes: LIMITS.tailCacheBytes,
    readPieceBytes: LIMITS.readPieceBytes,
    reaperIntervalMs: LIMITS.reaperIntervalMs,
    reaperStartGraceMs: LIMITS.reaperStartGraceMs,
    ...given,
  });
}
