/** A store that notes what it is asked, and answers or throws what a test wants. */
import type { HoldfastError } from '@holdfast/core';
import { START } from '../src/position.ts';
import type {
  AckRequest,
  ListSubscriptionsRequest,
  SubscriptionConfig,
  SubscriptionInfo,
  SubscriptionStore,
  Wake,
  WakeReference,
  WebhookPublicKey,
} from '../src/subscriptions/subscription-store.ts';

export const CONFIG: SubscriptionConfig = {
  type: 'webhook',
  pattern: 'events/*',
  streams: ['events/a'],
  webhookUrl: 'https://worker.example/hooks',
  leaseTtlMs: 30_000,
  description: 'event processor',
};

export const INFO: SubscriptionInfo = {
  id: 'sub-1',
  config: CONFIG,
  createdAtMs: Date.UTC(2026, 4, 9),
  linkCount: 1,
  links: [{ path: 'events/a', linkType: 'explicit', acked: { messages: 1, bytes: 42 } }],
  status: 'active',
  generation: 7,
  failedAttempts: 0,
  parked: false,
};

export const WAKE: Wake = {
  wakeId: 'w_1',
  generation: 7,
  token: 'token-of-the-wake',
  streams: [
    {
      path: 'events/a',
      linkType: 'explicit',
      acked: START,
      tail: { messages: 2, bytes: 84 },
      pending: true,
    },
  ],
  leaseTtlMs: 30_000,
};

export const KEYS: readonly WebhookPublicKey[] = [
  { kid: 'ds_next', x: 'bmV4dA', signs: false },
  { kid: 'ds_now', x: 'bm93', signs: true },
];

export class FakeSubscriptionStore implements SubscriptionStore {
  readonly calls: unknown[][] = [];
  /** Thrown by the next call. */
  error: HoldfastError | undefined;
  info: SubscriptionInfo = INFO;
  created = true;
  infos: SubscriptionInfo[] = [];
  keys: readonly WebhookPublicKey[] = KEYS;

  put(
    id: string,
    config: SubscriptionConfig,
  ): Promise<{ created: boolean; info: SubscriptionInfo }> {
    return this.#later(['put', id, config], { created: this.created, info: this.info });
  }

  get(id: string): SubscriptionInfo {
    return this.#now(['get', id], this.info);
  }

  list(request: ListSubscriptionsRequest): SubscriptionInfo[] {
    return this.#now(['list', request], this.infos.slice(0, request.limit));
  }

  delete(id: string): Promise<void> {
    return this.#later(['delete', id], undefined);
  }

  link(id: string, paths: readonly string[]): Promise<void> {
    return this.#later(['link', id, paths], undefined);
  }

  unlink(id: string, path: string): Promise<void> {
    return this.#later(['unlink', id, path], undefined);
  }

  claim(id: string, worker: string): Promise<Wake> {
    return this.#later(['claim', id, worker], WAKE);
  }

  ack(request: AckRequest): Promise<{ nextWake: boolean }> {
    return this.#later(['ack', request], { nextWake: true });
  }

  release(reference: WakeReference): Promise<void> {
    return this.#later(['release', reference], undefined);
  }

  publicKeys(): readonly WebhookPublicKey[] {
    return this.keys;
  }

  async #later<T>(call: unknown[], result: T): Promise<T> {
    return this.#now(call, result);
  }

  #now<T>(call: unknown[], result: T): T {
    this.calls.push(call);
    const { error } = this;
    this.error = undefined;
    if (error !== undefined) throw error;
    return result;
  }
}
