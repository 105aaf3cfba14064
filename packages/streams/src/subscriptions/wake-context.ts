/** What the steps of all subscriptions share: seams, settings, and the way to a durable change. */
import { type Clock, isHoldfastError, type Logger, type Random, sleep } from '@holdfast/core';
import type { StreamStore } from '../stream-store.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { DeliverySlots } from './delivery-slots.ts';
import type { Mutation, MutationQueue } from './mutation-queue.ts';
import { retryDelayMs } from './retry-schedule.ts';
import type { SigningKeys } from './signing-keys.ts';
import type { ObservedStreams } from './stream-observer.ts';
import type { LinkRow, SubscriptionState, WakeState } from './subscription-operations.ts';
import type { SubscriptionSettings } from './subscription-settings.ts';
import type { Subscription } from './subscription.ts';
import type { WebhookSender } from './webhook-sender.ts';

/** Pause before a change that found no room is tried again. */
export const REFUSED_MS = 500;
const WAKE_ID_BYTES = 12;

export interface SubscriptionEndpoints {
  /** Where a receiver calls back; undefined while the node has no public URL. */
  callbackUrl(id: string): string | undefined;
}

export interface WakeContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly streams: StreamStore;
  readonly observed: () => ObservedStreams;
  readonly sender: WebhookSender;
  readonly endpoints: SubscriptionEndpoints;
  readonly settings: SubscriptionSettings;
  readonly queue: MutationQueue;
  readonly keys: SigningKeys;
  readonly slots: DeliverySlots;
  readonly deadLetters: DeadLetters;
}

/** A wake as it is about to be handed out. */
export function newWake(
  context: Pick<WakeContext, 'clock' | 'random' | 'observed'>,
  subscription: Subscription,
): WakeState {
  return {
    wakeId: `w_${context.random.bytes(WAKE_ID_BYTES).toString('base64url')}`,
    phase: 'issued',
    leaseUntilMs: leaseEnd(context, subscription),
    highestStreamId: context.observed().highestId,
  };
}

export function leaseEnd({ clock }: Pick<WakeContext, 'clock'>, { config }: Subscription): number {
  return clock.now() + config.leaseTtlMs;
}

export function nextAttemptAt(context: WakeContext, { state }: Subscription): number {
  const { clock, random, settings } = context;
  return clock.now() + retryDelayMs(random, settings, state.failedAttempts + 1);
}

/** What moves a subscription on its own; `undefined`: there is no reason to any more. */
export interface Move<T> {
  readonly state: SubscriptionState;
  readonly links?: readonly LinkRow[];
  /** Called once durable. */
  readonly result: T;
}

/**
 * Makes a move durable, however long there is no room for it. The plan is asked anew before
 * every try, in the turn of the commit; without a move nothing happens. Rejects when the signal is
 * aborted and with what is final.
 */
export async function insist<T>(
  context: WakeContext,
  subscription: Subscription,
  signal: AbortSignal,
  plan: () => Move<T> | undefined,
): Promise<T | undefined> {
  const mutation = (): Mutation<T | undefined> => {
    const move = subscription.removed || signal.aborted ? undefined : plan();
    if (move === undefined) return { operations: [], result: () => undefined };
    return {
      operations: [subscription.update(move.state, move.links)],
      result: () => move.result,
    };
  };
  for (;;) {
    try {
      return await context.queue.runInternal(subscription.id, mutation);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      await sleep(context.clock, REFUSED_MS, signal);
    }
  }
}

/** The same may succeed in a moment: nothing is wrong with what was asked. */
export function isRefusal(error: unknown): boolean {
  return isHoldfastError(error) && error.retryable && !isFinal(error);
}

/** Storage has failed or is closed: this process commits nothing any more. */
export function isFinal(error: unknown): boolean {
  if (!isHoldfastError(error)) return false;
  return error.code === 'NODE_FAILED' || error.code === 'CLOSED' || error.effect === 'unknown';
}
