/**
 * A part of a store as a store of its own: the entries whose keys begin with a prefix, without it.
 *
 * Invariants
 * 1. Nothing outside the prefix is ever read, written or told of.
 * 2. A view adds no state but its end: order, versions, tokens and changes are the store's, so that
 *    several views of one prefix are one. Numbers of changes count those of the whole store.
 *
 * Owner: who made it; closing it closes nothing else, and what it has under way ends.
 */
import { assertKey, intervalOf, isEmptyInterval } from './kv-key.ts';
import type {
  KvAck,
  KvCallOptions,
  KvCapabilities,
  KvChange,
  KvDeleteOptions,
  KvEntry,
  KvOperation,
  KvPage,
  KvPageOptions,
  KvPutOptions,
  KvRange,
  KvStore,
  KvWatchOptions,
} from './kv-store.ts';
import { ViewCapabilities } from './view-capabilities.ts';
import { ViewLife } from './view-life.ts';

/** Which keys a view takes, beside the rules of the store. */
export interface KvKeyRule {
  readonly anyText: boolean;
  readonly maxKeyBytes: number;
  assert(key: string): void;
}

/** @param prefix not empty; ends with what no other view's prefix goes on with. */
export function viewOf(store: KvStore, prefix: string, rule?: KvKeyRule): KvStore {
  return new KvView(store, prefix, rule);
}

class KvView implements KvStore {
  readonly id: string;
  readonly #capabilities: ViewCapabilities;
  readonly #store: KvStore;
  readonly #prefix: string;
  readonly #rule: KvKeyRule | undefined;
  readonly #life = new ViewLife();

  constructor(store: KvStore, prefix: string, rule: KvKeyRule | undefined) {
    const prefixBytes = assertKey(prefix, store.capabilities.maxKeyBytes);
    this.id = `${store.id}|${prefix}`;
    this.#capabilities = new ViewCapabilities(store, (beneath) => {
      const left = beneath.maxKeyBytes - prefixBytes;
      return {
        ...beneath,
        anyText: beneath.anyText && rule?.anyText !== false,
        maxKeyBytes: Math.min(left, rule?.maxKeyBytes ?? left),
      };
    });
    if (this.capabilities.maxKeyBytes < 1) throw new TypeError('a prefix leaves no room for keys');
    this.#store = store;
    this.#prefix = prefix;
    this.#rule = rule;
  }

  get capabilities(): KvCapabilities {
    return this.#capabilities.current;
  }

  async get(key: string, options?: KvCallOptions): Promise<Uint8Array | undefined> {
    return this.#store.get(this.#inner(key), options);
  }

  async getEntry(key: string, options?: KvCallOptions): Promise<KvEntry | undefined> {
    const entry = await this.#store.getEntry(this.#inner(key), options);
    return entry === undefined ? undefined : { ...entry, key };
  }

  async getMany(
    keys: readonly string[],
    options?: KvCallOptions,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    this.#life.enter(undefined);
    return this.#store.getMany(
      keys.map((key) => this.#inner(key)),
      options,
    );
  }

  async has(key: string, options?: KvCallOptions): Promise<boolean> {
    return this.#store.has(this.#inner(key), options);
  }

  async put(key: string, value: Uint8Array, options?: KvPutOptions): Promise<KvAck> {
    return this.#life.writing(this.#store.put(this.#inner(key), value, options));
  }

  async del(key: string, options?: KvDeleteOptions): Promise<KvAck> {
    return this.#life.writing(this.#store.del(this.#inner(key), options));
  }

  async batch(
    operations: readonly KvOperation[],
    options?: KvCallOptions,
  ): Promise<readonly KvAck[]> {
    this.#life.enter(undefined);
    const inner = operations.map((each) => ({ ...each, key: this.#inner(each.key) }));
    return this.#life.writing(this.#store.batch(inner, options));
  }

  keys(range: KvRange = {}): AsyncIterable<string> {
    return this.#walk(range, (inner) => this.#store.keys(inner), this.#outer);
  }

  values(range: KvRange = {}): AsyncIterable<Uint8Array> {
    return this.#walk(
      range,
      (inner) => this.#store.values(inner),
      (value) => value,
    );
  }

  iterator(range: KvRange = {}): AsyncIterable<[key: string, value: Uint8Array]> {
    return this.#walk(
      range,
      (inner) => this.#store.iterator(inner),
      ([key, value]): [string, Uint8Array] => [this.#outer(key), value],
    );
  }

  entries(range: KvRange = {}): AsyncIterable<KvEntry> {
    return this.#walk(
      range,
      (inner) => this.#store.entries(inner),
      (entry) => ({ ...entry, key: this.#outer(entry.key) }),
    );
  }

  async page(options: KvPageOptions): Promise<KvPage> {
    this.#life.enter(undefined);
    const { behind } = options;
    const page = await this.#store.page({
      ...options,
      behind: behind && { ...behind, key: this.#prefix + behind.key },
      prefix: this.#prefix + this.#bound(options.prefix ?? ''),
    });
    const entries = page.entries.map((entry) => ({ ...entry, key: this.#outer(entry.key) }));
    return { ...page, entries };
  }

  async clear(range: KvRange = {}): Promise<void> {
    this.#life.enter(undefined);
    const inner = this.#range(range);
    if (inner === undefined) this.#life.enter(range.signal);
    else await this.#life.writing(this.#store.clear(inner));
  }

  watch(options: KvWatchOptions = {}): AsyncIterable<KvChange> {
    const prefix = this.#prefix + (options.prefix ?? '');
    return this.#life.watch(
      options.signal,
      (signal) => this.#store.watch({ ...options, prefix, signal }),
      (change) => ({ ...change, key: this.#outer(change.key) }),
    );
  }

  async lastChange(options?: KvCallOptions): Promise<number> {
    this.#life.enter(undefined);
    return this.#store.lastChange(options);
  }

  async flush(options?: KvCallOptions): Promise<void> {
    this.#life.enter(undefined);
    return this.#store.flush(options);
  }

  async close(): Promise<void> {
    await this.#life.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #inner(key: string): string {
    this.#life.enter(undefined);
    assertKey(key, this.capabilities.maxKeyBytes);
    this.#rule?.assert(key);
    return this.#prefix + key;
  }

  readonly #outer = (key: string): string => key.slice(this.#prefix.length);

  #bound(bound: string): string {
    if (typeof bound !== 'string') throw new TypeError('a bound of a range is a string');
    return bound;
  }

  /** `undefined`: nothing is in it. I1: the prefix goes in as bounds, which all have to hold. */
  #range(range: KvRange): KvRange | undefined {
    const { signal, reverse, limit } = range;
    const interval = intervalOf(range);
    if (isEmptyInterval(interval)) return undefined;
    const { from, to } = interval;
    return {
      signal,
      reverse,
      limit,
      prefix: this.#prefix,
      gte: this.#prefix + from,
      ...(to === undefined ? {} : { lt: this.#prefix + to }),
    };
  }

  #walk<From, To>(
    range: KvRange,
    open: (inner: KvRange) => AsyncIterable<From>,
    pick: (from: From) => To,
  ): AsyncIterable<To> {
    const openInner = (): AsyncIterable<From> | undefined => {
      const inner = this.#range(range);
      return inner && open(inner);
    };
    return this.#life.walk(range.signal, openInner, pick);
  }
}
