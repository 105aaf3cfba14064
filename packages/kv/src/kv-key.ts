/** Keys of entries: which ones there are, their order, and the intervals they lie in. */
import { HoldfastError } from '@holdfast/core';
import type { KeyInterval } from './kv-backend.ts';
import type { KvRange } from './kv-store.ts';

const LONE_SURROGATE = /\p{Surrogate}/u;
const LAST_CODE_POINT = 0x10ffff;
const FIRST_SURROGATE = 0xd800;
const BEHIND_SURROGATES = 0xe000;

/** Rule 1 of the contract. Returns the length of the key in bytes. */
export function assertKey(key: string, maxBytes: number): number {
  if (typeof key !== 'string') throw new TypeError('a key is a string');
  // Text in UTF-16 never has more units than bytes in UTF-8: a cheap look before the dear one.
  const bytes = key.length > maxBytes ? Infinity : Buffer.byteLength(key);
  if (bytes === 0) throw invalidKey('key is empty');
  if (bytes > maxBytes) throw invalidKey(`key is longer than ${maxBytes} bytes`);
  if (bytes !== key.length && LONE_SURROGATE.test(key)) throw malformed();
  return bytes;
}

/** The order of the bytes in UTF-8, which is not that of strings: there halves of pairs count. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const one = a.charCodeAt(at);
    const other = b.charCodeAt(at);
    if (one !== other) return rank(one) - rank(other);
  }
  return a.length - b.length;
}

/** Halves of pairs stand for code points behind all others. */
function rank(unit: number): number {
  if (unit >= BEHIND_SURROGATES) return unit - 0x800;
  return unit >= FIRST_SURROGATE ? unit + 0x2000 : unit;
}

/** The lowest text above every text that begins with `prefix`; `undefined`: there is none. */
export function behindPrefix(prefix: string): string | undefined {
  const points = Array.from(prefix);
  while (points.length > 0) {
    const last = (points.pop() as string).codePointAt(0) as number;
    if (last === LAST_CODE_POINT) continue;
    const next = last + 1 === FIRST_SURROGATE ? BEHIND_SURROGATES : last + 1;
    return points.join('') + String.fromCodePoint(next);
  }
  return undefined;
}

/** The lowest text above `key`. */
export function behindKey(key: string): string {
  return `${key}\0`;
}

/** Rule 14: everything that is given holds; `gte` and `lte` win over `gt` and `lt`. */
export function intervalOf(range: KvRange): KeyInterval {
  const { gt, gte, lt, lte, prefix } = range;
  for (const bound of [gt, gte, lt, lte, prefix]) if (bound !== undefined) assertBound(bound);
  let from = gte ?? (gt === undefined ? '' : behindKey(gt));
  let to = lte === undefined ? lt : behindKey(lte);
  if (prefix !== undefined) {
    if (compareKeys(prefix, from) > 0) from = prefix;
    const end = behindPrefix(prefix);
    if (end !== undefined && (to === undefined || compareKeys(end, to) < 0)) to = end;
  }
  return { from, to };
}

export function isEmptyInterval({ from, to }: KeyInterval): boolean {
  return to !== undefined && compareKeys(from, to) >= 0;
}

function assertBound(bound: string): void {
  if (typeof bound !== 'string') throw new TypeError('a bound of a range is a string');
  if (LONE_SURROGATE.test(bound)) throw malformed();
}

function malformed(): HoldfastError {
  return invalidKey('key is not well-formed text: it has half of a surrogate pair');
}

export function invalidKey(message: string): HoldfastError {
  return new HoldfastError('INVALID_ENTRY_KEY', message);
}
