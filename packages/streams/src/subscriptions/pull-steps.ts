/**
 * The steps of a pull-wake subscription: wake, write the event, wait for a claim and for its end.
 *
 * Invariants
 * 1. The event of a wake is in the wake stream once, whatever was retried or killed: it is
 *    appended as the producer of this subscription with the generation as epoch. A wake stream
 *    that was made anew takes it again, and one that knows no more producers may.
 * 2. A wake keeps its generation until it is claimed, however often the event had to be tried.
 */
import { cut } from '@holdfast/core';
import { appendTagged } from './append-json.ts';
import { giveUp } from './give-up.ts';
import { Deadline } from './deadline.ts';
import type { SubscriptionState } from './subscription-operations.ts';
import type { Subscription } from './subscription.ts';
import type { SubscriptionsCutPoint } from './subscriptions-cut-points.ts';
import {
  insist,
  isFinal,
  isRefusal,
  newWake,
  nextAttemptAt,
  REFUSED_MS,
  type WakeContext,
} from './wake-context.ts';
import type { NextLook, WakeSteps } from './wake-runner.ts';
import { ended, failed, issued, recovered } from './wake-transitions.ts';

type Decision = NextLook | 'issue' | 'announce' | 'end' | 'leaseOver' | 'giveUp';

export class PullSteps implements WakeSteps {
  readonly #context: WakeContext;
  readonly #subscription: Subscription;
  readonly #lease: Deadline;
  readonly #retry: Deadline;
  /** The wake whose event is known to be in the wake stream. */
  #announced: string | undefined;
  /** Rises when another stream takes the wake stream's path. */
  #wakeStreams = 0;

  constructor(context: WakeContext, subscription: Subscription) {
    this.#context = context;
    this.#subscription = subscription;
    this.#lease = new Deadline(context.clock);
    this.#retry = new Deadline(context.clock);
  }

  poked(): void {}

  /** What was in the wake stream is gone with it. */
  wakeStreamReplaced(): void {
    this.#announced = undefined;
    this.#wakeStreams++;
  }

  async step(signal: AbortSignal): Promise<NextLook> {
    const decision = this.#decide();
    const { state } = this.#subscription;
    switch (decision) {
      case 'issue': {
        const issue = (): SubscriptionState =>
          issued(this.#subscription.state, newWake(this.#context, this.#subscription));
        if (await this.#move(signal, decision, issue)) {
          await cut('subscriptions.wakeCommitted' satisfies SubscriptionsCutPoint);
        }
        return 'again';
      }
      case 'announce':
        return this.#announce(signal, state);
      case 'end':
      case 'leaseOver':
        await this.#move(signal, decision, () => ended(this.#subscription.state));
        return 'again';
      case 'giveUp':
        await giveUp(this.#context, this.#subscription, signal, 'the wake stream takes no events');
        return 'again';
      default:
        return decision;
    }
  }

  #decide(): Decision {
    const { state, pending, config, hasNewWork } = this.#subscription;
    const { settings } = this.#context;
    const { wake, nextAttemptAtMs } = state;
    if (wake === undefined) return hasNewWork ? 'issue' : 'poked';
    if (wake.phase === 'claimed') {
      const leaseMs = this.#lease.remainingMs(wake.leaseUntilMs, config.leaseTtlMs);
      return leaseMs > 0 ? leaseMs : 'leaseOver';
    }
    // Nobody has it and there is nothing to do: the next work needs an event of its own.
    if (pending.size === 0) return 'end';
    if (nextAttemptAtMs !== undefined) {
      if (state.failedAttempts >= settings.maxWebhookAttempts) return 'giveUp';
      const waitMs = this.#retry.remainingMs(nextAttemptAtMs, settings.maxWebhookRetryMs);
      return waitMs > 0 ? waitMs : 'announce';
    }
    return this.#announced === wake.wakeId ? 'poked' : 'announce';
  }

  async #announce(signal: AbortSignal, state: SubscriptionState): Promise<NextLook> {
    const subscription = this.#subscription;
    const { config, id, incarnation } = subscription;
    const wakeId = state.wake?.wakeId;
    const event = {
      type: 'wake',
      subscription_id: id,
      stream: subscription.snapshot(1).find(({ pending }) => pending)?.path ?? '',
      generation: state.generation,
      ts: this.#context.clock.now(),
    };
    const wakeStreams = this.#wakeStreams;
    subscription.workAtAttempt = subscription.work;
    const producer = { id: `subscription-${incarnation}`, epoch: state.generation, seq: 0 };
    try {
      await appendTagged(this.#context.streams, config.wakeStream as string, event, producer);
    } catch (error) {
      if (isFinal(error)) throw error;
      if (isRefusal(error)) return REFUSED_MS;
      await this.#settle(signal, wakeId, () =>
        failed(subscription.state, nextAttemptAt(this.#context, subscription)),
      );
      return 'again';
    }
    await cut('subscriptions.eventAppended' satisfies SubscriptionsCutPoint);
    if (wakeStreams === this.#wakeStreams) this.#announced = wakeId;
    await this.#settle(signal, wakeId, () => {
      const { state: now } = subscription;
      return now.failedAttempts > 0 && now.wake !== undefined
        ? recovered(now, now.wake)
        : undefined;
    });
    return 'again';
  }

  /** Unless the wake was claimed or is over. */
  async #settle(
    signal: AbortSignal,
    wakeId: string | undefined,
    next: () => SubscriptionState | undefined,
  ): Promise<void> {
    await insist(this.#context, this.#subscription, signal, () => {
      const { wake } = this.#subscription.state;
      if (wake?.wakeId !== wakeId || wake?.phase !== 'issued') return undefined;
      const state = next();
      return state === undefined ? undefined : { state, result: true };
    });
  }

  /** @param reason the decision it rests on; another one by then is left to the next look. */
  #move(
    signal: AbortSignal,
    reason: Decision,
    next: () => SubscriptionState,
  ): Promise<boolean | undefined> {
    return insist(this.#context, this.#subscription, signal, () =>
      this.#decide() === reason ? { state: next(), result: true } : undefined,
    );
  }
}
