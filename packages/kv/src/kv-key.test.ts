import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { behindKey, behindPrefix, compareKeys, intervalOf } from './kv-key.ts';
import { SortedMap } from './sorted-map.ts';

const text = fc.string({ unit: 'binary', maxLength: 4, size: 'max' });
const edgy = fc
  .array(
    fc.constantFrom('a', '\0', '\x7f', 'ÿ', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}'),
    {
      maxLength: 4,
      size: 'max',
    },
  )
  .map((parts) => parts.join(''));
const keys = fc.oneof(text, edgy);

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

describe('keys', () => {
  it('are compared as their bytes in UTF-8 are', () => {
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        expect(Math.sign(compareKeys(a, b))).toBe(byBytes(a, b));
      }),
    );
  });

  it('have a next one, and nothing is between', () => {
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        expect(compareKeys(a, behindKey(a))).toBeLessThan(0);
        expect(compareKeys(a, b) < 0 && compareKeys(b, behindKey(a)) < 0).toBe(false);
      }),
    );
  });

  it('of a prefix are exactly those from it to the text behind it', () => {
    fc.assert(
      fc.property(edgy, keys, edgy, (prefix, other, more) => {
        const end = behindPrefix(prefix);
        for (const key of [other, prefix + more]) {
          const within =
            compareKeys(key, prefix) >= 0 && (end === undefined || compareKeys(key, end) < 0);
          expect(within).toBe(key.startsWith(prefix));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('are in the interval of a range when every bound holds', () => {
    const bound = fc.option(keys, { nil: undefined });
    fc.assert(
      fc.property(bound, bound, bound, bound, bound, keys, (gt, gte, lt, lte, prefix, key) => {
        const { from, to } = intervalOf({ gt, gte, lt, lte, prefix });
        const within = byBytes(key, from) >= 0 && (to === undefined || byBytes(key, to) < 0);
        const low =
          gte === undefined ? gt === undefined || byBytes(key, gt) > 0 : byBytes(key, gte) >= 0;
        const high =
          lte === undefined ? lt === undefined || byBytes(key, lt) < 0 : byBytes(key, lte) <= 0;
        expect(within).toBe(low && high && key.startsWith(prefix ?? ''));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('SortedMap', () => {
  it('finds neighbours as a sorted list does, whatever came and went', () => {
    const step = fc.tuple(
      fc.constantFrom('set', 'set', 'delete', 'look', 'place'),
      fc.integer({ min: 0, max: 900 }),
    );
    const steps = fc.array(step, { maxLength: 1500, size: 'max' });
    fc.assert(
      fc.property(steps, fc.nat(900), fc.integer({ min: 1, max: 40 }), (all, probe, cut) => {
        const map = new SortedMap<number>(compareKeys, cut * 8);
        const model = new Set<string>();
        for (const [what, number] of all) {
          const key = String(number);
          const { changes } = map;
          if (what === 'set') {
            map.set(key, number);
            expect(map.changes > changes).toBe(!model.has(key));
            model.add(key);
          } else if (what === 'delete') expect(map.delete(key)).toBe(model.delete(key));
          else if (what === 'place') map.place(number % 50);
          else if (number % 50 === 0) {
            expect(map.firstAtOrAbove(key)).toBe([...model].toSorted().find((each) => each >= key));
          }
        }
        const gone = [...model].filter((key) => Number(key) % cut === 0);
        map.deleteAll(gone);
        for (const key of gone) model.delete(key);
        const sorted = [...model].toSorted();
        const at = String(probe);
        expect(map.size).toBe(sorted.length);
        expect(map.firstAtOrAbove(at)).toBe(sorted.find((key) => key >= at));
        expect(map.lastBelow(at)).toBe(sorted.findLast((key) => key < at));
        expect(map.lastBelow(undefined)).toBe(sorted.at(-1));
        const walked: string[] = [];
        for (let key = map.firstAtOrAbove(''); key !== undefined;) {
          walked.push(key);
          key = map.firstAtOrAbove(behindKey(key));
        }
        expect(walked).toEqual(sorted);
      }),
      { numRuns: 60 },
    );
  });
});
