import type { Lsn } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
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

  it('cannot be told while the claim of a snapshot is missing', () => {
    expect(() => reachableFrom(CLAIMS, [at(9, 90)])).toThrow(/claim of a snapshot is missing/);
  });

  it('is everything of a writer without a claim: somebody may know why', () => {
    expect(reachableFrom(CLAIMS, [at(4, 90)])(9)).toBe(0);
  });
});
