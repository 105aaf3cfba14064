/**
 * Whether tiers fit together and are this store's to write: rules 12 and 13.
 *
 * Invariants
 * 1. An epoch is claimed in the primary before the local store says that it is ours. `claiming` says
 *    that this was begun with good reason: then the next number is claimed.
 * 2. A backup of which it is not known that it has all there is, is behind: it is filled from the
 *    primary. So nothing may be claimed over a primary that knows less than its backup.
 * 3. A local store that was put back does not know what it wrote since: it goes on only when somebody
 *    says so, above all numbers that it may have given, and owes nothing from before.
 */
import { HoldfastError } from '@holdfast/core';
import { fencedError } from '../fencing.ts';
import { TierFence } from './tier-fence.ts';
import type { TierState } from './tier-state.ts';
import { isReserved } from './reserved-keys.ts';
import { isTransient, type Tier } from './tier.ts';

export interface ClaimedTiers {
  readonly state: TierState;
  /** What is owed from before counts no more: others wrote since, or there is no before. */
  readonly anew: boolean;
  /** Nothing was ever written. */
  readonly empty: boolean;
  /** I3. */
  readonly putBack: boolean;
}

export interface TierClaimsParts {
  readonly primary: Tier;
  readonly backup: Tier | undefined;
  readonly takeOver: boolean;
  readonly copyId: string | undefined;
  readonly save: (state: TierState) => Promise<void>;
}

export async function claimTiers(
  resting: TierState,
  parts: TierClaimsParts,
): Promise<ClaimedTiers> {
  const { takeOver, copyId } = parts;
  const before = { ...resting, copyId };
  const putBack = resting.epoch > 0 && resting.copyId !== copyId;
  if (putBack && !takeOver && !resting.claiming) {
    throw mismatch(
      'this is a restored copy, and what was written to the tiers behind its last moment is not known here',
    );
  }
  return { ...(putBack ? await claimAnew(before, parts) : await claim(before, parts)), putBack };
}

type Claim = Omit<ClaimedTiers, 'putBack'>;

async function claim(before: TierState, parts: TierClaimsParts): Promise<Claim> {
  const { primary, backup, takeOver } = parts;
  const known =
    before.epoch > 0 &&
    (before.primaryId === primary.store.id || (takeOver && (await isRenamed(before, primary))));
  if (before.epoch > 0 && !known && !takeOver) {
    throw mismatch(`the primary is another store expected=${before.primaryId}`);
  }
  if (!known) return claimAnew(before, parts);
  const fence = new TierFence(primary, before.owner);
  const carried =
    fence.carries(before.epoch) &&
    (backup === undefined || new TierFence(backup, before.owner).carries(before.epoch));
  let isAway = false;
  const newest = await fence.newest().catch((error: unknown) => {
    // The epoch is said with every write: who wrote last may open while the primary is away.
    isAway = carried && isTransient(error);
    if (isAway) return before.epoch;
    throw error;
  });
  if (newest < before.epoch) {
    throw mismatch(`the primary was emptied or put back epoch=${newest} own=${before.epoch}`);
  }
  const other = (await reachable(backup && new TierFence(backup, before.owner).newest())) ?? 0;
  const highest = Math.max(newest, other);
  if (
    highest > before.epoch &&
    !(await isOwn(highest, before, newest > other ? primary : backup))
  ) {
    if (!takeOver && !before.claiming) throw fencedError(highest, before.epoch);
    return claimAnew(before, parts);
  }
  const sameBackup = backup !== undefined && before.backupId === backup.store.id;
  const state: TierState = {
    ...before,
    primaryId: primary.store.id,
    backupId: backup?.store.id,
    backupClaimed: sameBackup && before.backupClaimed,
    behind: backup !== undefined && (before.behind || !sameBackup), // I2
    claiming: false,
    moving: undefined,
  };
  const begun = highest > before.epoch;
  return {
    // A promotion that was cut short while the primary is away: it is for whoever begins it again.
    state: carried && (!begun || isAway) ? state : await raised(state, highest + 1, parts),
    anew: false,
    empty: false,
  };
}

async function claimAnew(before: TierState, parts: TierClaimsParts): Promise<Claim> {
  const { primary, backup, takeOver } = parts;
  const newest = await new TierFence(primary, before.owner).newest();
  const other = await reachable(backup && new TierFence(backup, before.owner).newest());
  if (newest === 0 && other !== undefined && other > 0) {
    throw mismatch(
      `the backup has a history, the primary has none: restore it first epoch=${other}`,
    );
  }
  if (newest > 0 && newest < before.epoch) {
    throw mismatch(`the primary knows less than this store epoch=${newest} own=${before.epoch}`);
  }
  if (newest > 0 && !takeOver && !before.claiming) throw fencedError(newest, before.epoch);
  const empty = newest === 0 && (await isEmpty(primary));
  const fresh = empty && other === 0 && (await isEmpty(backup));
  const state: TierState = {
    ...before,
    primaryId: primary.store.id,
    backupId: backup?.store.id,
    backupClaimed: false,
    behind: backup !== undefined && !fresh, // I2
    moving: undefined,
  };
  const epoch = Math.max(newest, other ?? 0, before.epoch) + 1;
  return { state: await raised(state, epoch, parts), anew: true, empty };
}

/** The same store under another id: nobody wrote to it since, and it was not emptied. */
async function isRenamed({ epoch, owner }: TierState, primary: Tier): Promise<boolean> {
  return (await new TierFence(primary, owner).newest()) === epoch;
}

/** A promotion or a migration of ours began, and ended before anything was written under it. */
async function isOwn(
  epoch: number,
  { owner, moving }: TierState,
  tier: Tier | undefined,
): Promise<boolean> {
  if (epoch === moving) return true;
  return tier !== undefined && new TierFence(tier, owner).isClaimed(epoch);
}

/** I1. */
async function raised(
  state: TierState,
  epoch: number,
  { primary, save }: TierClaimsParts,
): Promise<TierState> {
  await save({ ...state, claiming: true });
  await new TierFence(primary, state.owner).claim(epoch);
  const claimed = { ...state, epoch, backupClaimed: false, claiming: false };
  await save(claimed);
  return claimed;
}

async function reachable(newest: Promise<number> | undefined): Promise<number | undefined> {
  return newest?.catch((error: unknown) => {
    if (isTransient(error)) return undefined;
    throw error;
  });
}

async function isEmpty(tier: Tier | undefined): Promise<boolean> {
  if (tier === undefined) return true;
  return tier.read(async (store) => {
    for await (const key of store.keys()) if (!isReserved(key)) return false;
    return true;
  });
}

function mismatch(message: string): HoldfastError {
  return new HoldfastError('TIER_MISMATCH', `tiers do not fit together: ${message}`);
}
