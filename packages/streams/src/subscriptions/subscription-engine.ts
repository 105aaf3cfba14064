/**
 * The subscription engine: the `SubscriptionStore` of the HTTP routes, and an `Engine` of the
 * database beside the stream engine. Wires the parts; rules live in the plans (what clients do),
 * the steps (what happens by itself) and the link book (what appends mean).
 *
 * Invariants
 * 1. Durable state changes only in `apply` and `load`; plans read nothing else, one at a time for
 *    each subscription (`MutationQueue`), so there is no planned state to discard.
 * 2. Whatever changes a subscription pokes its runner after it is applied.
 */
import { assert, cut, HoldfastError, type ShardId } from '@holdfast/core';
import type { CollectingShard, Engine, EngineHost, Shard } from '@holdfast/database';
import { type ApplyingSubscriptions, applySubscription } from './apply-subscription.ts';
import { planAck, planClaim, planRelease } from './lease-plans.ts';
import { planConfirm, planCreate, planLink, planRemove, planUnlink } from './membership-plans.ts';
import type { Mutation } from './mutation-queue.ts';
import { PathPattern } from './path-pattern.ts';
import {
  checkConfig,
  checkWakeStream,
  checkWorker,
  normalizeConfig,
} from './subscription-check.ts';
import { collectSubscriptions, loadSubscriptions } from './subscription-checkpoint.ts';
import {
  decodeSubscriptionOperation,
  encodeSubscriptionOperation,
} from './subscription-operation-codec.ts';
import { SUBSCRIPTION_RECORDS, type SubscriptionOperation } from './subscription-operations.ts';
import {
  applyingTo,
  type SubscriptionComponents,
  type SubscriptionParts,
  subscriptionParts,
} from './subscription-parts.ts';
import { identityOfRow } from './subscription-rows.ts';
import { type SubscriptionSettings, subscriptionSettings } from './subscription-settings.ts';
import type {
  AckRequest,
  ListSubscriptionsRequest,
  SubscriptionConfig,
  SubscriptionInfo,
  SubscriptionStore,
  SubscriptionSummary,
  Wake,
  WakeReference,
  WebhookPublicKey,
} from './subscription-store.ts';
import type { Subscription } from './subscription.ts';
import type { SubscriptionsCutPoint } from './subscriptions-cut-points.ts';

export type { SubscriptionComponents } from './subscription-parts.ts';

export interface SubscriptionStats {
  readonly subscriptions: number;
  /** Webhooks under way. */
  readonly deliveries: number;
  /** Subscriptions whose last delivery failed. */
  readonly failed: number;
  /** Subscriptions whose work is in the dead letters. */
  readonly parked: number;
}

export function createSubscriptionEngine(
  components: SubscriptionComponents,
  settings: Partial<SubscriptionSettings> = {},
): SubscriptionEngine {
  return new SubscriptionEngine(components, subscriptionSettings(settings));
}

export class SubscriptionEngine implements SubscriptionStore, Engine<SubscriptionOperation> {
  readonly name = 'subscriptions';
  readonly recordTypes: readonly number[] = Object.values(SUBSCRIPTION_RECORDS);
  readonly #parts: SubscriptionParts;
  readonly #applying: ApplyingSubscriptions;
  #host: EngineHost | undefined;
  #open = false;

  constructor(components: SubscriptionComponents, settings: SubscriptionSettings) {
    this.#parts = subscriptionParts(components, settings, () => this.#attached());
    this.#applying = applyingTo(this.#parts, () => this.#open);
  }

  /** Once, before anything else. */
  attach(host: EngineHost): void {
    assert(this.#host === undefined, 'subscription engine is attached twice');
    this.#host = host;
  }

  /**
   * Nothing is delivered any more; what was in flight goes on after the next start. Before the
   * database is opened: nothing is begun, as offline tools want it. Idempotent.
   */
  drain(): void {
    this.#parts.runners.stopAll();
    this.#parts.keys.stop();
  }

  /** Receivers can be told where to call back now: what waited for it goes out. */
  reachable(): void {
    this.#parts.runners.pokeAll();
  }

  get stats(): SubscriptionStats {
    let failed = 0;
    let parked = 0;
    for (const { state } of this.#parts.directory.all()) {
      if (state.failedAttempts > 0) failed++;
      if (state.parked) parked++;
    }
    const deliveries = this.#parts.context.slots.active;
    return { subscriptions: this.#parts.directory.size, deliveries, failed, parked };
  }

  /** For operators: a new signing key is published now, and signs once receivers know it. */
  rotateSigningKey(): Promise<void> {
    return this.#parts.keys.rotate();
  }

  // -- SubscriptionStore ---------------------------------------------------------------------

  async put(
    id: string,
    given: SubscriptionConfig,
  ): Promise<{ readonly created: boolean; readonly info: SubscriptionInfo }> {
    const { context, directory, keys, queue, membership, creations } = this.#parts;
    const config = normalizeConfig(given);
    if (directory.get(id) === undefined) {
      checkConfig(context, id, config);
      if (config.wakeStream !== undefined) checkWakeStream(context, config.wakeStream);
      await keys.ensure(config.type === 'webhook');
    }
    let incarnation: string | undefined;
    try {
      const result = await queue.run(id, () => {
        const confirm = planConfirm(membership, id, config);
        if (confirm !== undefined) return confirm;
        checkConfig(context, id, config);
        const { operation, mutation } = planCreate(membership, id, config, creations.size);
        ({ incarnation } = operation);
        const { pattern } = config;
        creations.begin(
          incarnation,
          pattern === undefined ? undefined : PathPattern.parse(pattern),
        );
        return mutation;
      });
      await cut('subscriptions.putCommitted' satisfies SubscriptionsCutPoint);
      return result;
    } finally {
      if (incarnation !== undefined) creations.end(incarnation);
    }
  }

  get(id: string): SubscriptionInfo {
    return this.#find(id).info();
  }

  list(request: ListSubscriptionsRequest): SubscriptionSummary[] {
    return this.#parts.directory
      .list(request.after, request.limit)
      .map((subscription) => subscription.summary());
  }

  async delete(id: string): Promise<void> {
    await this.#run(id, planRemove);
    await cut('subscriptions.removeCommitted' satisfies SubscriptionsCutPoint);
  }

  link(id: string, paths: readonly string[]): Promise<void> {
    return this.#run(id, (found) => planLink(this.#parts.membership, found, paths));
  }

  unlink(id: string, path: string): Promise<void> {
    return this.#run(id, (found) => planUnlink(found, path));
  }

  async claim(id: string, worker: string): Promise<Wake> {
    checkWorker(worker);
    return this.#run(id, (found) => planClaim(this.#parts.context, found, worker));
  }

  ack(request: AckRequest): Promise<{ readonly nextWake: boolean }> {
    return this.#run(request.id, (found) => planAck(this.#parts.context, found, request));
  }

  release(reference: WakeReference): Promise<void> {
    return this.#run(reference.id, (found) => planRelease(this.#parts.context, found, reference));
  }

  publicKeys(): readonly WebhookPublicKey[] {
    return this.#parts.keys.publicKeys();
  }

  // -- Engine --------------------------------------------------------------------------------

  encode(operation: SubscriptionOperation): readonly Uint8Array[] {
    return [encodeSubscriptionOperation(operation)];
  }

  decode(type: number, shard: ShardId, payload: Buffer): SubscriptionOperation {
    return decodeSubscriptionOperation(type, shard, payload);
  }

  apply(operation: SubscriptionOperation): void {
    applySubscription(this.#applying, operation);
  }

  settled(): void {}

  discardPlanned(): void {}

  load(shard: Shard): Promise<void> {
    return loadSubscriptions(shard, this.#parts.directory);
  }

  opened(): void {
    const { keys, book, directory, runners } = this.#parts;
    this.#open = true;
    keys.start();
    book.activateAll(directory.all());
    for (const subscription of directory.all()) runners.start(subscription);
  }

  collect(shard: CollectingShard): void {
    collectSubscriptions(shard, this.#parts.directory);
  }

  checkpointed(): void {}

  extentsMoved(): void {}

  identityOf(key: Buffer): string | undefined {
    return identityOfRow(key);
  }

  // -- inside --------------------------------------------------------------------------------

  #run<T>(id: string, plan: (subscription: Subscription) => Mutation<T>): Promise<T> {
    return this.#parts.queue.run(id, () => plan(this.#find(id)));
  }

  #find(id: string): Subscription {
    const subscription = this.#parts.directory.get(id);
    if (subscription === undefined) {
      throw new HoldfastError('SUBSCRIPTION_NOT_FOUND', 'there is no subscription of this name');
    }
    return subscription;
  }

  #attached(): EngineHost {
    assert(this.#host !== undefined, 'subscription engine is not attached');
    return this.#host;
  }
}
