/**
 * A store whose values rest encrypted in another one, which learns nothing of them but their length.
 *
 * What is readable there: keys, versions, expiries, the length of values, and when they are written.
 *
 * What is found (`CHECKSUM_MISMATCH`, and the value is not given out): any change of a value; one
 * that was moved to another key, or comes from another context; bytes that nobody here sealed, plain
 * ones too; and a value that was put with a stamp, as tiers put theirs, at any version but its own.
 * What is not found: an entry that is missing; one that was put back as a whole, with its version; an
 * older value of the same key that was put without a stamp; a changed expiry, `seq` or epoch. Tiers
 * find these where primary and backup do not have them alike (`verify`).
 *
 * Invariants
 * 1. What is given out was sealed here, under this key of the entry and this context, by one of the keys
 *    of the ring. A value whose key is not in the ring is `KEY_MISSING`; so is a change that a watch
 *    goes back to, from before `rewrap`, once the older key was taken out.
 * 2. What is written is sealed with the key that is active in the turn of the call.
 * 3. A view adds no state but its end: order, versions, stamps, conditions, tokens, changes and the
 *    fence are those of the store.
 * 4. Keys alone are given without looking at values: `keys`, `has`, `del`, `clear` work where a value
 *    is damaged. Walks over values end at the first such one.
 *
 * Owner: who made it; closing it closes nothing else, and what it has under way ends.
 */
import { HoldfastError, type KeyRing, LIMITS } from '@holdfast/core';
import { checkBatch } from '../checked-writes.ts';
import type { FencedKvStore, KvFence } from '../fencing.ts';
import { assertKey } from '../kv-key.ts';
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
} from '../kv-store.ts';
import { ViewCapabilities } from '../view-capabilities.ts';
import { ViewLife } from '../view-life.ts';
import { rewrapValues, type RewrapOptions, type RewrapReport } from './rewrap-values.ts';
import { SEAL_BYTES, ValueSealer } from './value-sealer.ts';

export interface EncryptedKvSettings {
  /**
   * Names what is kept, not empty: the same wherever it is opened again, for another one opens nothing.
   * Two stores of one key ring have two contexts.
   */
  readonly context: string;
}

export interface EncryptedKvStore extends KvStore {
  /** How many values there are under each key of a ring, by its id. Expects no key. */
  keysInUse(options?: KvCallOptions): Promise<ReadonlyMap<number, number>>;
  /** Writes every value anew that is not under the active key. */
  rewrap(options?: RewrapOptions): Promise<RewrapReport>;
}

export interface EncryptedKvComponents {
  /** Its active key seals; `replace` rotates while the store is open. */
  readonly keys: KeyRing;
}

export function encryptedKvStore(
  components: EncryptedKvComponents,
  store: FencedKvStore,
  settings: EncryptedKvSettings,
): EncryptedKvStore & FencedKvStore;
export function encryptedKvStore(
  components: EncryptedKvComponents,
  store: KvStore,
  settings: EncryptedKvSettings,
): EncryptedKvStore;
export function encryptedKvStore(
  { keys }: EncryptedKvComponents,
  store: KvStore | FencedKvStore,
  { context }: EncryptedKvSettings,
): EncryptedKvStore {
  if (typeof context !== 'string' || context === '') {
    throw new HoldfastError('INVALID_SETTINGS', 'an encrypted store needs a context');
  }
  const sealer = new ValueSealer(keys, context);
  return 'fence' in store
    ? new FencedEncryptedView(keys, sealer, store)
    : new EncryptedView(keys, sealer, store);
}

class EncryptedView implements EncryptedKvStore {
  readonly id: string;
  readonly #capabilities: ViewCapabilities;
  readonly #keys: KeyRing;
  readonly #sealer: ValueSealer;
  readonly #store: KvStore;
  readonly #life = new ViewLife();

  constructor(keys: KeyRing, sealer: ValueSealer, store: KvStore) {
    this.id = `${store.id}|encrypted`;
    this.#capabilities = new ViewCapabilities(store, (beneath) => ({
      ...beneath,
      maxValueBytes: beneath.maxValueBytes - SEAL_BYTES,
      maxBatchBytes: beneath.maxBatchBytes - SEAL_BYTES * beneath.maxBatchOperations,
    }));
    this.#keys = keys;
    this.#sealer = sealer;
    this.#store = store;
  }

  get capabilities(): KvCapabilities {
    return this.#capabilities.current;
  }

  async get(key: string, options?: KvCallOptions): Promise<Uint8Array | undefined> {
    return (await this.#read(key, options))?.value;
  }

  async getEntry(key: string, options?: KvCallOptions): Promise<KvEntry | undefined> {
    return this.#read(key, options);
  }

  async getMany(
    keys: readonly string[],
    options?: KvCallOptions,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    this.#life.enter(options?.signal);
    if (keys.length > LIMITS.maxBatchGets) {
      throw new TypeError(`more keys than ${LIMITS.maxBatchGets} in one call: ${keys.length}`);
    }
    for (const key of keys) assertKey(key, this.capabilities.maxKeyBytes);
    return Promise.all(keys.map((key) => this.get(key, options)));
  }

  async has(key: string, options?: KvCallOptions): Promise<boolean> {
    this.#life.enter(options?.signal);
    return this.#store.has(key, options);
  }

  async put(key: string, value: Uint8Array, options: KvPutOptions = {}): Promise<KvAck> {
    const { signal, ...conditions } = options;
    this.#life.enter(signal);
    checkBatch([{ type: 'put', key, value, ...conditions }], this.capabilities, () => 0);
    const sealed = this.#sealer.seal(key, value, options.stamp?.version ?? 0);
    return this.#life.writing(this.#store.put(key, sealed, options));
  }

  async del(key: string, options?: KvDeleteOptions): Promise<KvAck> {
    this.#life.enter(options?.signal);
    return this.#life.writing(this.#store.del(key, options));
  }

  async batch(
    operations: readonly KvOperation[],
    options?: KvCallOptions,
  ): Promise<readonly KvAck[]> {
    this.#life.enter(options?.signal);
    checkBatch(operations, this.capabilities, () => 0);
    const sealed = operations.map((each): KvOperation => {
      if (each.type === 'del') return each;
      const value = this.#sealer.seal(each.key, each.value, each.stamp?.version ?? 0);
      return { ...each, value };
    });
    return this.#life.writing(this.#store.batch(sealed, options));
  }

  keys(range: KvRange = {}): AsyncIterable<string> {
    return this.#life.walk(
      range.signal,
      () => this.#store.keys(range),
      (key) => key,
    );
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
    this.#life.enter(options.signal);
    const page = await this.#store.page(options);
    return { ...page, entries: page.entries.map((entry) => this.#opened(entry)) };
  }

  async clear(range: KvRange = {}): Promise<void> {
    this.#life.enter(range.signal);
    await this.#life.writing(this.#store.clear(range));
  }

  watch(options: KvWatchOptions = {}): AsyncIterable<KvChange> {
    return this.#life.watch(
      options.signal,
      (signal) => this.#store.watch({ ...options, signal }),
      ({ value, ...change }) => ({
        ...change,
        value: value && this.#sealer.open({ ...change, value }),
      }),
    );
  }

  async lastChange(options?: KvCallOptions): Promise<number> {
    this.#life.enter(options?.signal);
    return this.#store.lastChange(options);
  }

  async flush(options?: KvCallOptions): Promise<void> {
    this.#life.enter(options?.signal);
    return this.#store.flush(options);
  }

  async keysInUse(options: KvCallOptions = {}): Promise<ReadonlyMap<number, number>> {
    const counts = new Map<number, number>();
    const { signal } = options;
    const ids = this.#life.walk(
      signal,
      () => this.#store.entries({ signal }),
      (entry) => this.#sealer.keyIdOf(entry),
    );
    for await (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
    return counts;
  }

  async rewrap(options: RewrapOptions = {}): Promise<RewrapReport> {
    this.#life.enter(options.signal);
    const inner = { store: this.#store, view: this, sealer: this.#sealer, keys: this.#keys };
    return this.#life.writing(rewrapValues(inner, options));
  }

  async close(): Promise<void> {
    await this.#life.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #read(key: string, options: KvCallOptions | undefined): Promise<KvEntry | undefined> {
    this.#life.enter(options?.signal);
    const entry = await this.#store.getEntry(key, options);
    return entry && this.#opened(entry);
  }

  #opened(entry: KvEntry): KvEntry {
    return { ...entry, value: this.#sealer.open(entry) };
  }

  #walk<To>(range: KvRange, pick: (entry: KvEntry) => To): AsyncIterable<To> {
    return this.#life.walk(
      range.signal,
      () => this.#store.entries(range),
      (entry) => pick(this.#opened(entry)),
    );
  }
}

class FencedEncryptedView extends EncryptedView implements FencedKvStore {
  readonly #fenced: FencedKvStore;

  constructor(keys: KeyRing, sealer: ValueSealer, store: FencedKvStore) {
    super(keys, sealer, store);
    this.#fenced = store;
  }

  get fence(): KvFence {
    return this.#fenced.fence;
  }
}
