/**
 * Decides which tables to merge next.
 *
 * Tables fall into tiers by size, each `tablesPerTier` times the one below. Merged are
 * neighbours in age only, so that "the newest table that has the key wins" stays true: a run
 * of tables of one tier or smaller, once `tablesPerTier` of them are of that tier. The result
 * moves up a tier, so a row is rewritten once per tier: about log(size) times in its life.
 */
import { LIMITS } from '@holdfast/core';
import type { TableInfo } from './table-info.ts';

export interface CompactionPlan {
  /** Tables `from` to `to - 1` of the list, newest first, are replaced by one. */
  readonly from: number;
  readonly to: number;
  readonly tables: readonly TableInfo[];
  /** The oldest table is included, so that a tombstone has nothing left to hide. */
  readonly dropTombstones: boolean;
}

/**
 * @param tables newest first.
 * @param excluded file ids of tables that cannot be merged: no run reaches over one.
 * @returns `undefined` when nothing is worth merging.
 */
export function planCompaction(
  tables: readonly TableInfo[],
  tablesPerTier: number,
  excluded: ReadonlySet<number> = new Set(),
): CompactionPlan | undefined {
  if (tablesPerTier < 2) throw new TypeError(`tablesPerTier must be at least 2: ${tablesPerTier}`);
  const tiers = tables.map((table) =>
    excluded.has(table.fileId) ? Infinity : tierOf(table.bytes, tablesPerTier),
  );
  const finite = new Set(tiers.filter((tier) => tier !== Infinity));
  for (const tier of [...finite].sort((a, b) => a - b)) {
    const run = runOfTier(tiers, tier, tablesPerTier);
    if (run !== undefined) {
      return {
        ...run,
        tables: tables.slice(run.from, run.to),
        dropTombstones: run.to === tables.length,
      };
    }
  }
  return undefined;
}

/** The first run of neighbours of `tier` or below with at least `wanted` of exactly `tier`. */
function runOfTier(
  tiers: readonly number[],
  tier: number,
  wanted: number,
): { from: number; to: number } | undefined {
  let from = 0;
  let exact = 0;
  for (let at = 0; at <= tiers.length; at++) {
    const here = tiers[at] ?? Infinity;
    if (here <= tier) {
      if (here === tier) exact++;
      continue;
    }
    if (exact >= wanted) return { from, to: at };
    from = at + 1;
    exact = 0;
  }
  return undefined;
}

function tierOf(bytes: number, tablesPerTier: number): number {
  let tier = 0;
  for (let limit = LIMITS.smallestTierBytes; bytes > limit; limit *= tablesPerTier) tier++;
  return tier;
}
