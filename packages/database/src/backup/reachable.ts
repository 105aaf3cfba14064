/**
 * From where on a restore can reach, for the history of each writer. A pure function of claims and
 * of the snapshots that stay.
 *
 * What lies before the oldest snapshot of a history is of no use to it any more. The newest history
 * is kept whole while it has no snapshot: a restore begins with its first record then. What an
 * abandoned history left is of no use once no snapshot leads there.
 */
import type { Lsn } from '@holdfast/core';
import { resolveLineage } from './lineage.ts';
import type { WriterClaim } from './writer-claim.ts';

interface StayingSnapshot {
  readonly epoch: number;
  readonly lsn: Lsn;
}

/**
 * The function it gives says for an epoch: records up to here need no archive; `Infinity`: none does.
 * What that is not known of, or when no snapshot stays at all, everything does.
 *
 * @throws `FILE_MISSING` when a claim is missing that another one names.
 */
export function reachableFrom(
  claims: readonly WriterClaim[],
  snapshots: readonly StayingSnapshot[],
): (epoch: number) => number {
  if (snapshots.length === 0) return () => 0;
  const newest = new Set(resolveLineage(claims)?.ranges.map(({ epoch }) => epoch));
  const claimed = new Set(claims.map(({ epoch }) => epoch));
  const known = new Map<number, number>();
  return (epoch) => {
    if (!claimed.has(epoch)) return 0;
    let from = known.get(epoch);
    if (from === undefined) {
      const lineage = resolveLineage(claims, epoch);
      from = snapshots
        .filter((snapshot) => lineage?.holds(snapshot.epoch, snapshot.lsn))
        .reduce((least, { lsn }) => Math.min(least, lsn), Infinity);
      if (from === Infinity && newest.has(epoch)) from = 0;
      known.set(epoch, from);
    }
    return from;
  };
}
