/**
 * Any `KvStore` as a database of `abstract-level`, for everything that is written for Level.
 *
 * - Keys of Level are any bytes, none too; those of a store are text. Behind one letter each byte
 *   becomes the character of its number, or two hexadecimal digits where the store takes narrow text
 *   only: both keep the order of bytes, and leave room for keys of half or a third of the store's.
 * - Batches are those of the store: all or nothing, within its limits.
 * - Iterators read as they go, and see what changes ahead of them.
 * - Errors of the store come through as they are.
 *
 * Owner: the store is its opener's: closing the database does not close it.
 */
import { type AbstractDatabaseOptions, AbstractIterator, AbstractLevel } from 'abstract-level';
import { LIMITS } from '@holdfast/core';
import type { KvOperation, KvRange, KvStore } from '../kv-store.ts';

/** Before every key, so that the empty one is a key too. */
const LETTER = 'l';

/** What abstract-level hands down, encoded. */
interface LevelRange {
  readonly gt?: Buffer;
  readonly gte?: Buffer;
  readonly lt?: Buffer;
  readonly lte?: Buffer;
  readonly reverse: boolean;
  /** -1: none. */
  readonly limit: number;
  readonly signal?: AbortSignal;
}

interface LevelOperation {
  readonly type: 'put' | 'del';
  readonly key: Buffer;
  readonly value: Buffer;
}

export class KvLevel<K = string, V = string> extends AbstractLevel<Buffer, K, V> {
  readonly #store: KvStore;
  readonly #keys: KeyText;

  constructor(store: KvStore, options?: AbstractDatabaseOptions<K, V>) {
    super(
      {
        encodings: { buffer: true },
        has: true,
        implicitSnapshots: false,
        permanence: store.capabilities.durability !== 'none',
      },
      options,
    );
    this.#store = store;
    this.#keys = new KeyText(store.capabilities.anyText);
  }

  async _get(key: Buffer): Promise<Buffer | undefined> {
    const value = await this.#store.get(this.#keys.encode(key));
    return value && toBuffer(value);
  }

  async _getMany(keys: readonly Buffer[]): Promise<(Buffer | undefined)[]> {
    const values: (Buffer | undefined)[] = [];
    for (let at = 0; at < keys.length; at += LIMITS.maxBatchGets) {
      const some = keys.slice(at, at + LIMITS.maxBatchGets).map((key) => this.#keys.encode(key));
      for (const value of await this.#store.getMany(some)) values.push(value && toBuffer(value));
    }
    return values;
  }

  async _has(key: Buffer): Promise<boolean> {
    return this.#store.has(this.#keys.encode(key));
  }

  async _hasMany(keys: readonly Buffer[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this._has(key)));
  }

  async _put(key: Buffer, value: Buffer): Promise<void> {
    await this.#store.put(this.#keys.encode(key), value);
  }

  async _del(key: Buffer): Promise<void> {
    await this.#store.del(this.#keys.encode(key));
  }

  async _batch(operations: readonly LevelOperation[]): Promise<void> {
    await this.#store.batch(
      operations.map(({ type, key, value }): KvOperation => {
        const text = this.#keys.encode(key);
        return type === 'del' ? { type, key: text } : { type: 'put', key: text, value };
      }),
    );
  }

  async _clear(options: LevelRange): Promise<void> {
    const { reverse, limit } = options;
    const most = limit < 0 ? {} : { limit };
    await this.#store.clear({ ...rangeOf(options, this.#keys), reverse, ...most });
  }

  _iterator(options: LevelRange): KvLevelIterator<K, V> {
    return new KvLevelIterator(this, options, this.#store, this.#keys);
  }
}

class KvLevelIterator<K, V> extends AbstractIterator<KvLevel<K, V>, K, V> {
  readonly #store: KvStore;
  readonly #keys: KeyText;
  readonly #range: KvRange;
  #walk: AsyncIterator<[string, Uint8Array]> | undefined;

  constructor(db: KvLevel<K, V>, options: LevelRange, store: KvStore, keys: KeyText) {
    // Its own options, which it gave, in its own types.
    super(db, options as object);
    this.#store = store;
    this.#keys = keys;
    const { reverse, signal } = options;
    this.#range = { ...rangeOf(options, keys), reverse, signal };
  }

  async _next(): Promise<[Buffer, Buffer] | undefined> {
    this.#walk ??= this.#begin(this.#range);
    const { done, value } = await this.#walk.next();
    if (done === true) return undefined;
    return [this.#keys.decode(value[0]), toBuffer(value[1])];
  }

  async _nextv(size: number): Promise<[Buffer, Buffer][]> {
    const entries: [Buffer, Buffer][] = [];
    while (entries.length < size) {
      const entry = await this._next();
      if (entry === undefined) break;
      entries.push(entry);
    }
    return entries;
  }

  /** All bounds of a range have to hold; of two on one side the tighter one is taken here. */
  _seek(target: Buffer): void {
    this.#leave();
    const text = this.#keys.encode(target);
    const { gt, gte, lt, lte, reverse = false, ...rest } = this.#range;
    if (reverse) {
      const bound = lte ?? lt;
      // Latin and hexadecimal text: the order of strings is that of bytes.
      const inside = bound === undefined || text < bound;
      this.#walk = this.#begin({
        ...rest,
        reverse,
        ...(gte === undefined ? { gt } : { gte }),
        ...(inside ? { lte: text } : { lt, lte }),
      });
      return;
    }
    const bound = gte ?? gt;
    const inside = bound === undefined || text > bound;
    this.#walk = this.#begin({
      ...rest,
      reverse,
      ...(lte === undefined ? { lt } : { lte }),
      ...(inside ? { gte: text } : { gt, gte }),
    });
  }

  async _close(): Promise<void> {
    this.#leave();
  }

  #begin(range: KvRange): AsyncIterator<[string, Uint8Array]> {
    return this.#store.iterator(range)[Symbol.asyncIterator]();
  }

  #leave(): void {
    void this.#walk?.return?.().catch(() => undefined);
    this.#walk = undefined;
  }
}

/** Bytes as text, in their order. */
class KeyText {
  readonly #encoding: 'latin1' | 'hex';

  constructor(anyText: boolean) {
    this.#encoding = anyText ? 'latin1' : 'hex';
  }

  encode(key: Uint8Array): string {
    return LETTER + toBuffer(key).toString(this.#encoding);
  }

  decode(text: string): Buffer {
    return Buffer.from(text.slice(LETTER.length), this.#encoding);
  }
}

function rangeOf({ gt, gte, lt, lte }: LevelRange, keys: KeyText): KvRange {
  const bound = (key: Buffer | undefined): string | undefined => key && keys.encode(key);
  return { gt: bound(gt), gte: bound(gte), lt: bound(lt), lte: bound(lte), prefix: LETTER };
}

function toBuffer(bytes: Uint8Array): Buffer {
  if (Buffer.isBuffer(bytes)) return bytes;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
