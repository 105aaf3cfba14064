/**
 * Any `KvStore` in the shape of the key-value store of the Lightning Dev Kit: two namespaces and a
 * key, pages of fifty keys from the newest, and deletes that nobody waits for.
 *
 * - Names are checked before anything happens: `INVALID_ENTRY_KEY`.
 * - The order of calls on one key is the order of their effects, awaited or not, lazy or not: a write
 *   called after a lazy remove stays.
 * - `read` of what is not there is `ENTRY_NOT_FOUND`, and no other failure is. A namespace that nothing
 *   was written to is an empty one.
 * - A lazy remove resolves at once: it goes on behind, may be lost in a crash, and until then is listed.
 *   One that fails is logged. `flush` waits for all of them.
 * - A token is opaque, belongs to its two namespaces, and outlives restarts and the key it was made at:
 *   elsewhere it is `INVALID_PAGE_TOKEN`. Writing a key again does not move it, removing and writing does.
 *
 * Beneath, the names are parted by `/`. Other things may lie in the store under keys of another shape.
 *
 * Owner: the store is its opener's.
 */
import { HoldfastError, isHoldfastError, LIMITS, type Logger, SILENT } from '@holdfast/core';
import type { KvStore } from '../kv-store.ts';
import { assertNamespacedKey, namesOf, namespaced } from '../namespaced.ts';

const PAGE_KEYS = 50;

export interface LdkPage {
  /** Newest first. */
  readonly keys: readonly string[];
  /** Absent on the last page. */
  readonly nextPageToken?: string;
}

export interface LdkPageWithValues {
  readonly entries: readonly (readonly [key: string, value: Uint8Array])[];
  readonly nextPageToken?: string;
}

export class KvLdkStore {
  readonly #store: KvStore;
  readonly #logger: Logger;
  readonly #lazy = new Set<Promise<void>>();

  constructor(store: KvStore, { logger = SILENT }: { readonly logger?: Logger } = {}) {
    this.#store = store;
    this.#logger = logger;
  }

  async read(primary: string, secondary: string, key: string): Promise<Uint8Array> {
    const value = await namespaced(this.#store, primary, secondary).get(key);
    if (value !== undefined) return value;
    throw new HoldfastError('ENTRY_NOT_FOUND', 'there is no entry of this key');
  }

  async write(primary: string, secondary: string, key: string, value: Uint8Array): Promise<void> {
    await namespaced(this.#store, primary, secondary).put(key, value);
  }

  async remove(primary: string, secondary: string, key: string, lazy: boolean): Promise<void> {
    const namespace = namespaced(this.#store, primary, secondary);
    assertNamespacedKey(key);
    const removed = namespace.del(key).then(() => undefined);
    if (!lazy) return removed;
    const over = removed
      .catch((error: unknown) => {
        const code = isHoldfastError(error) ? error.code : String(error);
        this.#logger.warn('ldk.lazyRemoveFailed', { code });
      })
      .finally(() => this.#lazy.delete(over));
    this.#lazy.add(over);
  }

  async list(primary: string, secondary: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const key of namespaced(this.#store, primary, secondary).keys()) keys.push(key);
    return keys;
  }

  /** However large the values are, no more than about the largest two are held. */
  async listPaginated(primary: string, secondary: string, pageToken?: string): Promise<LdkPage> {
    const namespace = namespaced(this.#store, primary, secondary);
    const keys: string[] = [];
    let token = pageToken;
    do {
      const page = await namespace.page({
        order: 'created',
        limit: PAGE_KEYS - keys.length,
        maxBytes: LIMITS.maxEntryValueBytes,
        token,
      });
      keys.push(...page.entries.map(({ key }) => key));
      token = page.next;
    } while (token !== undefined && keys.length < PAGE_KEYS);
    return { keys, ...(token === undefined ? {} : { nextPageToken: token }) };
  }

  async listPaginatedWithValues(
    primary: string,
    secondary: string,
    pageToken?: string,
  ): Promise<LdkPageWithValues> {
    const { entries, next } = await namespaced(this.#store, primary, secondary).page({
      order: 'created',
      limit: PAGE_KEYS,
      token: pageToken,
    });
    return {
      entries: entries.map(({ key, value }) => [key, value]),
      ...(next === undefined ? {} : { nextPageToken: next }),
    };
  }

  /** Everything, for who moves it. */
  async *listAllKeys(): AsyncGenerator<
    readonly [primary: string, secondary: string, key: string],
    void,
    undefined
  > {
    for await (const key of this.#store.keys()) {
      const names = namesOf(key);
      if (names !== undefined) yield names;
    }
  }

  /** Once every call before it has ended, lazy ones too. */
  async flush(): Promise<void> {
    await Promise.all([...this.#lazy]);
    await this.#store.flush();
  }
}
