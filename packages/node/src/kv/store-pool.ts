/**
 * The stores that somebody uses, one for each name, and a few that nobody uses just now.
 *
 * Invariants
 * 1. A store that is in use is not closed here before the pool is.
 * 2. At most `maxIdle` are open without use: those used longest ago go first. So names that are asked
 *    for once, as any client can, pin nothing.
 *
 * Owner: `EmbeddedKv`.
 */
import { LIMITS } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import type { KvStores } from './kv-stores.ts';

export interface PooledStore {
  readonly store: KvStore;
  /** Once for each `take`. */
  readonly giveBack: () => void;
}

export class StorePool {
  readonly #stores: KvStores;
  readonly #maxIdle: number;
  readonly #open = new Map<string, OpenStore>();
  /** Used longest ago first. */
  readonly #idle = new Set<OpenStore>();

  constructor(stores: KvStores, maxIdle: number = LIMITS.maxIdleStores) {
    this.#stores = stores;
    this.#maxIdle = maxIdle;
  }

  /** In use until it is given back. */
  take(name: string): PooledStore {
    let open = this.#open.get(name);
    if (open === undefined) {
      open = new OpenStore(name, this.#stores.store(name), (unused) => this.#unused(unused));
      this.#open.set(name, open);
    }
    open.uses++;
    this.#idle.delete(open);
    return open;
  }

  /** I2. */
  #unused(store: OpenStore): void {
    this.#idle.add(store);
    if (this.#idle.size <= this.#maxIdle) return;
    for (const oldest of this.#idle) {
      this.#idle.delete(oldest);
      this.#open.delete(oldest.name);
      // Nothing is under way in it, and whoever opened its database hears of what fails there.
      void oldest.store.close().catch(() => undefined);
      return;
    }
  }
}

class OpenStore implements PooledStore {
  readonly name: string;
  readonly store: KvStore;
  uses = 0;
  readonly #onUnused: (store: OpenStore) => void;

  constructor(name: string, store: KvStore, onUnused: (store: OpenStore) => void) {
    this.name = name;
    this.store = store;
    this.#onUnused = onUnused;
  }

  readonly giveBack = (): void => {
    if (--this.uses === 0) this.#onUnused(this);
  };
}
