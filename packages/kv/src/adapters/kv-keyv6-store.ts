/**
 * Any `KvStore` as a storage adapter of keyv 6: `new Keyv({ store: new KvKeyv6Store(store) })`.
 *
 * - Entries lie under the namespace, `::` and the key; an adapter without a namespace is everything in
 *   the store. Where other things lie in the store too, hand over a view of it.
 * - Each Keyv needs an adapter of its own: it writes its namespace into it.
 * - keyv 6 tells errors by its event `error` alone, and says "there is none" or `false`: whoever does
 *   not listen takes an outage for an empty cache.
 * - What is past its time is absent for the store too, which then forgets the bytes.
 * - `setMany` and `deleteMany` are several writes, not one step.
 *
 * Owner: the store is its opener's: `disconnect` does not close it.
 */
import { EventEmitter } from 'node:events';
import { LIMITS } from '@holdfast/core';
import type { KvStore } from '../kv-store.ts';

const SEPARATOR = '::';
const METHODS = [
  'get',
  'getMany',
  'has',
  'hasMany',
  'set',
  'setMany',
  'delete',
  'deleteMany',
  'clear',
  'disconnect',
  'iterator',
] as const;

export interface Keyv6Method {
  exists: boolean;
  methodType: 'sync' | 'async' | 'none';
}

/** What keyv asks an adapter for; `expires` says that it is one of version 6. */
export interface Keyv6Capability {
  compatible: boolean;
  store: 'keyvStorage';
  methods: Record<(typeof METHODS)[number], Keyv6Method>;
  expires: true;
}

export interface Keyv6Entry {
  readonly key: string;
  readonly value: unknown;
  /** Ms since the Unix epoch. */
  readonly expires?: number | undefined;
}

export class KvKeyv6Store extends EventEmitter {
  /** Also set by keyv. */
  namespace: string | undefined;
  readonly #store: KvStore;

  constructor(store: KvStore, options: { readonly namespace?: string } = {}) {
    super();
    this.#store = store;
    this.namespace = options.namespace;
  }

  get capabilities(): Keyv6Capability {
    const methods = METHODS.map((name) => {
      const methodType = name === 'iterator' ? 'sync' : 'async'; // it is no promise
      return [name, { exists: true, methodType }];
    });
    return {
      compatible: true,
      store: 'keyvStorage',
      methods: Object.fromEntries(methods) as Keyv6Capability['methods'],
      expires: true,
    };
  }

  async get(key: string): Promise<string | undefined> {
    return toText(await this.#store.get(this.#inner(key)));
  }

  async getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    const inner = keys.map((key) => this.#inner(key));
    const values: (string | undefined)[] = [];
    for (let at = 0; at < inner.length; at += LIMITS.maxBatchGets) {
      const found = await this.#store.getMany(inner.slice(at, at + LIMITS.maxBatchGets));
      values.push(...found.map(toText));
    }
    return values;
  }

  async has(key: string): Promise<boolean> {
    return this.#store.has(this.#inner(key));
  }

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.has(key)));
  }

  /** @param expires ms since the Unix epoch. */
  async set(key: string, value: unknown, expires?: number): Promise<boolean> {
    if (typeof value !== 'string') throw new TypeError('keyv has to serialize values to text');
    const bytes = Buffer.from(value);
    const expiresAtMs = expires === undefined ? undefined : Math.max(0, Math.ceil(expires));
    await this.#store.put(this.#inner(key), bytes, { expiresAtMs });
    return true;
  }

  async setMany(entries: readonly Keyv6Entry[]): Promise<boolean[]> {
    return Promise.all(entries.map(({ key, value, expires }) => this.set(key, value, expires)));
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#store.del(this.#inner(key))).changed;
  }

  async deleteMany(keys: readonly string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.delete(key)));
  }

  async clear(): Promise<void> {
    await this.#store.clear({ prefix: this.#inner('') });
  }

  async *iterator(): AsyncGenerator<[string, string], void, undefined> {
    const prefix = this.#inner('');
    for await (const [key, value] of this.#store.iterator({ prefix })) {
      yield [key.slice(prefix.length), toText(value) as string];
    }
  }

  async disconnect(): Promise<void> {
    await this.#store.flush();
  }

  #inner(key: string): string {
    const { namespace } = this;
    return namespace === undefined || namespace === '' ? key : namespace + SEPARATOR + key;
  }
}

function toText(value: Uint8Array | undefined): string | undefined {
  return value && Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
}
