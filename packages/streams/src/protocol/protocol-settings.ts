/** What an operator may set about the protocol; every default is a limit of `LIMITS`. */
import { LIMITS } from '@holdfast/core';
import type { CrossOriginSettings } from '../http/cross-origin-policy.ts';

export interface StreamProtocolSettings {
  /** Everything under it is a stream. Starts and ends with a slash. */
  readonly basePath: string;
  /** How long a long-poll waits. Longer: fewer requests, more idle connections. */
  readonly longPollTimeoutMs: number;
  /** Body of one read. Larger: fewer requests, more memory per reader. */
  readonly maxChunkBytes: number;
  /** Largest request body. */
  readonly maxBodyBytes: number;
  /** Bytes of all request bodies that are not whole yet. */
  readonly maxCollectedBodyBytes: number;
  /** Age at which an SSE connection is ended, for caches to collapse. */
  readonly sseRotateMs: number;
  /** Pause between two comment lines on an SSE connection. */
  readonly sseHeartbeatMs: number;
  /** Unsent bytes at which a live SSE reader is dropped. */
  readonly maxSseBufferedBytes: number;
  /** Long-polls and SSE connections together. */
  readonly maxLiveReaders: number;
  /** A response nobody reads for this long is dropped. */
  readonly writeIdleTimeoutMs: number;
  /** What is there to be read has to be taken at this rate, over each `writeIdleTimeoutMs`. */
  readonly minReadBytesPerSecond: number;
  /** Memory of responses that clients are slow to take, over all of them. */
  readonly maxUnsentBytes: number;
  readonly cors: CrossOriginSettings;
}

export const DEFAULT_PROTOCOL_SETTINGS: StreamProtocolSettings = {
  basePath: '/v1/stream/',
  longPollTimeoutMs: LIMITS.longPollTimeoutMs,
  maxChunkBytes: LIMITS.maxChunkBytes,
  maxBodyBytes: LIMITS.maxBodyBytes,
  maxCollectedBodyBytes: LIMITS.maxCollectedBodyBytes,
  sseRotateMs: LIMITS.sseRotateMs,
  sseHeartbeatMs: LIMITS.sseHeartbeatMs,
  maxSseBufferedBytes: LIMITS.maxSseBufferedBytes,
  maxLiveReaders: LIMITS.maxLiveReaders,
  writeIdleTimeoutMs: LIMITS.writeIdleTimeoutMs,
  minReadBytesPerSecond: LIMITS.minReadBytesPerSecond,
  maxUnsentBytes: LIMITS.maxUnsentBytes,
  cors: { allowOrigin: [] },
};
