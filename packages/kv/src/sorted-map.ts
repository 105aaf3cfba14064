/**
 * A map whose keys are in the order of entries' keys (or another one).
 *
 * Invariants
 * 1. Every key of `#values` stands once in `#chunks` or in `#fresh`. The chunks are in order; none is
 *    empty, none longer than `MAX_CHUNK_KEYS`. What is fresh gets its place when somebody asks for the
 *    order: often nobody does before it goes.
 * 2. `changes` rises whenever a key comes or goes: who remembers a place in the order looks again.
 */
import { compareKeys } from './kv-key.ts';

const MAX_CHUNK_KEYS = 256;
/** Below this part of all, keys come and go one by one. */
const FEW_FRACTION = 16;

/** More keys do not wait for their place: it would take long to find all of them at once. */
const MAX_FRESH_KEYS = 4_096;

export class SortedMap<V> {
  readonly #compare: (a: string, b: string) => number;
  readonly #maxFresh: number;
  readonly #values = new Map<string, V>();
  readonly #fresh = new Set<string>();
  #chunks: string[][] = [];
  #changes = 0;

  /** @param maxFresh more only for who calls `place` before it asks for the order. */
  constructor(
    compare: (a: string, b: string) => number = compareKeys,
    maxFresh: number = MAX_FRESH_KEYS,
  ) {
    this.#compare = compare;
    this.#maxFresh = maxFresh;
  }

  get size(): number {
    return this.#values.size;
  }

  /** I2. */
  get changes(): number {
    return this.#changes;
  }

  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: V): void {
    if (!this.#values.has(key)) {
      this.#changes++;
      this.#fresh.add(key);
      if (this.#fresh.size > this.#maxFresh) this.place();
    }
    this.#values.set(key, value);
  }

  delete(key: string): boolean {
    if (!this.#values.delete(key)) return false;
    this.#changes++;
    if (this.#fresh.delete(key)) return true;
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at] as string[];
    chunk.splice(this.#within(chunk, key), 1);
    if (chunk.length === 0) this.#chunks.splice(at, 1);
    return true;
  }

  /** Many at once: in one pass over all, where that is less. */
  deleteAll(keys: readonly string[]): void {
    if (keys.length < this.#values.size / FEW_FRACTION) {
      for (const key of keys) this.delete(key);
      return;
    }
    this.#changes++;
    for (const key of keys) {
      this.#values.delete(key);
      this.#fresh.delete(key);
    }
    const left = this.#chunks.map((chunk) => chunk.filter((key) => this.#values.has(key)));
    this.#chunks = left.filter((chunk) => chunk.length > 0);
  }

  /** The values, in no order. */
  values(): IterableIterator<V> {
    return this.#values.values();
  }

  /** Gives up to `most` keys their place; false: others wait still. I1. */
  place(most: number = Infinity): boolean {
    const fresh = this.#fresh;
    if (fresh.size === 0) return true;
    const taken: string[] = [];
    for (const key of fresh) {
      if (taken.length >= most) break;
      taken.push(key);
      fresh.delete(key);
    }
    if (taken.length * FEW_FRACTION < this.#values.size) {
      for (const key of taken) this.#insert(key);
    } else {
      const all = this.#chunks.flat().concat(taken).sort(this.#compare);
      this.#chunks = [];
      for (let at = 0; at < all.length; at += MAX_CHUNK_KEYS) {
        this.#chunks.push(all.slice(at, at + MAX_CHUNK_KEYS));
      }
    }
    return fresh.size === 0;
  }

  firstAtOrAbove(key: string): string | undefined {
    this.place();
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at];
    if (chunk === undefined) return undefined;
    return chunk[this.#within(chunk, key)] ?? this.#chunks[at + 1]?.[0];
  }

  /** @param key `undefined`: the last of all. */
  lastBelow(key: string | undefined): string | undefined {
    this.place();
    if (key === undefined) return this.#chunks.at(-1)?.at(-1);
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at];
    const place = chunk === undefined ? 0 : this.#within(chunk, key);
    return place > 0 ? chunk?.[place - 1] : this.#chunks[at - 1]?.at(-1);
  }

  #insert(key: string): void {
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at];
    if (chunk === undefined) {
      this.#chunks.push([key]);
      return;
    }
    chunk.splice(this.#within(chunk, key), 0, key);
    if (chunk.length <= MAX_CHUNK_KEYS) return;
    // Keys often come in order: the last chunk then stays nearly full.
    const split = at === this.#chunks.length - 1 ? MAX_CHUNK_KEYS : MAX_CHUNK_KEYS / 2;
    this.#chunks.splice(at + 1, 0, chunk.splice(split));
  }

  /** The last chunk that begins at or below `key`, else the first. */
  #chunkOf(key: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare((this.#chunks[middle] as string[])[0] as string, key) <= 0)
        low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  /** Where in the chunk the first key at or above `key` stands. */
  #within(chunk: readonly string[], key: string): number {
    let low = 0;
    let high = chunk.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(chunk[middle] as string, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
