/**
 * The end of trying: a dead letter, then the subscription is parked.
 *
 * Invariants
 * 1. The letter is durable before the subscription is parked; a crash between the two writes it
 *    again, and the stream takes it for the duplicate it is.
 * 2. Work that came after the last attempt was never tried: it wakes the subscription again.
 */
import { cut, sleep } from '@holdfast/core';
import { formatPosition } from '../position.ts';
import type { DeadLetter } from './dead-letters.ts';
import type { Subscription } from './subscription.ts';
import type { SubscriptionsCutPoint } from './subscriptions-cut-points.ts';
import { insist, isFinal, isRefusal, REFUSED_MS, type WakeContext } from './wake-context.ts';
import { parked } from './wake-transitions.ts';

/** Stops half-way when the wake was answered in between: then there is a letter too many. */
export async function giveUp(
  context: WakeContext,
  subscription: Subscription,
  signal: AbortSignal,
  reason: string,
): Promise<void> {
  const { wake } = subscription.state;
  if (wake === undefined) return;
  await writeLetter(context, subscription, signal, letterOf(context, subscription, reason));
  if (signal.aborted) return;
  await cut('subscriptions.deadLetterAppended' satisfies SubscriptionsCutPoint);
  const done = await insist(context, subscription, signal, () => {
    const { state } = subscription;
    const isSame = state.wake?.wakeId === wake.wakeId && state.nextAttemptAtMs !== undefined;
    return isSame ? { state: parked(state), result: true } : undefined;
  });
  if (done === undefined) return;
  subscription.workAtParking = subscription.workAtAttempt; // I2
  context.logger.warn('subscriptions.parked', { generation: subscription.state.generation });
}

function letterOf(
  { clock, settings }: WakeContext,
  subscription: Subscription,
  reason: string,
): DeadLetter {
  const { state, id } = subscription;
  const streams = subscription.snapshot(settings.maxWakeStreams).filter(({ pending }) => pending);
  return {
    type: 'dead-letter',
    subscription_id: id,
    wake_id: state.wake?.wakeId ?? '',
    generation: state.generation,
    attempts: state.failedAttempts,
    reason,
    streams: streams.map(({ path, acked, tail }) => ({
      path,
      acked_offset: formatPosition(acked),
      tail_offset: formatPosition(tail),
    })),
    ts: clock.now(),
  };
}

/** However long there is no room. What cannot be written for another reason is told in the log. */
async function writeLetter(
  context: WakeContext,
  subscription: Subscription,
  signal: AbortSignal,
  letter: DeadLetter,
): Promise<void> {
  for (;;) {
    try {
      await context.deadLetters.append(letter, subscription.incarnation);
      return;
    } catch (error) {
      if (!isRefusal(error)) {
        if (isFinal(error)) throw error;
        context.logger.error('subscriptions.dead_letter_lost', { reason: String(error) });
        return;
      }
      await sleep(context.clock, REFUSED_MS, signal);
    }
  }
}
