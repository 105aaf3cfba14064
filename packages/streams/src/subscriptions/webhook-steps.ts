/**
 * The steps of a webhook subscription: wake, deliver, wait for the callback, try again, give up.
 *
 * Invariants
 * 1. A wake is durable before it is sent, and made only when a slot for its delivery is free: the
 *    lease does not run while it waits for one.
 * 2. Every delivery has a generation of its own.
 * 3. The outcome of a delivery changes nothing once its wake is over.
 */
import { cut, isHoldfastError } from '@holdfast/core';
import { comparePositions } from '../position.ts';
import { Deadline } from './deadline.ts';
import { giveUp } from './give-up.ts';
import { insist, type Move, newWake, nextAttemptAt, type WakeContext } from './wake-context.ts';
import { delivered, ended, failed, issued } from './wake-transitions.ts';
import type { LinkRow } from './subscription-operations.ts';
import type { Wake, WakeStream } from './subscription-store.ts';
import { rowOf, type Subscription } from './subscription.ts';
import type { NextLook, WakeSteps } from './wake-runner.ts';
import { wakeToken } from './wake-token.ts';
import { type DeliveryOutcome, outcomeOf, webhookBody } from './webhook-body.ts';
import type { SubscriptionsCutPoint } from './subscriptions-cut-points.ts';

/** A snapshot entry with the stream it is about. */
interface Handed extends WakeStream {
  readonly streamId: number;
}

interface Delivery {
  readonly wake: Wake;
  readonly handed: readonly Handed[];
}

type Decision = NextLook | 'deliver' | 'end' | 'leaseOver' | 'giveUp';

export class WebhookSteps implements WakeSteps {
  readonly #context: WakeContext;
  readonly #subscription: Subscription;
  readonly #lease: Deadline;
  readonly #retry: Deadline;
  /** The wake this process sent; another one that is issued was sent, if at all, by the last. */
  #sent: string | undefined;
  #sending: AbortController | undefined;
  #reason = 'deliveries failed';

  constructor(context: WakeContext, subscription: Subscription) {
    this.#context = context;
    this.#subscription = subscription;
    this.#lease = new Deadline(context.clock);
    this.#retry = new Deadline(context.clock);
  }

  /** A delivery whose wake is over holds its slot for nothing. */
  poked(): void {
    const { state } = this.#subscription;
    if (this.#sending !== undefined && state.wake?.wakeId !== this.#sent) this.#sending.abort();
  }

  async step(signal: AbortSignal): Promise<NextLook> {
    const decision = this.#decide();
    switch (decision) {
      case 'deliver':
        return this.#deliver(signal);
      case 'end':
        await this.#move(signal, 'end', () => ended(this.#subscription.state));
        return 'again';
      case 'leaseOver':
        this.#reason = 'the lease ran out';
        await this.#move(signal, 'leaseOver', () =>
          failed(this.#subscription.state, nextAttemptAt(this.#context, this.#subscription)),
        );
        return 'again';
      case 'giveUp':
        await giveUp(this.#context, this.#subscription, signal, this.#reason);
        return 'again';
      default:
        return decision;
    }
  }

  /** From state and time alone. */
  #decide(): Decision {
    const { state, pending, config, hasNewWork } = this.#subscription;
    const { settings, endpoints } = this.#context;
    const { wake, nextAttemptAtMs } = state;
    const isReachable = endpoints.callbackUrl(this.#subscription.id) !== undefined;
    const deliver = isReachable ? 'deliver' : 'poked';
    if (wake === undefined) return hasNewWork ? deliver : 'poked';
    if (nextAttemptAtMs !== undefined) {
      if (state.failedAttempts >= settings.maxWebhookAttempts) {
        return pending.size > 0 ? 'giveUp' : 'end';
      }
      const waitMs = this.#retry.remainingMs(nextAttemptAtMs, settings.maxWebhookRetryMs);
      if (waitMs > 0) return waitMs;
      return pending.size > 0 ? deliver : 'end';
    }
    if (wake.phase === 'issued' && wake.wakeId !== this.#sent) {
      return pending.size > 0 ? deliver : 'end';
    }
    const leaseMs = this.#lease.remainingMs(wake.leaseUntilMs, config.leaseTtlMs);
    return leaseMs > 0 ? leaseMs : 'leaseOver';
  }

  async #deliver(signal: AbortSignal): Promise<NextLook> {
    const url = this.#subscription.config.webhookUrl as string;
    const release = await this.#context.slots.acquire(hostOf(url), signal);
    try {
      const delivery = await insist(this.#context, this.#subscription, signal, () =>
        this.#planDelivery(),
      );
      if (delivery === undefined) return 'again';
      await cut('subscriptions.wakeCommitted' satisfies SubscriptionsCutPoint);
      if (signal.aborted) return 'poked'; // stopped while the wake was on its way to disk
      const outcome = await this.#send(url, delivery, signal);
      if (signal.aborted) return 'poked'; // nobody failed: the next start delivers it again
      await cut('subscriptions.answered' satisfies SubscriptionsCutPoint);
      if (outcome.kind === 'failed') this.#reason = outcome.reason;
      await insist(this.#context, this.#subscription, signal, () =>
        this.#planOutcome(delivery, outcome),
      );
      return 'again';
    } finally {
      release();
    }
  }

  #planDelivery(): Move<Delivery> | undefined {
    if (this.#decide() !== 'deliver') return undefined;
    const { keys, settings } = this.#context;
    const subscription = this.#subscription;
    const wake = newWake(this.#context, subscription);
    const state = issued(subscription.state, wake);
    const { generation } = state;
    const { wakeId } = wake;
    this.#sent = wakeId;
    subscription.workAtAttempt = subscription.work;
    const streams = subscription.snapshot(settings.maxWakeStreams);
    const handed = streams.map((stream) => ({
      ...stream,
      streamId: subscription.links.get(stream.path)?.streamId ?? 0,
    }));
    const token = wakeToken(keys.tokenSecret as Buffer, subscription, { generation, wakeId });
    const { leaseTtlMs } = subscription.config;
    return { state, result: { wake: { wakeId, generation, token, streams, leaseTtlMs }, handed } };
  }

  async #send(url: string, delivery: Delivery, signal: AbortSignal): Promise<DeliveryOutcome> {
    const { endpoints, keys, sender, settings } = this.#context;
    const subscription = this.#subscription;
    const callbackUrl = endpoints.callbackUrl(subscription.id) as string;
    const body = webhookBody(subscription.id, delivery.wake, callbackUrl);
    const headers = {
      'Content-Type': 'application/json',
      'Webhook-Signature': keys.signature(body),
    };
    const timeoutMs = Math.min(settings.webhookTimeoutMs, subscription.config.leaseTtlMs);
    const sending = new AbortController();
    const onStop = (): void => sending.abort();
    signal.addEventListener('abort', onStop, { once: true });
    this.#sending = sending;
    try {
      await cut('subscriptions.beforeSend' satisfies SubscriptionsCutPoint);
      return outcomeOf(
        await sender.send({ url, headers, body, timeoutMs, signal: sending.signal }),
      );
    } catch (error) {
      const code = isHoldfastError(error) ? error.code : 'WEBHOOK_FAILED';
      const reason = code === 'WEBHOOK_URL_REJECTED' ? 'the address is not allowed' : 'no answer';
      return { kind: 'failed', reason };
    } finally {
      this.#sending = undefined;
      signal.removeEventListener('abort', onStop);
    }
  }

  #planOutcome(delivery: Delivery, outcome: DeliveryOutcome): Move<true> | undefined {
    const { state } = this.#subscription;
    const { wake } = state;
    if (wake === undefined || wake.wakeId !== delivery.wake.wakeId) return undefined; // I3
    if (outcome.kind === 'done') {
      return { state: ended(state), links: this.#acksOf(delivery), result: true };
    }
    // A callback came first: the receiver has it, whatever became of its answer.
    if (wake.phase !== 'issued') return undefined;
    if (outcome.kind === 'accepted') return { state: delivered(state, wake), result: true };
    const at = nextAttemptAt(this.#context, this.#subscription);
    return { state: failed(state, at), result: true };
  }

  /** The tails of the snapshot, where the streams are still the same. */
  #acksOf({ handed }: Delivery): LinkRow[] {
    const rows: LinkRow[] = [];
    for (const { path, streamId, tail, pending } of handed) {
      const link = this.#subscription.links.get(path);
      if (!pending || link === undefined || link.streamId !== streamId) continue;
      if (comparePositions(tail, link.acked) > 0) rows.push(rowOf(link, tail));
    }
    return rows;
  }

  /** @param reason the decision it rests on; another one by then is left to the next look. */
  async #move(
    signal: AbortSignal,
    reason: Decision,
    next: () => Move<true>['state'],
  ): Promise<void> {
    await insist(this.#context, this.#subscription, signal, () =>
      this.#decide() === reason ? { state: next(), result: true } : undefined,
    );
  }
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}
