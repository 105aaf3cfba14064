/**
 * From where on a restore can reach, for the history of each writer. A pure function of claims and
 * of the snapshots that stay.
 *
 * What lies before the oldest snapshot of a history is of no use to it any more. The newest history
 * is kept whole while it has no snapshot: a restore begins with its first record then. What an
 * abandoned history left is of no use once no snapshot leads there.
 */
import { HoldfastError, type Lsn } from '@holdfast/core';
import { resolveLineage } from './lineage.ts';
import type { WriterClaim } from './writer-claim.ts';

interface StayingSnapshot {
  readonly epoch: number;
  readonly lsn: Lsn;
}

/**
 * The function it gives says for an epoch: records up to here need no archive; `Infinity`: none does.
 * Of an epoch without a claim, or when no snapshot stays at all, everything does.
 *
 * @throws `FILE_MISSING` when a claim is missing that another one, or a snapshot, names.
 */
export function reachableFrom(
  claims: readonly WriterClaim[],
  snapshots: readonly StayingSnapshot[],
): (epoch: number) => number {
  if (snapshots.length === 0) return () => 0;
  const from = new Map(claims.map(({ epoch }) => [epoch, Infinity]));
  for (const { epoch } of snapshots) if (!from.has(epoch)) throw claimMissing(epoch);
  const newest = Math.max(...from.keys());
  for (const end of endsOf(claims)) {
    const lineage = resolveLineage(claims, end);
    let oldest = snapshots
      .filter((snapshot) => lineage?.holds(snapshot.epoch, snapshot.lsn))
      .reduce((least, { lsn }) => Math.min(least, lsn), Infinity);
    if (oldest === Infinity && end === newest) oldest = 0;
    for (const { epoch } of lineage?.ranges ?? []) {
      from.set(epoch, Math.min(from.get(epoch) as number, oldest));
    }
  }
  return (epoch) => from.get(epoch) ?? 0;
}

function claimMissing(epoch: number): HoldfastError {
  return new HoldfastError('FILE_MISSING', `writer claim of a snapshot is missing epoch=${epoch}`, {
    details: { epoch },
  });
}

/** Writers from whom nobody went on: where the histories end. */
function endsOf(claims: readonly WriterClaim[]): number[] {
  const parents = new Set(claims.map(({ parent }) => parent));
  return claims.map(({ epoch }) => epoch).filter((epoch) => !parents.has(epoch));
}
