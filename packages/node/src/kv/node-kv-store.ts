/**
 * What `node.kv.store` gives: a name, under which the store is taken from the pool for as long as
 * something goes on. It costs no more than an object and need not be closed.
 *
 * Invariants
 * 1. A call reaches the store in its own turn: the order of calls stays what it was.
 * 2. While a call, or a step of a walk or watch, is waited for the process is held; while a walk or a
 *    watch goes on the store is in use.
 * 3. `close` ends what was called through this object, and waits for its writes; other objects of
 *    the name go on.
 *
 * Owner: whoever asked for it, or nobody: nothing of it outlives its calls.
 */
import {
  type KvAck,
  type KvCallOptions,
  type KvCapabilities,
  type KvChange,
  type KvDeleteOptions,
  type KvEntry,
  type KvOperation,
  type KvPage,
  type KvPageOptions,
  type KvPutOptions,
  type KvRange,
  type KvStore,
  type KvWatchOptions,
} from '@holdfast/kv';
import type { HoldProcess } from '../node-keep-alive.ts';
import { closedStore, type StepsLife, StoreSteps, type TakenSteps } from './store-steps.ts';
import type { PooledStore, StorePool } from './store-pool.ts';

export class NodeKvStore implements KvStore {
  readonly #name: string;
  readonly #pool: StorePool;
  readonly #hold: HoldProcess;
  readonly #writes = new Set<Promise<unknown>>();
  readonly #life: StepsLife;
  #closed = false;
  /** Made when there is something to end. */
  #end: AbortController | undefined;

  constructor(name: string, pool: StorePool, hold: HoldProcess) {
    this.#name = name;
    this.#pool = pool;
    this.#hold = hold;
    this.#life = { hold, isOver: () => this.#closed };
    this.#look(); // throws what is wrong with the name
  }

  get id(): string {
    return this.#look().id;
  }

  /** Those of a store with tiers are known once they are open. */
  get capabilities(): KvCapabilities {
    return this.#look().capabilities;
  }

  get(key: string, options?: KvCallOptions): Promise<Uint8Array | undefined> {
    return this.#call((store) => store.get(key, options));
  }

  getEntry(key: string, options?: KvCallOptions): Promise<KvEntry | undefined> {
    return this.#call((store) => store.getEntry(key, options));
  }

  getMany(
    keys: readonly string[],
    options?: KvCallOptions,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    return this.#call((store) => store.getMany(keys, options));
  }

  has(key: string, options?: KvCallOptions): Promise<boolean> {
    return this.#call((store) => store.has(key, options));
  }

  put(key: string, value: Uint8Array, options?: KvPutOptions): Promise<KvAck> {
    return this.#write((store) => store.put(key, value, options));
  }

  del(key: string, options?: KvDeleteOptions): Promise<KvAck> {
    return this.#write((store) => store.del(key, options));
  }

  batch(operations: readonly KvOperation[], options?: KvCallOptions): Promise<readonly KvAck[]> {
    return this.#write((store) => store.batch(operations, options));
  }

  keys(range?: KvRange): AsyncIterable<string> {
    return this.#walk(range, (store, bounds) => store.keys(bounds));
  }

  values(range?: KvRange): AsyncIterable<Uint8Array> {
    return this.#walk(range, (store, bounds) => store.values(bounds));
  }

  iterator(range?: KvRange): AsyncIterable<[key: string, value: Uint8Array]> {
    return this.#walk(range, (store, bounds) => store.iterator(bounds));
  }

  entries(range?: KvRange): AsyncIterable<KvEntry> {
    return this.#walk(range, (store, bounds) => store.entries(bounds));
  }

  page(options: KvPageOptions): Promise<KvPage> {
    return this.#call((store) => store.page(options));
  }

  clear(range?: KvRange): Promise<void> {
    return this.#write((store) => store.clear(range));
  }

  watch(options: KvWatchOptions = {}): AsyncIterable<KvChange> {
    try {
      const { store, giveBack } = this.#take();
      const signal = this.#either(options.signal);
      const steps = store.watch({ ...options, signal })[Symbol.asyncIterator]();
      return new StoreSteps({ steps, giveBack }, this.#life);
    } catch (error) {
      return failing(error);
    }
  }

  lastChange(options?: KvCallOptions): Promise<number> {
    return this.#call((store) => store.lastChange(options));
  }

  flush(options?: KvCallOptions): Promise<void> {
    return this.#call((store) => store.flush(options));
  }

  /** I3. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#end?.abort();
    await Promise.allSettled([...this.#writes]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #look(): KvStore {
    const { store, giveBack } = this.#pool.take(this.#name);
    giveBack();
    return store;
  }

  #take(): PooledStore {
    if (this.#closed) throw closedStore();
    return this.#pool.take(this.#name);
  }

  /** I1, I2. */
  #call<Result>(run: (store: KvStore) => Promise<Result>): Promise<Result> {
    let taken: PooledStore;
    try {
      taken = this.#take();
    } catch (error) {
      return Promise.reject(error as Error);
    }
    const release = this.#hold();
    const called = run(taken.store);
    const over = (): void => {
      release();
      taken.giveBack();
    };
    called.then(over, over);
    return called;
  }

  #write<Result>(run: (store: KvStore) => Promise<Result>): Promise<Result> {
    const write = this.#call(run);
    this.#writes.add(write);
    const over = (): void => void this.#writes.delete(write);
    write.then(over, over);
    return write;
  }

  #either(signal: AbortSignal | undefined): AbortSignal {
    this.#end ??= new AbortController();
    const own = this.#end.signal;
    return signal === undefined ? own : AbortSignal.any([signal, own]);
  }

  #walk<Each>(
    range: KvRange = {},
    open: (store: KvStore, bounds: KvRange) => AsyncIterable<Each>,
  ): AsyncIterable<Each> {
    const begin = (): TakenSteps<Each> => {
      const { store, giveBack } = this.#take();
      const signal = this.#either(range.signal);
      return { steps: open(store, { ...range, signal })[Symbol.asyncIterator](), giveBack };
    };
    return new StoreSteps(begin, this.#life);
  }
}

/** What is wrong with the call is thrown on the first step. */
function failing(error: unknown): AsyncIterable<never> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error as Error) }) };
}
