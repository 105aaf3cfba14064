/**
 * Any `KvStore` as a storage adapter of keyv 5: `new Keyv({ store: new KvKeyvStore(store) })`.
 *
 * - keyv puts its namespace and a colon before keys; whatever has none is everything in the store.
 *   Where other things lie in the store too, hand over a view of it.
 * - Each Keyv needs an adapter of its own: it writes its namespace into it.
 * - keyv hides errors and says "there is none" unless it is told otherwise: use `throwOnErrors: true`,
 *   or an outage looks like an empty cache.
 * - Times to live are kept by keyv in the value, and by the store, which then also forgets the bytes.
 *
 * Owner: the store is its opener's: `disconnect` does not close it.
 */
import { EventEmitter } from 'node:events';
import { LIMITS } from '@holdfast/core';
import type { KvStore } from '../kv-store.ts';

export class KvKeyvStore extends EventEmitter {
  /** keyv iterates only over stores of dialects that it knows, and looks into `url` otherwise. */
  readonly opts: { dialect: string; url: string } = { dialect: 'redis', url: '' };
  /** Set by keyv. */
  namespace: string | undefined;
  readonly #store: KvStore;

  constructor(store: KvStore) {
    super();
    this.#store = store;
  }

  async get(key: string): Promise<string | undefined> {
    return toText(await this.#store.get(key));
  }

  async getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    const values: (string | undefined)[] = [];
    for (let at = 0; at < keys.length; at += LIMITS.maxBatchGets) {
      const found = await this.#store.getMany(keys.slice(at, at + LIMITS.maxBatchGets));
      values.push(...found.map(toText));
    }
    return values;
  }

  async set(key: string, value: string, ttl?: number): Promise<boolean> {
    if (typeof value !== 'string') throw new TypeError('keyv has to serialize values to text');
    const lasting = ttl === undefined || ttl === 0;
    await this.#store.put(key, Buffer.from(value), lasting ? {} : { ttlMs: Math.ceil(ttl) });
    return true;
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#store.del(key)).changed;
  }

  async deleteMany(keys: readonly string[]): Promise<boolean> {
    const deleted = await Promise.all(keys.map((key) => this.delete(key)));
    return deleted.includes(true);
  }

  async has(key: string): Promise<boolean> {
    return this.#store.has(key);
  }

  async clear(): Promise<void> {
    await this.#store.clear(this.#range(this.namespace));
  }

  async *iterator(namespace?: string): AsyncGenerator<[string, string], void, undefined> {
    for await (const [key, value] of this.#store.iterator(this.#range(namespace))) {
      yield [key, toText(value) as string];
    }
  }

  async disconnect(): Promise<void> {
    await this.#store.flush();
  }

  #range(namespace: string | undefined): { prefix?: string } {
    return namespace === undefined || namespace === '' ? {} : { prefix: `${namespace}:` };
  }
}

function toText(value: Uint8Array | undefined): string | undefined {
  return value && Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
}
