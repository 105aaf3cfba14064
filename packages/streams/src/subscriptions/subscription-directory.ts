/**
 * All durable subscriptions, the keys, and which of their rows are behind. Owned by the engine;
 * changed by `apply` and `load` alone.
 *
 * Invariants
 * 1. A row that is behind is named in the changes of its shard: subscriptions and links in `rows`,
 *    keys in `keys`, what is to be deleted in `gone`.
 */
import type { ShardId } from '@holdfast/core';
import type { StoredKey } from './subscription-operations.ts';
import type { Subscription } from './subscription.ts';

export class SubscriptionChanges {
  /** With the paths of links that changed; the subscription's own row is always written. */
  readonly rows: Map<Subscription, Set<string>> = new Map();
  /** Removed subscriptions by id, with the paths of their links. */
  readonly gone: Map<string, Set<string>> = new Map();
  readonly keys: Set<string> = new Set();

  pathsOf(subscription: Subscription): Set<string> {
    let paths = this.rows.get(subscription);
    if (paths === undefined) {
      paths = new Set();
      this.rows.set(subscription, paths);
    }
    return paths;
  }

  goneOf(id: string): Set<string> {
    let paths = this.gone.get(id);
    if (paths === undefined) {
      paths = new Set();
      this.gone.set(id, paths);
    }
    return paths;
  }
}

export class SubscriptionDirectory {
  readonly keys: Map<string, StoredKey> = new Map();
  readonly #byId = new Map<string, Subscription>();
  readonly #byWakeStream = new Map<string, Set<Subscription>>();
  readonly #changes = new Map<ShardId, SubscriptionChanges>();
  #sorted: readonly Subscription[] | undefined;

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): Subscription | undefined {
    return this.#byId.get(id);
  }

  all(): IterableIterator<Subscription> {
    return this.#byId.values();
  }

  /** Those that write their wakes to this stream. */
  byWakeStream(path: string): Iterable<Subscription> {
    return this.#byWakeStream.get(path) ?? [];
  }

  changesOf(shard: ShardId): SubscriptionChanges {
    let changes = this.#changes.get(shard);
    if (changes === undefined) {
      changes = new SubscriptionChanges();
      this.#changes.set(shard, changes);
    }
    return changes;
  }

  add(subscription: Subscription): void {
    this.#byId.set(subscription.id, subscription);
    this.#sorted = undefined;
    const { wakeStream } = subscription.config;
    if (wakeStream === undefined) return;
    const writers = this.#byWakeStream.get(wakeStream);
    if (writers === undefined) this.#byWakeStream.set(wakeStream, new Set([subscription]));
    else writers.add(subscription);
  }

  remove(subscription: Subscription): void {
    this.#byId.delete(subscription.id);
    this.#sorted = undefined;
    const { wakeStream } = subscription.config;
    if (wakeStream === undefined) return;
    const writers = this.#byWakeStream.get(wakeStream);
    writers?.delete(subscription);
    if (writers?.size === 0) this.#byWakeStream.delete(wakeStream);
  }

  /** Ids above `after`, in the order of UTF-16 code units. */
  list(after: string | undefined, limit: number): Subscription[] {
    this.#sorted ??= [...this.#byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const from = after === undefined ? 0 : this.#sorted.findIndex(({ id }) => id > after);
    return from === -1 ? [] : this.#sorted.slice(from, from + limit);
  }
}
