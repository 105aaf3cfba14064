import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareKeys } from '../../kv-key.ts';
import {
  keyOf,
  MAX_NAMED_KEY_BYTES,
  nameBefore,
  nameOf,
  numberName,
  numberOfName,
  numberOfReverseName,
  reverseNumberName,
} from './entry-names.ts';
import { placeOf, placesOf } from './object-places.ts';

const key = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 160, size: 'max' })
  .filter((text) => Buffer.byteLength(text) <= MAX_NAMED_KEY_BYTES);
const number = fc.nat({ max: Number.MAX_SAFE_INTEGER });

describe('names of entries in an object store', () => {
  it('give their keys back, and are keys of objects', () => {
    fc.assert(
      fc.property(key, (each) => {
        const name = nameOf(each);
        expect(keyOf(name)).toBe(each);
        expect(name).toMatch(/^(?:[-0-9A-Z_a-z]{200}\/)*[-0-9A-Z_a-z]*!$/);
      }),
    );
  });

  it('are in the order of their keys, with what is before a key between it and those below', () => {
    fc.assert(
      fc.property(key, key, fc.nat(5), (one, suffix, cut) => {
        for (const other of [suffix, one + suffix, `${one}\0`, one.slice(0, -cut)]) {
          const order = Math.sign(compareKeys(one, other));
          expect(Math.sign(compare(nameOf(one), nameOf(other)))).toBe(order);
          if (order > 0) expect(nameBefore(one) > nameOf(other)).toBe(true);
          expect(nameBefore(one) < nameOf(one)).toBe(true);
        }
      }),
    );
  });

  it('fit into keys of objects, with a number before them', () => {
    const longest = '\u{ff}'.repeat(MAX_NAMED_KEY_BYTES / 2);
    for (const place of placesOf(longest, { seq: 1, version: 1, epoch: 0, expiresAtMs: 1 })) {
      expect(place.length).toBeLessThanOrEqual(512);
      expect(placeOf(place, numberOfName)?.key).toBe(longest);
    }
  });

  it.each(['', '!', 'a', 'AA', 'ab!x', 'a/b!'])('are not %j', (name) => {
    expect(name === '!' ? keyOf(name) || undefined : keyOf(name)).toBeUndefined();
  });

  it('of numbers are in their order, or against it', () => {
    fc.assert(
      fc.property(number, number, (a, b) => {
        const order = Math.sign(a - b);
        expect(Math.sign(compare(numberName(a), numberName(b)))).toBe(order);
        expect(Math.sign(compare(reverseNumberName(b), reverseNumberName(a)))).toBe(order);
        expect(numberOfName(numberName(a))).toBe(a);
        expect(numberOfReverseName(reverseNumberName(a))).toBe(a);
      }),
    );
  });
});

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
