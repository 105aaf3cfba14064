/** When a failed delivery is tried again (PROTOCOL 7.1). */
import { LIMITS, type Random } from '@holdfast/core';

const STEPS = 1_000_000;

/** @param failures in a row, from 1. Doubles, with a random share up or down, up to the maximum. */
export function retryDelayMs(
  random: Random,
  settings: { readonly webhookRetryMs: number; readonly maxWebhookRetryMs: number },
  failures: number,
): number {
  const { webhookRetryMs, maxWebhookRetryMs } = settings;
  const plain = Math.min(webhookRetryMs * 2 ** Math.min(failures - 1, 30), maxWebhookRetryMs);
  const share = (random.integer(2 * STEPS + 1) / STEPS - 1) * LIMITS.webhookRetryJitterFraction;
  return Math.min(Math.round(plain * (1 + share)), maxWebhookRetryMs);
}
