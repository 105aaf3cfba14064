import type { Lsn } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Lineage, resolveLineage } from './lineage.ts';
import { reachableFrom } from './reachable.ts';
import type { WriterClaim } from './writer-claim.ts';

function claim(epoch: number, parent: number, from: number): WriterClaim {
  const claimId = String(epoch).padStart(32, '0');
  return { epoch, parent, from: from as Lsn, claimId, shardCount: 1, claimedAtMs: 0 };
}

const at = (epoch: number, lsn: number): { epoch: number; lsn: Lsn } => ({
  epoch,
  lsn: lsn as Lsn,
});

/** 1: 1..; 2 goes on at 100; 3 was restored to 50 of 1; 4 goes on from 3 at 80. */
const CLAIMS = [claim(1, 0, 1), claim(2, 1, 100), claim(3, 1, 51), claim(4, 3, 80)];

/** For each history that the epoch is a part of, the oldest snapshot of it. */
function slowly(
  claims: readonly WriterClaim[],
  snapshots: readonly { epoch: number; lsn: Lsn }[],
  epoch: number,
): number {
  const needed = claims.map(({ epoch: end }) => {
    const lineage = resolveLineage(claims, end) as Lineage;
    if (!lineage.ranges.some((range) => range.epoch === epoch)) return Infinity;
    const held = snapshots.filter((snapshot) => lineage.holds(snapshot.epoch, snapshot.lsn));
    if (held.length === 0) return end === claims.length ? 0 : Infinity;
    return Math.min(...held.map(({ lsn }) => lsn));
  });
  return Math.min(...needed);
}

describe('what a restore can reach', () => {
  it('is everything while there is no snapshot', () => {
    const from = reachableFrom(CLAIMS, []);
    for (const epoch of [1, 2, 3, 4]) expect(from(epoch)).toBe(0);
  });

  it('begins at the oldest snapshot of a history', () => {
    const from = reachableFrom([claim(1, 0, 1), claim(2, 1, 100)], [at(1, 40), at(2, 120)]);
    expect(from(1)).toBe(40);
    expect(from(2)).toBe(40);
    expect(reachableFrom([claim(1, 0, 1), claim(2, 1, 100)], [at(2, 120)])(1)).toBe(120);
  });

  it('is also an abandoned history while a snapshot leads there', () => {
    const from = reachableFrom(CLAIMS, [at(1, 40), at(4, 90)]);
    expect(from(2)).toBe(40);
    expect(from(4)).toBe(40);
    const later = reachableFrom(CLAIMS, [at(4, 90)]);
    expect(later(2)).toBe(Infinity);
    expect(later(4)).toBe(90);
    expect(later(1)).toBe(90);
    expect(reachableFrom(CLAIMS, [at(2, 120), at(4, 90)])(2)).toBe(120);
  });

  it('does not take a snapshot of an abandoned history for one of the newest', () => {
    const from = reachableFrom(CLAIMS, [at(2, 120)]);
    expect(from(2)).toBe(120);
    expect(from(4)).toBe(0); // nothing of it can go: it has no snapshot
    expect(from(1)).toBe(0);
  });

  it('is also what a restore went back behind, as long as a snapshot leads there', () => {
    // 2 goes on from 1 after a restart; 3 was restored to 50, before that, of what 2 had.
    const claims = [claim(1, 0, 1), claim(2, 1, 61), claim(3, 2, 51)];
    const from = reachableFrom(claims, [at(1, 40), at(3, 95)]);
    for (const epoch of [1, 2, 3]) expect(from(epoch)).toBe(40);
    // One that only the abandoned history has: its records behind it stay, the others need not.
    const later = reachableFrom(claims, [at(2, 90), at(3, 95)]);
    expect([1, 2, 3].map(later)).toEqual([90, 90, 95]);
    // Its writer wrote before 2 began, and 3 does not go on from it.
    expect(reachableFrom(claims, [at(1, 55), at(3, 95)])(2)).toBe(55);
    expect(reachableFrom(claims, [at(3, 95)])(2)).toBe(Infinity);
  });

  it('is what the lineages say, for any claims and snapshots', () => {
    const step = fc.record({ back: fc.nat(4), from: fc.integer({ min: 1, max: 20 }) });
    const moment = fc.record({ writer: fc.nat(20), lsn: fc.integer({ min: 0, max: 25 }) });
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 9, size: 'max' }),
        fc.array(moment, { minLength: 1, maxLength: 4 }),
        (steps, moments) => {
          const claims = steps.map(({ back, from }, i) =>
            claim(i + 1, Math.max(0, i - back), from),
          );
          const snapshots = moments.map(({ writer, lsn }) => at(1 + (writer % steps.length), lsn));
          const from = reachableFrom(claims, snapshots);
          for (const { epoch } of claims)
            expect(from(epoch)).toBe(slowly(claims, snapshots, epoch));
        },
      ),
    );
  });

  it('is told soon also after very many restarts', () => {
    const claims = Array.from({ length: 20_000 }, (_, i) => claim(i + 1, i, 1 + (i >> 1)));
    const from = reachableFrom(claims, [at(3, 1), at(20_000, 9_000)]);
    expect(from(20_000)).toBe(1);
    expect(from(2)).toBe(1);
  });

  it('cannot be told while the claim of a snapshot is missing', () => {
    expect(() => reachableFrom(CLAIMS, [at(9, 90)])).toThrow(/claim of a snapshot is missing/);
  });

  it('is everything of a writer without a claim: somebody may know why', () => {
    expect(reachableFrom(CLAIMS, [at(4, 90)])(9)).toBe(0);
  });
});
