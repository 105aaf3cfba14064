/**
 * What a primary and a backup say of themselves: whose they are, and which part. An operator may give
 * the place of another store, or settings from before a promotion: both are found here.
 *
 * Invariants
 * 1. A place is marked after its epoch was claimed there, by whoever claimed it.
 * 2. What was a primary and is none any more is never taken for one: `left`.
 */
import { HoldfastError } from '@holdfast/core';
import type { KvStore } from '../kv-store.ts';
import { isReserved, PLACE_KEY } from './reserved-keys.ts';
import type { Tier } from './tier.ts';
import { isTransient } from './tier.ts';

export interface PlaceMark {
  /** Id of the tiered store. */
  readonly store: string;
  /** `target`: of a migration that did not end. */
  readonly role: 'primary' | 'backup' | 'left' | 'target';
  /** The epoch under which it became that. */
  readonly since: number;
  /** Of `left`: which store is the primary instead. */
  readonly to?: string;
}

export interface PlacesToCheck {
  /** Id of the tiered store. */
  readonly id: string;
  readonly primary: Tier;
  readonly backup: Tier | undefined;
  /** An epoch that this store itself was about to claim. */
  readonly moving: number | undefined;
  /** What is the backup now may become the primary. */
  readonly takeOver: boolean;
}

/** `TIER_MISMATCH` for a place that is another one's, or another part. */
export async function checkPlaces(check: PlacesToCheck): Promise<void> {
  const primary = await markOf(check.primary);
  const backup = check.backup && (await markOf(check.backup));
  assertFit(check, primary, backup);
}

/** Of a backup that was away when the others were checked: nothing is written before it was. */
export async function checkLateBackup(check: PlacesToCheck): Promise<void> {
  const backup = await check.backup?.read(readPlaceMark);
  assertFit(check, await markOf(check.primary), backup);
}

function assertFit(
  check: PlacesToCheck,
  primary: PlaceMark | undefined,
  backup: PlaceMark | undefined,
): void {
  for (const [name, mark] of [
    ['primary', primary],
    ['backup', backup],
  ] as const) {
    if (mark === undefined || mark.store === check.id) continue;
    throw mismatch(`the ${name} belongs to another store, ${JSON.stringify(mark.store)}`);
  }
  if (primary?.role === 'left' && primary.since !== check.moving) {
    const to = primary.to === undefined ? '' : ` primary=${primary.to}`;
    throw mismatch(`the primary was left for another one epoch=${primary.since}${to}`);
  }
  if (primary?.role === 'target' && primary.since !== check.moving) {
    throw mismatch('a migration into the primary did not end');
  }
  if (primary?.role === 'backup' && !check.takeOver) {
    throw mismatch('the primary is the backup of this store: promote it, or take over');
  }
  const isPrimary = backup?.role === 'primary' && backup.since !== check.moving;
  if (isPrimary && backup.since >= (primary?.since ?? 0)) {
    throw mismatch(`the backup was made the primary of this store epoch=${backup.since}`);
  }
}

/** I1. */
export async function markPlace(tier: Tier, mark: PlaceMark): Promise<void> {
  const there = await tier.read(readPlaceMark);
  if (there?.store === mark.store && there.role === mark.role) return;
  await tier.write((store) => store.put(PLACE_KEY, Buffer.from(JSON.stringify(mark))));
}

/** Of a migration: nobody's entries are taken for leftovers of it. */
export async function markTarget(tier: Tier, id: string): Promise<void> {
  const mark = await tier.read(readPlaceMark);
  if (mark !== undefined && mark.store !== id) {
    throw mismatch(`the target belongs to another store, ${JSON.stringify(mark.store)}`);
  }
  if (mark === undefined) {
    for await (const key of tier.store.keys()) {
      if (isReserved(key)) continue;
      throw new HoldfastError(
        'RESTORE_TARGET_NOT_EMPTY',
        'the target of the migration has entries',
      );
    }
  }
  await markPlace(tier, { store: id, role: 'target', since: 0 });
}

/** `undefined`: it is nobody's yet. */
export async function readPlaceMark(store: KvStore): Promise<PlaceMark | undefined> {
  const bytes = await store.get(PLACE_KEY);
  if (bytes === undefined) return undefined;
  try {
    const mark = JSON.parse(Buffer.from(bytes).toString()) as Partial<PlaceMark>;
    if (typeof mark.store === 'string' && typeof mark.role === 'string') {
      return { ...mark, since: Number(mark.since ?? 0) } as PlaceMark;
    }
  } catch {
    // Told below.
  }
  throw new HoldfastError('FORMAT_INVALID', 'the mark of a tier cannot be read');
}

/** A place that cannot answer now was checked when it could. */
async function markOf(tier: Tier): Promise<PlaceMark | undefined> {
  return tier.read(readPlaceMark).catch((error: unknown) => {
    if (isTransient(error)) return undefined;
    throw error;
  });
}

function mismatch(message: string): HoldfastError {
  return new HoldfastError('TIER_MISMATCH', `tiers do not fit together: ${message}`);
}
