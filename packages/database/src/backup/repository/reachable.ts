/**
 * From where on a restore can reach, for the history of each writer. A pure function of claims and
 * of the snapshots that stay.
 *
 * A history ends with each writer: also one that others did not go on from to its end, as when a
 * restore went back behind it. What lies before the oldest snapshot of a history is of no use to it
 * any more. The newest history is kept whole while it has no snapshot: a restore begins with its
 * first record then. What any other left is of no use once no snapshot leads there.
 */
import { HoldfastError, type Lsn } from '@holdfast/core';
import type { WriterClaim } from './writer-claim.ts';

interface StayingSnapshot {
  readonly epoch: number;
  readonly lsn: Lsn;
}

/** A history on its way to its root: what it needs of the writers before. */
interface Visit {
  /** From here on. */
  readonly from: number;
  /** Up to before this: from there on it is a later writer's. */
  readonly before: number;
}

/**
 * The function it gives says for an epoch: records up to here need no archive; `Infinity`: none does.
 * Of an epoch without a claim, or when no snapshot stays at all, everything does.
 *
 * @param claims rising.
 * @throws `FILE_MISSING` when a claim is missing that another one, or a snapshot, names.
 */
export function reachableFrom(
  claims: readonly WriterClaim[],
  snapshots: readonly StayingSnapshot[],
): (epoch: number) => number {
  if (snapshots.length === 0) return () => 0;
  const byEpoch = new Map(claims.map((claim) => [claim.epoch, claim]));
  for (const { epoch, parent } of claims) {
    if (parent !== 0 && !byEpoch.has(parent)) throw claimMissing(parent, `epoch ${epoch}`);
  }
  const oldest = oldestOfEach(claims, snapshots);
  const newest = claims.at(-1)?.epoch;
  const from = new Map(claims.map(({ epoch }) => [epoch, Infinity]));
  const visits = new Map<number, Visit>();
  for (const { epoch } of [...claims].reverse()) {
    const found = oldest.get(epoch) ?? Infinity;
    const needed = found === Infinity && epoch === newest ? 0 : found;
    if (needed === Infinity) continue;
    let before = Infinity;
    for (let claim = byEpoch.get(epoch); claim !== undefined; claim = byEpoch.get(claim.parent)) {
      const visit = visits.get(claim.epoch);
      if (visit !== undefined && visit.from <= needed && visit.before >= before) break;
      visits.set(claim.epoch, { from: needed, before });
      if (claim.from >= before) continue; // its successor goes back behind it
      from.set(claim.epoch, Math.min(from.get(claim.epoch) as number, needed));
      before = claim.from;
    }
  }
  return (epoch) => from.get(epoch) ?? 0;
}

/** By epoch: the LSN of the oldest snapshot from which the history up to that writer's end goes on. */
function oldestOfEach(
  claims: readonly WriterClaim[],
  snapshots: readonly StayingSnapshot[],
): ReadonlyMap<number, number> {
  const oldest = new Map<number, number>();
  for (const { epoch: writer, lsn } of snapshots) {
    /** Who wrote `lsn` in the history of each; before its beginning, minus the epoch that began it. */
    const origins = new Map<number, number>();
    for (const { epoch, parent, from } of claims) {
      const beginning = origins.get(parent) ?? -epoch;
      origins.set(epoch, from <= lsn ? epoch : beginning);
    }
    const origin = origins.get(writer);
    if (origin === undefined) throw claimMissing(writer, 'a snapshot');
    for (const [epoch, other] of origins) {
      if (other === origin) oldest.set(epoch, Math.min(oldest.get(epoch) ?? Infinity, lsn));
    }
  }
  return oldest;
}

function claimMissing(epoch: number, of: string): HoldfastError {
  return new HoldfastError('FILE_MISSING', `writer claim of ${of} is missing epoch=${epoch}`, {
    details: { epoch },
  });
}
