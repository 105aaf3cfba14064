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
import {
  assert,
  type Clock,
  cut,
  HoldfastError,
  type Logger,
  type Random,
  type ShardId,
} from '@holdfast/core';
import type { CollectingShard, Engine, EngineHost, Shard } from '@holdfast/database';
import type { StreamInfo, StreamStore } from '../stream-store.ts';
import { type ApplyingSubscriptions, applySubscription } from './apply-subscription.ts';
import { DeadLetters } from './dead-letters.ts';
import { DeliverySlots } from './delivery-slots.ts';
import { planAck, planClaim, planRelease } from './lease-plans.ts';
import { type Expectation, LinkBook } from './link-book.ts';
import {
  type Membership,
  planConfirm,
  planCreate,
  planLink,
  planRemove,
  planUnlink,
} from './membership-plans.ts';
import { type Mutation, MutationQueue } from './mutation-queue.ts';
import { PathPattern } from './path-pattern.ts';
import { SigningKeys } from './signing-keys.ts';
import type { ObservableStreams, ObservedStreams } from './stream-observer.ts';
import {
  checkConfig,
  checkWakeStream,
  checkWorker,
  normalizeConfig,
} from './subscription-check.ts';
import { collectSubscriptions, loadSubscriptions } from './subscription-checkpoint.ts';
import { SubscriptionDirectory } from './subscription-directory.ts';
import {
  decodeSubscriptionOperation,
  encodeSubscriptionOperation,
} from './subscription-operation-codec.ts';
import { SUBSCRIPTION_RECORDS, type SubscriptionOperation } from './subscription-operations.ts';
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
import type { SubscriptionEndpoints, WakeContext } from './wake-context.ts';
import { WakeRunners } from './wake-runners.ts';
import type { WebhookSender } from './webhook-sender.ts';

export interface SubscriptionComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Of the same database. */
  readonly streams: StreamStore & ObservableStreams;
  readonly sender: WebhookSender;
  readonly endpoints: SubscriptionEndpoints;
}

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
  readonly #directory = new SubscriptionDirectory();
  readonly #queue: MutationQueue;
  readonly #keys: SigningKeys;
  readonly #book: LinkBook;
  readonly #runners: WakeRunners;
  readonly #context: WakeContext;
  readonly #membership: Membership;
  readonly #applying: ApplyingSubscriptions;
  /** Of subscriptions on their way, by incarnation. */
  readonly #expectations = new Map<string, Expectation>();
  #creating = 0;
  #host: EngineHost | undefined;
  #open = false;

  constructor(components: SubscriptionComponents, settings: SubscriptionSettings) {
    const { clock, random, logger, streams } = components;
    const host = (): EngineHost => this.#attached();
    const streamsThere: ObservedStreams = streams.observe({
      observes: (path) => this.#book.isLinked(path),
      created: (info) => this.#streamCreated(info),
      changed: (info) => this.#book.changed(info),
      removed: (info) => this.#streamRemoved(info),
    });
    const observed = (): ObservedStreams => streamsThere;
    const stored = this.#directory.keys;
    this.#queue = new MutationQueue(host, settings.maxSubscriptionQueue);
    this.#keys = new SigningKeys(
      { clock, random, logger, host, queue: this.#queue, stored },
      settings,
    );
    this.#book = new LinkBook(observed, settings, logger, (moved) => this.#runners.poke(moved));
    this.#context = {
      ...components,
      observed,
      settings,
      queue: this.#queue,
      keys: this.#keys,
      slots: new DeliverySlots(settings),
      deadLetters: new DeadLetters(streams),
    };
    this.#runners = new WakeRunners(this.#context);
    this.#membership = {
      context: this.#context,
      directory: this.#directory,
      book: this.#book,
      host,
    };
    this.#applying = {
      directory: this.#directory,
      created: (subscription) => this.#created(subscription),
      changed: (subscription, paths) => this.#changed(subscription, paths),
      removed: (subscription) => {
        this.#runners.stop(subscription);
        this.#book.drop(subscription);
      },
      keysChanged: () => {
        if (this.#open) this.#keys.changed();
      },
    };
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
    this.#runners.stopAll();
    this.#keys.stop();
  }

  /** Receivers can be told where to call back now: what waited for it goes out. */
  reachable(): void {
    this.#runners.pokeAll();
  }

  get stats(): SubscriptionStats {
    let failed = 0;
    let parked = 0;
    for (const { state } of this.#directory.all()) {
      if (state.failedAttempts > 0) failed++;
      if (state.parked) parked++;
    }
    const deliveries = this.#context.slots.active;
    return { subscriptions: this.#directory.size, deliveries, failed, parked };
  }

  /** For operators: a new signing key is published now, and signs once receivers know it. */
  rotateSigningKey(): Promise<void> {
    return this.#keys.rotate();
  }

  // -- SubscriptionStore ---------------------------------------------------------------------

  async put(
    id: string,
    given: SubscriptionConfig,
  ): Promise<{ readonly created: boolean; readonly info: SubscriptionInfo }> {
    const config = normalizeConfig(given);
    if (this.#directory.get(id) === undefined) {
      checkConfig(this.#context, id, config);
      if (config.wakeStream !== undefined) checkWakeStream(this.#context, config.wakeStream);
      await this.#keys.ensure(config.type === 'webhook');
    }
    let incarnation: string | undefined;
    try {
      const result = await this.#queue.run(id, () => {
        const confirm = planConfirm(this.#membership, id, config);
        if (confirm !== undefined) return confirm;
        checkConfig(this.#context, id, config);
        const { operation, mutation } = planCreate(this.#membership, id, config, this.#creating);
        ({ incarnation } = operation);
        this.#expect(incarnation, config);
        return mutation;
      });
      await cut('subscriptions.putCommitted' satisfies SubscriptionsCutPoint);
      return result;
    } finally {
      if (incarnation !== undefined) this.#endExpectation(incarnation);
    }
  }

  get(id: string): SubscriptionInfo {
    return this.#find(id).info();
  }

  list(request: ListSubscriptionsRequest): SubscriptionSummary[] {
    return this.#directory
      .list(request.after, request.limit)
      .map((subscription) => subscription.summary());
  }

  async delete(id: string): Promise<void> {
    await this.#run(id, planRemove);
    await cut('subscriptions.removeCommitted' satisfies SubscriptionsCutPoint);
  }

  link(id: string, paths: readonly string[]): Promise<void> {
    return this.#run(id, (found) => planLink(this.#membership, found, paths));
  }

  unlink(id: string, path: string): Promise<void> {
    return this.#run(id, (found) => planUnlink(found, path));
  }

  async claim(id: string, worker: string): Promise<Wake> {
    checkWorker(worker);
    return this.#run(id, (found) => planClaim(this.#context, found, worker));
  }

  ack(request: AckRequest): Promise<{ readonly nextWake: boolean }> {
    return this.#run(request.id, (found) => planAck(this.#context, found, request));
  }

  release(reference: WakeReference): Promise<void> {
    return this.#run(reference.id, (found) => planRelease(this.#context, found, reference));
  }

  publicKeys(): readonly WebhookPublicKey[] {
    return this.#keys.publicKeys();
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
    return loadSubscriptions(shard, this.#directory);
  }

  opened(): void {
    this.#open = true;
    this.#keys.start();
    this.#book.activateAll(this.#directory.all());
    for (const subscription of this.#directory.all()) this.#runners.start(subscription);
  }

  collect(shard: CollectingShard): void {
    collectSubscriptions(shard, this.#directory);
  }

  checkpointed(): void {}

  extentsMoved(): void {}

  identityOf(key: Buffer): string | undefined {
    return identityOfRow(key);
  }

  // -- inside --------------------------------------------------------------------------------

  #run<T>(id: string, plan: (subscription: Subscription) => Mutation<T>): Promise<T> {
    return this.#queue.run(id, () => plan(this.#find(id)));
  }

  #find(id: string): Subscription {
    const subscription = this.#directory.get(id);
    if (subscription === undefined) {
      throw new HoldfastError('SUBSCRIPTION_NOT_FOUND', 'there is no subscription of this name');
    }
    return subscription;
  }

  #created(subscription: Subscription): void {
    if (!this.#open) return;
    const { created = [] } = this.#expectations.get(subscription.incarnation) ?? {};
    this.#book.activate(subscription, created);
    this.#runners.start(subscription);
  }

  #changed(subscription: Subscription, paths: readonly string[]): void {
    if (!this.#open) return;
    for (const path of paths) this.#book.bind(subscription, path);
    this.#runners.poke(subscription);
  }

  /** Streams created before it is applied are matched then: their creation was told to nobody. */
  #expect(incarnation: string, { pattern }: SubscriptionConfig): void {
    this.#creating++;
    const expected = PathPattern.parse(pattern ?? '*');
    this.#expectations.set(incarnation, this.#book.expect(expected));
  }

  #endExpectation(incarnation: string): void {
    this.#creating--;
    const expectation = this.#expectations.get(incarnation);
    this.#expectations.delete(incarnation);
    if (expectation !== undefined) this.#book.endExpectation(expectation);
  }

  #streamCreated(info: StreamInfo): void {
    this.#book.created(info);
    this.#wakeStreamReplaced(info.path);
  }

  #streamRemoved(info: StreamInfo): void {
    this.#book.removed(info);
    this.#wakeStreamReplaced(info.path);
  }

  #wakeStreamReplaced(path: string): void {
    for (const subscription of this.#directory.byWakeStream(path)) {
      this.#runners.wakeStreamReplaced(subscription);
    }
  }

  #attached(): EngineHost {
    assert(this.#host !== undefined, 'subscription engine is not attached');
    return this.#host;
  }
}
