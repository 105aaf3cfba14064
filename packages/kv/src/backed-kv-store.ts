/**
 * A `KvStore` over a backend: checks arguments once, ends calls with their signals, makes ranges,
 * pages, watches and `clear` of what the backend does.
 *
 * Invariants
 * 1. The backend hears of a write in the turn of the call: the order of calls is its to keep.
 * 2. After `close` was called the backend gets no call but `close`, and that after the last write.
 * 3. A walk that ends, in whatever way, gives back the backend's.
 *
 * Owner: who opened the backend; the store closes it.
 */
import { type Clock, type Effect, hasCode, isHoldfastError, LIMITS } from '@holdfast/core';
import { assertCount, checkBatch } from './checked-writes.ts';
import { isExpired } from './decide-write.ts';
import { EntryWalk } from './entry-walk.ts';
import type { KeyInterval, KvBackend } from './kv-backend.ts';
import { abortedError, closedError, unsupported } from './kv-errors.ts';
import { assertKey, behindKey, intervalOf, isEmptyInterval } from './kv-key.ts';
import type {
  KvAck,
  KvCallOptions,
  KvCapabilities,
  KvChange,
  KvDeleteOperation,
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
import { decodePageToken, encodePageToken } from './page-token.ts';

const DEFAULT_PAGE_ENTRIES = 50;

export class BackedKvStore implements KvStore {
  readonly #backend: KvBackend;
  readonly #clock: Clock;
  readonly #writes = new Set<Promise<unknown>>();
  readonly #closed = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(components: { readonly clock: Clock }, backend: KvBackend) {
    this.#clock = components.clock;
    this.#backend = backend;
  }

  get id(): string {
    return this.#backend.id;
  }

  get capabilities(): KvCapabilities {
    return this.#backend.capabilities;
  }

  async get(key: string, options?: KvCallOptions): Promise<Uint8Array | undefined> {
    return (await this.#read(key, options?.signal))?.value;
  }

  async getEntry(key: string, options?: KvCallOptions): Promise<KvEntry | undefined> {
    return this.#read(key, options?.signal);
  }

  async getMany(
    keys: readonly string[],
    options: KvCallOptions = {},
  ): Promise<readonly (Uint8Array | undefined)[]> {
    this.#enter(options.signal);
    if (keys.length > LIMITS.maxBatchGets) {
      throw new TypeError(`more keys than ${LIMITS.maxBatchGets} in one call: ${keys.length}`);
    }
    for (const key of keys) assertKey(key, this.capabilities.maxKeyBytes);
    return Promise.all(keys.map((key) => this.get(key, options)));
  }

  async has(key: string, options?: KvCallOptions): Promise<boolean> {
    return (await this.getEntry(key, options)) !== undefined;
  }

  async put(key: string, value: Uint8Array, options: KvPutOptions = {}): Promise<KvAck> {
    const { signal, ttlMs, expiresAtMs, ifVersion, ifAbsent, stamp } = options;
    const put: KvOperation = {
      type: 'put',
      key,
      value,
      ttlMs,
      expiresAtMs,
      ifVersion,
      ifAbsent,
      stamp,
    };
    return (await this.#write([put], signal))[0] as KvAck;
  }

  async del(key: string, options: KvDeleteOptions = {}): Promise<KvAck> {
    const { signal, ifVersion } = options;
    const [ack] = await this.#write([{ type: 'del', key, ifVersion }], signal);
    return ack as KvAck;
  }

  async batch(
    operations: readonly KvOperation[],
    options: KvCallOptions = {},
  ): Promise<readonly KvAck[]> {
    return this.#write(operations, options.signal);
  }

  keys(range: KvRange = {}): AsyncIterable<string> {
    return this.#walk(range, ({ key }) => key);
  }

  values(range: KvRange = {}): AsyncIterable<Uint8Array> {
    return this.#walk(range, ({ value }) => value);
  }

  iterator(range: KvRange = {}): AsyncIterable<[key: string, value: Uint8Array]> {
    return this.#walk(range, ({ key, value }) => [key, value]);
  }

  entries(range: KvRange = {}): AsyncIterable<KvEntry> {
    return this.#walk(range, (entry) => entry);
  }

  async page(options: KvPageOptions): Promise<KvPage> {
    const { order, limit = DEFAULT_PAGE_ENTRIES, maxBytes = Infinity, signal } = options;
    this.#enter(signal);
    if (order !== 'key' && order !== 'created')
      throw new TypeError(`no such order: ${String(order)}`);
    if (order === 'created' && !this.capabilities.createdOrder) throw unsupported('created order');
    assertCount('limit', limit, 1);
    if (limit > LIMITS.maxPageEntries) {
      throw new TypeError(`limit is above ${LIMITS.maxPageEntries}: ${limit}`);
    }
    if (maxBytes !== Infinity) assertCount('maxBytes', maxBytes, 1);
    const entries: KvEntry[] = [];
    let bytes = 0;
    const prefix = options.prefix ?? '';
    for await (const batch of this.#steps(this.#pageBatches(options, limit + 1), signal)) {
      for (const entry of batch) {
        if (!entry.key.startsWith(prefix) || !this.#lives(entry)) continue;
        if (entries.length >= limit || bytes >= maxBytes) {
          return { entries, next: encodePageToken(this.id, options, entries.at(-1) as KvEntry) };
        }
        entries.push(entry);
        bytes += entry.value.length;
      }
    }
    return { entries, next: undefined };
  }

  /** Rule 12: what is put from now on has a version above all there are, and stays. */
  async clear(range: KvRange = {}): Promise<void> {
    const { signal } = range;
    this.#enter(signal);
    const highest = this.#backend.highestVersion?.();
    if (this.#writes.size > 0) {
      const before = Promise.allSettled([...this.#writes]); // rule 5
      await (signal === undefined ? before : unlessEnded(signal, before, 'none'));
    }
    let chunk: KvDeleteOperation[] = [];
    const drop = async (): Promise<void> => {
      const dropped = chunk;
      chunk = [];
      await this.#drop(dropped, signal);
    };
    const there = ({ version }: KvEntry): boolean => version <= (highest ?? Infinity);
    for await (const { key, version } of this.#walk(range, doomedOf, there)) {
      chunk.push({ type: 'del', key, ifVersion: highest === undefined ? undefined : version });
      if (chunk.length >= LIMITS.clearedPerBatch) await drop();
    }
    if (chunk.length > 0) await drop();
  }

  /** Those that were written again meanwhile stay. */
  async #drop(dels: readonly KvDeleteOperation[], signal: AbortSignal | undefined): Promise<void> {
    if (this.capabilities.atomicBatch) {
      try {
        await this.#write(dels, signal);
        return;
      } catch (error) {
        if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
      }
    }
    const each = dels.map((del) =>
      this.#write([del], signal).catch((error: unknown) => {
        if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
      }),
    );
    await allOf(each);
  }

  watch(options: KvWatchOptions = {}): AsyncIterable<KvChange> {
    const { since, prefix, signal } = options;
    try {
      this.#enter(signal);
      if (!this.capabilities.watch) throw unsupported('watch');
      if (since !== undefined) assertCount('since', since);
      intervalOf({ prefix }); // throws for what is no text
      const ends = this.#closed.signal;
      const either = signal === undefined ? ends : AbortSignal.any([signal, ends]);
      return this.#watching(this.#backend.changes(since, either), prefix ?? '');
    } catch (error) {
      return failing(error);
    }
  }

  async lastChange(options: KvCallOptions = {}): Promise<number> {
    this.#enter(options.signal);
    return this.#backend.lastChange();
  }

  async flush(options: KvCallOptions = {}): Promise<void> {
    const { signal } = options;
    this.#enter(signal);
    const flushed = Promise.allSettled([...this.#writes]).then(() => this.#backend.flush());
    return signal === undefined ? flushed : unlessEnded(signal, flushed, 'none');
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#closed.abort();
    await Promise.allSettled([...this.#writes]);
    await this.#backend.close();
  }

  /** Rules 17 and 19, for a call that begins. */
  #enter(signal: AbortSignal | undefined): void {
    if (this.#closing !== undefined) throw closedError();
    if (signal?.aborted) throw abortedError(signal);
  }

  /** Throws what is wrong with the call. */
  #read(key: string, signal: AbortSignal | undefined): Promise<KvEntry | undefined> {
    this.#enter(signal);
    assertKey(key, this.capabilities.maxKeyBytes);
    const read = this.#backend.read(key);
    return signal === undefined ? read : unlessEnded(signal, read, 'none');
  }

  #write(
    operations: readonly KvOperation[],
    signal: AbortSignal | undefined,
  ): Promise<readonly KvAck[]> {
    this.#enter(signal);
    const writes = checkBatch(operations, this.capabilities, () => this.#clock.now());
    if (writes.length === 0) return Promise.resolve([]);
    const done = this.#backend.write(writes, signal); // I1
    this.#writes.add(done);
    const over = (): void => void this.#writes.delete(done);
    done.then(over, over);
    return signal === undefined ? done : unlessEnded(signal, done, 'unknown');
  }

  #walk<T>(
    range: KvRange,
    pick: (entry: KvEntry) => T,
    wants?: (entry: KvEntry) => boolean,
  ): AsyncIterable<T> {
    const { signal, limit = Infinity } = range;
    return new EntryWalk<KvEntry, T>({
      // What is not wanted does not count: the backend may not stop at the limit then.
      open: () => this.#steps(this.#scan(range, wants !== undefined), signal),
      check: () => this.#enter(signal),
      wants: (entry) => this.#lives(entry) && wants?.(entry) !== false,
      pick,
      limit,
    });
  }

  #scan(range: KvRange, beyondLimit: boolean): AsyncIterable<readonly KvEntry[]> {
    const { signal, reverse = false, limit = Infinity } = range;
    this.#enter(signal);
    if (limit !== Infinity) assertCount('limit', limit);
    const interval = intervalOf(range);
    if (limit === 0 || isEmptyInterval(interval)) return nothing();
    return this.#backend.scan(interval, { reverse, limit: beyondLimit ? Infinity : limit });
  }

  #lives({ expiresAtMs }: KvEntry): boolean {
    return expiresAtMs === undefined || !isExpired({ expiresAtMs }, this.#clock.now());
  }

  #pageBatches(options: KvPageOptions, limit: number): AsyncIterable<readonly KvEntry[]> {
    const { order, reverse = false, prefix, token } = options;
    const last = token === undefined ? options.behind : decodePageToken(this.id, options, token);
    const interval = intervalOf({ prefix });
    if (order === 'key') {
      return this.#backend.scan(behind(interval, last?.key, reverse), { reverse, limit });
    }
    const most = prefix === undefined ? limit : Infinity;
    return this.#backend.scanCreated(last, { reverse, limit: most });
  }

  /** Each step ends with the signal or the store. I3. */
  async *#steps<T>(
    steps: AsyncIterable<T>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<T, void, undefined> {
    const iterator = steps[Symbol.asyncIterator]();
    try {
      for (;;) {
        this.#enter(signal);
        const step = iterator.next();
        const { done, value } = await (signal === undefined
          ? step
          : unlessEnded(signal, step, 'none'));
        if (done === true) return;
        yield value;
      }
    } finally {
      // A step that hangs would hold up whoever left: what it holds goes when it ends.
      void iterator.return?.().catch(() => undefined);
    }
  }

  async *#watching(
    changes: AsyncIterable<KvChange>,
    prefix: string,
  ): AsyncGenerator<KvChange, void, undefined> {
    try {
      for await (const change of changes) {
        if (change.key.startsWith(prefix)) yield givenChange(change);
      }
    } catch (error) {
      const closed = this.#closing !== undefined && isHoldfastError(error);
      throw closed && error.code === 'ABORTED' ? closedError() : error;
    }
  }
}

function doomedOf({ key, version }: KvEntry): Pick<KvEntry, 'key' | 'version'> {
  return { key, version };
}

/** Rule 3, once somebody looks: a thousand who watch do not copy a value at once. */
function givenChange(change: KvChange): KvChange {
  const { seq, type, key, version, value } = change;
  if (value === undefined) return change;
  let copy: Buffer | undefined;
  return {
    ...{ seq, type, key, version },
    get value() {
      copy ??= Buffer.from(value);
      return copy;
    },
  };
}

/** Waits for all of them, whatever becomes of the first. */
async function allOf(promises: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(promises);
  await Promise.all(promises);
}

function behind(interval: KeyInterval, last: string | undefined, reverse: boolean): KeyInterval {
  if (last === undefined) return interval;
  return reverse ? { ...interval, to: last } : { ...interval, from: behindKey(last) };
}

/** `promise`, or the end of the signal, whichever is first. */
export function unlessEnded<Result>(
  signal: AbortSignal,
  promise: Promise<Result>,
  effect: Effect,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortedError(signal, effect));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    const over = (): void => signal.removeEventListener('abort', onAbort);
    promise.then(
      (value) => {
        over();
        resolve(value);
      },
      (error: unknown) => {
        over();
        reject(error);
      },
    );
  });
}

async function* nothing(): AsyncGenerator<never, void, undefined> {}

/** Rule 20. */
function failing(error: unknown): AsyncIterable<never> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error as Error) }) };
}
