/** Keys of objects: which ones there are, and their order. */
import { HoldfastError, LIMITS } from '@holdfast/core';

/** Control characters; halves of a surrogate pair; the two that XML cannot hold. */
const FORBIDDEN = /[\p{Cc}\ufffe\uffff]|\p{Surrogate}/u;
const MAX_SHOWN = 64;

/** Rule 1 of the contract. Backends ask once, at the start of a call. */
export function assertObjectKey(key: string): void {
  const problem = keyProblem(key);
  if (problem === undefined) return;
  const shown = JSON.stringify(key.slice(0, MAX_SHOWN));
  throw new HoldfastError('INVALID_OBJECT_KEY', `object key ${problem} key=${shown}`);
}

export function isObjectKey(key: string): boolean {
  return keyProblem(key) === undefined;
}

function keyProblem(key: string): string | undefined {
  if (key.length > LIMITS.maxObjectKeyBytes || Buffer.byteLength(key) > LIMITS.maxObjectKeyBytes) {
    return `is longer than ${LIMITS.maxObjectKeyBytes} bytes`;
  }
  if (FORBIDDEN.test(key)) return 'has a forbidden character';
  for (const segment of key.split('/')) {
    if (segment === '') return 'has an empty segment';
    if (segment.startsWith('.')) return 'has a segment that begins with a dot';
  }
  return undefined;
}

/** The order of the bytes in UTF-8, which is not that of strings: there halves of pairs count. */
export function compareKeys(a: string, b: string): number {
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
  if (unit >= 0xe000) return unit - 0x800;
  return unit >= 0xd800 ? unit + 0x2000 : unit;
}

/** False when no key beginning with `start` can be on a list of `prefix` and `after`. */
export function mayHoldListed(start: string, prefix: string, after: string): boolean {
  if (!start.startsWith(prefix) && !prefix.startsWith(start)) return false;
  return after.startsWith(start) || compareKeys(start, after) > 0;
}
