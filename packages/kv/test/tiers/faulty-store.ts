/**
 * A store with faults, and with an end: once it is cut off, as by the death of its process, no call
 * gets an answer any more. Counts every moment at which that may happen.
 */
import { type Clock, HoldfastError, sleep } from '@holdfast/core';
import type {
  KvAck,
  KvCallOptions,
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
} from '@holdfast/kv';

export type Fault = 'error-before' | 'error-after' | 'time-out' | 'slow' | 'corrupt' | 'full';

export const FAULTS: readonly Fault[] = [
  'error-before',
  'error-after',
  'time-out',
  'slow',
  'corrupt',
  'full',
];

const SLOW_MS = 60;

/** Moments at which a life may end; shared by the stores of one process. */
export class Life {
  moments = 0;
  endsAt = Infinity;
  over = false;

  /** Resolves, or never. */
  async moment(): Promise<void> {
    this.moments++;
    if (this.moments >= this.endsAt) this.over = true;
    if (this.over) await new Promise(() => undefined);
  }
}

export class FaultyStore implements KvStore {
  readonly #store: KvStore;
  readonly #clock: Clock;
  readonly #life: Life;
  fault: Fault | undefined;
  /** Of so many calls; then it is healed. */
  times = Infinity;
  /** So many calls go well before. */
  spared = 0;
  readonly corrupted = new Set<string>();

  constructor(clock: Clock, store: KvStore, life = new Life()) {
    this.#clock = clock;
    this.#store = store;
    this.#life = life;
  }

  get id(): string {
    return this.#store.id;
  }

  get capabilities(): KvStore['capabilities'] {
    return this.#store.capabilities;
  }

  /** What there is, without faults. */
  get inner(): KvStore {
    return this.#store;
  }

  fail(fault: Fault, times = Infinity): void {
    this.fault = fault;
    this.times = times;
  }

  /** From the `call`-th call on. */
  failAfter(call: number): void {
    this.fail('error-before');
    this.spared = call;
  }

  heal(): void {
    this.fault = undefined;
    this.spared = 0;
  }

  async get(key: string, options?: KvCallOptions): Promise<Uint8Array | undefined> {
    return this.#read([key], () => this.#store.get(key, options));
  }

  async getEntry(key: string, options?: KvCallOptions): Promise<KvEntry | undefined> {
    return this.#read([key], () => this.#store.getEntry(key, options));
  }

  async getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    return this.#read(keys, () => this.#store.getMany(keys));
  }

  async has(key: string): Promise<boolean> {
    return this.#read([key], () => this.#store.has(key));
  }

  async put(key: string, value: Uint8Array, options?: KvPutOptions): Promise<KvAck> {
    return this.#write([{ type: 'put', key, value }], () => this.#store.put(key, value, options));
  }

  async del(key: string, options?: KvDeleteOptions): Promise<KvAck> {
    return this.#write([{ type: 'del', key }], () => this.#store.del(key, options));
  }

  async batch(operations: readonly KvOperation[]): Promise<readonly KvAck[]> {
    return this.#write(operations, () => this.#store.batch(operations));
  }

  keys(range?: KvRange): AsyncIterable<string> {
    return this.#walk(this.#store.keys(range), (key) => key);
  }

  values(range?: KvRange): AsyncIterable<Uint8Array> {
    return this.#walk(this.#store.values(range), () => undefined);
  }

  iterator(range?: KvRange): AsyncIterable<[key: string, value: Uint8Array]> {
    return this.#walk(this.#store.iterator(range), ([key]) => key);
  }

  entries(range?: KvRange): AsyncIterable<KvEntry> {
    return this.#walk(this.#store.entries(range), ({ key }) => key);
  }

  async page(options: KvPageOptions): Promise<KvPage> {
    const page = await this.#read([], () => this.#store.page(options));
    this.#assertWhole(page.entries.map(({ key }) => key));
    return page;
  }

  async clear(range?: KvRange): Promise<void> {
    await this.#store.clear(range);
  }

  watch(options?: KvWatchOptions): AsyncIterable<KvChange> {
    return this.#store.watch(options);
  }

  lastChange(): Promise<number> {
    return this.#store.lastChange();
  }

  async flush(): Promise<void> {
    await this.#life.moment();
    await this.#store.flush();
  }

  /** The store goes on: it is somebody else's. */
  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  async #read<Result>(keys: readonly string[], call: () => Promise<Result>): Promise<Result> {
    await this.#life.moment();
    await this.#meet('read', keys);
    this.#assertWhole(keys);
    const result = await call();
    await this.#life.moment();
    return result;
  }

  async #write<Result>(
    operations: readonly KvOperation[],
    call: () => Promise<Result>,
  ): Promise<Result> {
    // The order of calls is kept: what the inner store gets first it does first.
    if (this.fault === undefined && this.#life.endsAt === Infinity && !this.#life.over) {
      for (const { key } of operations) this.corrupted.delete(key);
      return call();
    }
    await this.#life.moment();
    const keys = operations.map(({ key }) => key);
    const after = await this.#meet('write', keys);
    const result = await call();
    for (const key of keys) this.corrupted.delete(key);
    const rotting = after === 'corrupt' ? operations : [];
    for (const { type, key } of rotting) if (type === 'put') this.corrupted.add(key);
    await this.#life.moment();
    if (after === 'error-after') throw unavailable('unknown');
    return result;
  }

  async *#walk<Item>(
    items: AsyncIterable<Item>,
    keyOf: (item: Item) => string | undefined,
  ): AsyncGenerator<Item, void, undefined> {
    await this.#life.moment();
    await this.#meet('read', []);
    for await (const item of items) {
      const key = keyOf(item);
      this.#assertWhole(key === undefined ? [] : [key]);
      yield item;
    }
  }

  async #meet(kind: 'read' | 'write', keys: readonly string[]): Promise<Fault | undefined> {
    const { fault } = this;
    if (fault === undefined || this.times <= 0 || --this.spared >= 0) return undefined;
    this.times--;
    if (fault === 'slow') await sleep(this.#clock, SLOW_MS);
    if (fault === 'time-out') await new Promise(() => undefined);
    if (fault === 'error-before') throw unavailable('none');
    if (fault === 'error-after' && kind === 'read') throw unavailable('none');
    if (fault === 'full' && kind === 'write') {
      throw new HoldfastError('DISK_FULL', 'the disk is full');
    }
    if (fault === 'corrupt' && kind === 'read') {
      for (const key of keys) this.corrupted.add(key);
    }
    return fault;
  }

  #assertWhole(keys: readonly string[]): void {
    const bad = keys.find((key) => this.corrupted.has(key));
    if (bad === undefined) return;
    throw new HoldfastError('CHECKSUM_MISMATCH', 'an entry is not the one that was written');
  }
}

function unavailable(effect: 'none' | 'unknown'): HoldfastError {
  return new HoldfastError('STORAGE_UNAVAILABLE', 'the store does not answer', { effect });
}
