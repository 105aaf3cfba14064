import type { Lsn } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Lineage, resolveLineage } from './lineage.ts';
import type { WriterClaim } from './writer-claim.ts';

function claim(epoch: number, parent: number, from: number): WriterClaim {
  const claimId = epoch.toString(16).padStart(32, '0');
  return { epoch, claimId, parent, from: from as Lsn, shardCount: 4, claimedAtMs: 0 };
}

function rangesOf(lineage: Lineage | undefined): (number | undefined)[][] {
  return (lineage?.ranges ?? []).map(({ epoch, from, to }) => [epoch, from, to]);
}

function lsn(value: number): Lsn {
  return value as Lsn;
}

describe('a lineage', () => {
  it('is not there before the first claim', () => {
    expect(resolveLineage([])).toBeUndefined();
  });

  it('gives each writer what lies between its claim and the next', () => {
    const lineage = resolveLineage([claim(1, 0, 1), claim(2, 1, 11), claim(3, 2, 25)]) as Lineage;
    expect(rangesOf(lineage)).toEqual([
      [1, 1, 10],
      [2, 11, 24],
      [3, 25, undefined],
    ]);
    expect([0, 1, 10, 11, 24, 25, 999].map((at) => lineage.epochAt(lsn(at)))).toEqual([
      ...[undefined, 1, 1, 2, 2, 3, 3],
    ]);
    expect(lineage.from).toBe(1);
  });

  it('leaves out a writer that was gone back behind', () => {
    const claims = [claim(1, 0, 1), claim(2, 1, 11), claim(3, 2, 6)];
    const lineage = resolveLineage(claims) as Lineage;
    expect(rangesOf(lineage)).toEqual([
      [1, 1, 5],
      [3, 6, undefined],
    ]);
    expect(lineage.holds(1, lsn(5))).toBe(true);
    expect(lineage.holds(2, lsn(5))).toBe(true);
    expect(lineage.holds(1, lsn(6))).toBe(false);
    expect(lineage.holds(2, lsn(12))).toBe(false);
    expect(lineage.holds(3, lsn(6))).toBe(true);
  });

  it('of an older epoch shows the history as that writer knew it', () => {
    const claims = [claim(1, 0, 1), claim(2, 1, 11), claim(3, 1, 6), claim(4, 3, 9)];
    expect(rangesOf(resolveLineage(claims, 2))).toEqual([
      [1, 1, 10],
      [2, 11, undefined],
    ]);
    expect(rangesOf(resolveLineage(claims))).toEqual([
      [1, 1, 5],
      [3, 6, 8],
      [4, 9, undefined],
    ]);
  });

  it('holds the state before its beginning, but not that of a history that began anew', () => {
    const claims = [claim(1, 0, 100), claim(2, 1, 150), claim(3, 0, 100)];
    const old = resolveLineage(claims, 2) as Lineage;
    expect(old.holds(1, lsn(99))).toBe(true);
    expect(old.holds(2, lsn(99))).toBe(true);
    expect(old.holds(3, lsn(99))).toBe(false);
    expect((resolveLineage(claims) as Lineage).holds(1, lsn(99))).toBe(false);
  });

  it('is refused when a claim on its path is missing, and not for another one', () => {
    expect(() => resolveLineage([claim(3, 2, 25), claim(1, 0, 1)])).toThrow(
      expect.objectContaining({ code: 'FILE_MISSING' }),
    );
    expect(rangesOf(resolveLineage([claim(3, 0, 25), claim(2, 1, 1)]))).toEqual([
      [3, 25, undefined],
    ]);
  });

  it('knows nothing of an epoch without a claim', () => {
    expect(resolveLineage([claim(1, 0, 1)])?.holds(2, lsn(5))).toBe(false);
  });

  /** The model: every writer copies the history it goes on from, up to where it begins. */
  it('is the history that each writer saw, for any tree of writers', () => {
    const step = fc.record({ parent: fc.nat(), back: fc.nat(8), writes: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12, size: 'max' }), (steps) => {
        const claims: WriterClaim[] = [];
        const histories: number[][] = [[]];
        for (const [i, { parent, back, writes }] of steps.entries()) {
          const epoch = i + 1;
          const from = i === 0 ? 0 : (parent % i) + 1;
          const base = histories[from] as number[];
          const kept = base.slice(0, Math.max(0, base.length - back));
          claims.push(claim(epoch, from, kept.length + 1));
          histories.push([...kept, ...Array.from({ length: writes }, () => epoch)]);
        }
        for (const asOf of claims.keys()) checkAgainst(claims, histories, asOf + 1);
      }),
      { numRuns: 150 },
    );
  });
});

function checkAgainst(
  claims: readonly WriterClaim[],
  histories: readonly number[][],
  asOf: number,
): void {
  const lineage = resolveLineage(claims, asOf) as Lineage;
  const mine = histories[asOf] as number[];
  for (const [i, epoch] of mine.entries()) {
    if (lineage.epochAt(lsn(i + 1)) !== epoch) expect(rangesOf(lineage)).toEqual(mine);
  }
  for (const [epoch, theirs] of histories.entries()) {
    if (epoch === 0) continue;
    for (let at = 0; at <= Math.min(theirs.length, mine.length); at++) {
      const same = theirs.slice(0, at).join() === mine.slice(0, at).join();
      if (lineage.holds(epoch, lsn(at)) !== same) {
        expect({ epoch, at, same }).toEqual(rangesOf(lineage));
      }
    }
  }
  for (const [i, range] of lineage.ranges.entries()) {
    const next = lineage.ranges[i + 1];
    expect(range.to).toBe(next === undefined ? undefined : next.from - 1);
    if (next !== undefined) expect(next.epoch).toBeGreaterThan(range.epoch);
  }
}
