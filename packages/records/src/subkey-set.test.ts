import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ALL_SUBKEYS, NO_SUBKEYS, SubkeySet } from './subkey-set.ts';

const numbers = fc.array(fc.nat(60), { maxLength: 40, size: 'max' });

function sorted(of: Iterable<number>): number[] {
  return [...new Set(of)].sort((a, b) => a - b);
}

describe('a set of subkeys', () => {
  it('has ranges that rise, with gaps between them, whatever it is made of', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(60), fc.nat(9)), { maxLength: 20, size: 'max' }),
        (given) => {
          const set = SubkeySet.fromRanges(
            given.map(([first, more]) => ({ first, last: first + more })),
          );
          const expected = sorted(
            given.flatMap(([first, more]) => Array.from({ length: more + 1 }, (_, i) => first + i)),
          );
          expect([...set]).toEqual(expected);
          expect(set.size).toBe(expected.length);
          set.ranges.forEach(({ first, last }, index) => {
            expect(first).toBeLessThanOrEqual(last);
            const before = set.ranges[index - 1];
            if (before !== undefined) expect(first).toBeGreaterThan(before.last + 1);
          });
        },
      ),
    );
  });

  it('is as sets are', () => {
    fc.assert(
      fc.property(numbers, numbers, fc.nat(61), (a, b, n) => {
        const left = SubkeySet.of(...a);
        const right = SubkeySet.of(...b);
        expect([...left.union(right)]).toEqual(sorted([...a, ...b]));
        expect([...left.intersection(right)]).toEqual(sorted(a.filter((x) => b.includes(x))));
        expect([...left.difference(right)]).toEqual(sorted(a.filter((x) => !b.includes(x))));
        expect(left.isSubsetOf(right)).toBe(a.every((x) => b.includes(x)));
        expect(left.equals(right)).toBe(String(sorted(a)) === String(sorted(b)));
        expect(left.has(n)).toBe(a.includes(n));
        expect([...left.with(n)]).toEqual(sorted([...a, n]));
        expect([...left.without(n)]).toEqual(sorted(a.filter((x) => x !== n)));
        expect([...left.within(n)]).toEqual(sorted(a.filter((x) => x < n)));
        expect(left.complement().complement().equals(left)).toBe(true);
        expect(left.complement().intersection(left).isEmpty).toBe(true);
        expect(left.complement().union(left).equals(ALL_SUBKEYS)).toBe(true);
        const members = sorted(a);
        expect(left.first).toBe(members[0]);
        expect(left.last).toBe(members.at(-1));
        expect(left.isEmpty).toBe(a.length === 0);
        expect(left.at(n)).toBe(members[n]);
        expect(left.indexOf(n)).toBe(a.includes(n) ? members.indexOf(n) : undefined);
      }),
      { numRuns: 500 },
    );
  });

  it('may be everything, or nothing', () => {
    expect(ALL_SUBKEYS.size).toBe(2 ** 32);
    expect(ALL_SUBKEYS.has(0xffff_ffff)).toBe(true);
    expect(ALL_SUBKEYS.complement().equals(NO_SUBKEYS)).toBe(true);
    expect(NO_SUBKEYS.complement().equals(ALL_SUBKEYS)).toBe(true);
    expect([...ALL_SUBKEYS.within(3)]).toEqual([0, 1, 2]);
    expect(ALL_SUBKEYS.within(0).isEmpty).toBe(true);
    expect(ALL_SUBKEYS.at(2 ** 32)).toBeUndefined();
    expect(ALL_SUBKEYS.at(-1)).toBeUndefined();
  });

  it('takes whole numbers of 32 bits, the lower one first', () => {
    for (const [first, last] of [
      [-1, 0],
      [0, 2 ** 32],
      [1.5, 2],
      [3, 2],
      [Number.NaN, 1],
    ] as const) {
      expect(() => SubkeySet.range(first, last)).toThrow(TypeError);
    }
  });
});
