/**
 * Key-value stores without HTTP: `node.kv`. Names that begin with `_` are the node's own.
 *
 * Owner: the node; a store that its user forgets to close ends with it.
 */
import { HoldfastError } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import type { KvStores, KvStoresOptions, KvStoreSummary } from './kv-stores.ts';

export class EmbeddedKv {
  readonly #stores: KvStores;

  constructor(stores: KvStores) {
    this.#stores = stores;
  }

  /**
   * The store of this name: empty until something is put.
   *
   * @throws `INVALID_ENTRY_KEY` for what is no name, or one of the node's own; `QUOTA_EXCEEDED` when
   * too many stores are in use; `CLOSED`.
   */
  store(name: string): KvStore {
    assertOwn(name);
    return this.#stores.store(name);
  }

  /** Stores that hold an entry: shorter names first, then by their bytes. */
  async *stores(options: KvStoresOptions = {}): AsyncGenerator<KvStoreSummary, void, undefined> {
    for await (const store of this.#stores.stores(options)) {
      if (!isInternal(store.name)) yield store;
    }
  }

  /** The node's: every store ends. Idempotent. */
  close(): Promise<void> {
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
