/** When a queued write is tried again: full jitter, so that writers that failed together part. */
import { type Random, RECORD_LIMITS } from '@holdfast/core';

/** @param failures in a row. Anything up to a bound that doubles with each of them. */
export function retryDelayMs(random: Random, failures: number): number {
  const { queuedWriteRetryMs: first, maxQueuedWriteRetryMs: highest } = RECORD_LIMITS;
  const bound = Math.min(first * 2 ** Math.min(Math.max(failures - 1, 0), 30), highest);
  return 1 + random.integer(bound);
}
