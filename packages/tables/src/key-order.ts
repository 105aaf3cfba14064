/**
 * The order of row keys: byte by byte, shorter first when one is a prefix. In this language, where a
 * call of the platform would cost more than the comparison: keys are short, and mostly differ early.
 */

/** From here on the platform is quicker. */
const LONG_KEY_BYTES = 96;

export function compareRowKeys(one: Buffer, other: Buffer): number {
  return compareWithin(one, 0, one.length, other);
}

/** The key that stands in `bytes` from `start` to `end`, beside `other`. */
export function compareWithin(bytes: Buffer, start: number, end: number, other: Buffer): number {
  const length = Math.min(end - start, other.length);
  if (length > LONG_KEY_BYTES) return bytes.compare(other, 0, other.length, start, end);
  for (let at = 0; at < length; at++) {
    const difference = (bytes[start + at] as number) - (other[at] as number);
    if (difference !== 0) return difference;
  }
  return end - start - other.length;
}
