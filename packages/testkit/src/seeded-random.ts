/**
 * Chance from one seed, for simulations: the same seed gives the same numbers on every
 * machine. xoshiro128** 1.1 (Blackman and Vigna, public domain), its state filled by
 * splitmix32 so that neighbouring seeds give unrelated sequences. Not for secrets.
 */
import type { Random } from '@holdfast/core';

const TWO_32 = 0x1_0000_0000;

export class SeededRandom implements Random {
  readonly seed: number;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** @param seed an integer; its low 32 bits count. */
  constructor(seed: number) {
    this.seed = seed >>> 0;
    const next = splitmix32(this.seed);
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next();
  }

  /** A uniform integer, 0 <= n < 2^32. */
  u32(): number {
    const result = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotate(this.#d, 11);
    return result;
  }

  integer(below: number): number {
    if (!Number.isInteger(below) || below < 1 || below > TWO_32) {
      throw new TypeError(`not a bound: ${below}`);
    }
    const fair = TWO_32 - (TWO_32 % below);
    let value = this.u32();
    while (value >= fair) value = this.u32();
    return value % below;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    let at = 0;
    for (; at + 4 <= length; at += 4) bytes.writeUInt32LE(this.u32(), at);
    for (let rest = this.u32(); at < length; at++, rest >>>= 8) bytes[at] = rest & 0xff;
    return bytes;
  }

  /** A uniform integer, `low` <= n <= `high`. */
  between(low: number, high: number): number {
    return low + this.integer(high - low + 1);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.u32() < probability * TWO_32;
  }

  pick<Item>(items: readonly Item[]): Item {
    if (items.length === 0) throw new TypeError('nothing to pick from');
    return items[this.integer(items.length)] as Item;
  }

  /** A new array in random order. */
  shuffle<Item>(items: readonly Item[]): Item[] {
    const result = [...items];
    for (let last = result.length - 1; last > 0; last--) {
      const other = this.integer(last + 1);
      [result[last], result[other]] = [result[other] as Item, result[last] as Item];
    }
    return result;
  }

  /** A generator of its own: what one part draws does not shift what the others draw. */
  fork(): SeededRandom {
    return new SeededRandom(this.u32());
  }
}

function rotate(value: number, count: number): number {
  return (value << count) | (value >>> (32 - count));
}

function splitmix32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return mixed ^ (mixed >>> 15);
  };
}
