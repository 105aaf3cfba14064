/** Where the named stores of a node come from: its engine, or whoever stands in front of it. */
import type { KvStore } from '@holdfast/kv';

export interface KvStores {
  /**
   * A handle, which whoever asked for it closes: that ends what was called through it and nothing
   * else. Any number of handles are one store.
   *
   * @throws `INVALID_ENTRY_KEY` for what is no name, `QUOTA_EXCEEDED` when too many stores are in use,
   * `CLOSED`.
   */
  store(name: string): KvStore;
  /** Stores that hold an entry: shorter names first, then by their bytes. Internal ones too. */
  stores(options?: KvStoresOptions): AsyncIterable<KvStoreSummary>;
  /** Every store ends, before the database does. Idempotent. */
  close(): Promise<void>;
}

export interface KvStoresOptions {
  /** Begins behind this name, whether or not there is such a store. */
  readonly after?: string | undefined;
}

export interface KvStoreSummary {
  readonly name: string;
}
