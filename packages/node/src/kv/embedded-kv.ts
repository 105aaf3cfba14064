/**
 * Key-value stores without HTTP: `node.kv`. Names that begin with `_` are the node's own.
 *
 * Owner: the node; whatever goes on in a store ends with it.
 */
import { HoldfastError } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import type { HoldProcess } from '../node-keep-alive.ts';
import type { KvStores, KvStoresOptions, KvStoreSummary } from './kv-stores.ts';
import { NodeKvStore } from './node-kv-store.ts';
import { StorePool } from './store-pool.ts';
import { closedStore } from './store-steps.ts';
import type { EmbeddedTiers } from '../tiers/embedded-tiers.ts';

export class EmbeddedKv {
  /** Stores with tiers, as who runs the node has them. */
  readonly tiers: EmbeddedTiers;
  readonly #stores: KvStores;
  readonly #pool: StorePool;
  readonly #hold: HoldProcess;
  #closed = false;

  constructor(stores: KvStores, tiers: EmbeddedTiers, hold: HoldProcess) {
    this.tiers = tiers;
    this.#stores = stores;
    this.#pool = new StorePool(stores);
    this.#hold = hold;
  }

  /**
   * The store of this name: empty until something is put. Costs no more than an object, and need not
   * be closed.
   *
   * @throws `INVALID_ENTRY_KEY` for what is no name, or one of the node's own; `QUOTA_EXCEEDED` when
   * too many stores are in use; `CLOSED`.
   */
  store(name: string): KvStore {
    assertOwn(name);
    if (this.#closed) throw closedStore();
    return new NodeKvStore(name, this.#pool, this.#hold);
  }

  /** Stores that hold an entry: shorter names first, then by their bytes. */
  async *stores(options: KvStoresOptions = {}): AsyncGenerator<KvStoreSummary, void, undefined> {
    for await (const store of this.#stores.stores(options)) {
      if (!isInternal(store.name)) yield store;
    }
  }

  /** The node's: every store ends. Idempotent. */
  close(): Promise<void> {
    this.#closed = true;
    return this.#stores.close();
  }
}

/** What tiers keep beside the entries, for one, has such a name. */
function isInternal(name: string): boolean {
  return name.startsWith('_');
}

function assertOwn(name: string): void {
  if (typeof name === 'string' && isInternal(name)) {
    throw new HoldfastError('INVALID_ENTRY_KEY', 'names that begin with _ are for the node itself');
  }
}
