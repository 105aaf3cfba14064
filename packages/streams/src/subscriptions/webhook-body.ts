/** What a webhook says, and what its receiver answers (PROTOCOL 7.1). */
import { LIMITS } from '@holdfast/core';
import { formatPosition } from '../position.ts';
import type { Wake } from './subscription-store.ts';
import type { WebhookAnswer } from './webhook-sender.ts';

export function webhookBody(id: string, wake: Wake, callbackUrl: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      subscription_id: id,
      wake_id: wake.wakeId,
      generation: wake.generation,
      streams: wake.streams.map(({ path, linkType, acked, tail, pending }) => ({
        path,
        link_type: linkType,
        acked_offset: formatPosition(acked),
        tail_offset: formatPosition(tail),
        has_pending: pending,
      })),
      callback_url: callbackUrl,
      callback_token: wake.token,
    }),
  );
}

export type DeliveryOutcome =
  | { readonly kind: 'done' }
  /** The receiver has it and will call back. */
  | { readonly kind: 'accepted' }
  /** `reason` is told to users: bounded, and nothing of the inside. */
  | { readonly kind: 'failed'; readonly reason: string };

export function outcomeOf({ status, body }: WebhookAnswer): DeliveryOutcome {
  if (status < 200 || status > 299) return { kind: 'failed', reason: `status ${status}` };
  return { kind: saysDone(body) ? 'done' : 'accepted' };
}

/** Anything but a JSON object that says so is no. */
function saysDone(body: Buffer): boolean {
  if (body.length === 0 || body.length > LIMITS.maxWebhookAnswerBytes) return false;
  try {
    const answer: unknown = JSON.parse(body.toString('utf8'));
    return (
      typeof answer === 'object' &&
      answer !== null &&
      Object.hasOwn(answer, 'done') &&
      (answer as { done: unknown }).done === true
    );
  } catch {
    return false;
  }
}
