/** Which snapshots stay. A pure function of the snapshots, the rules and the time. */
import type { Lsn } from '@holdfast/core';
import { compareSnapshots } from './snapshot-catalog.ts';

export interface RetentionRules {
  /** So many of the newest. */
  readonly keepLast?: number | undefined;
  /** The newest of each of so many days, UTC, of those that have any. */
  readonly keepDaily?: number | undefined;
  /** The newest of each of so many weeks, from Monday, UTC, of those that have any. */
  readonly keepWeekly?: number | undefined;
  /** What is older goes, whatever the other rules say; without other rules, the rest stays. */
  readonly maxAgeMs?: number | undefined;
}

export interface RetainedSnapshot {
  readonly snapshotId: string;
  readonly epoch: number;
  readonly lsn: Lsn;
  readonly createdAtMs: number;
}

const DAY_MS = 86_400_000;
/** 1970 began on a Thursday. */
const DAYS_BEFORE_MONDAY = 3;

/**
 * Ids of those that stay: the newest always does, and without a rule all do.
 *
 * @param leads to the newest history: the newest of these always stays too. After a restore to an
 * earlier moment it is not the newest one.
 */
export function chooseKept<Snapshot extends RetainedSnapshot>(
  snapshots: readonly Snapshot[],
  rules: RetentionRules,
  nowMs: number,
  leads: (snapshot: Snapshot) => boolean,
): ReadonlySet<string> {
  const { keepLast, keepDaily, keepWeekly, maxAgeMs } = rules;
  const newestFirst = [...snapshots].sort(compareSnapshots);
  const counted = [keepLast, keepDaily, keepWeekly].some((rule) => rule !== undefined);
  const wanted = counted
    ? new Set([
        ...newestFirst.slice(0, keepLast ?? 0),
        ...firstOfEach(newestFirst, keepDaily ?? 0, dayOf),
        ...firstOfEach(newestFirst, keepWeekly ?? 0, weekOf),
      ])
    : new Set(newestFirst);
  const isYoung = ({ createdAtMs }: RetainedSnapshot): boolean =>
    maxAgeMs === undefined || nowMs - createdAtMs <= maxAgeMs;
  const always = new Set([newestFirst[0], newestFirst.find(leads)]);
  const kept = newestFirst.filter(
    (snapshot) => always.has(snapshot) || (wanted.has(snapshot) && isYoung(snapshot)),
  );
  return new Set(kept.map(({ snapshotId }) => snapshotId));
}

function firstOfEach<Snapshot extends RetainedSnapshot>(
  newestFirst: readonly Snapshot[],
  count: number,
  periodOf: (atMs: number) => number,
): Snapshot[] {
  const first = new Map<number, Snapshot>();
  for (const snapshot of newestFirst) {
    const period = periodOf(snapshot.createdAtMs);
    if (first.has(period)) continue;
    if (first.size === count) break;
    first.set(period, snapshot);
  }
  return [...first.values()];
}

function dayOf(atMs: number): number {
  return Math.floor(atMs / DAY_MS);
}

function weekOf(atMs: number): number {
  return Math.floor((dayOf(atMs) + DAYS_BEFORE_MONDAY) / 7);
}
