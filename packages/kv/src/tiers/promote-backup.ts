/**
 * The backup becomes the primary.
 *
 * Invariants
 * 1. It has everything that was ever acknowledged: what is owed to it is there, or it does not happen.
 * 2. The new epoch is in the backup before it is written as a primary: whoever wrote before under
 *    another one is `FENCED` there, and in the old primary too, if that answers.
 */
import { cut, HoldfastError } from '@holdfast/core';
import type { KvStore } from '../kv-store.ts';
import { noBackup, type TieredCore } from './tiered-core.ts';
import { markPlace, type PlaceMark } from './tier-place.ts';
import { TierWriter } from './tier-writer.ts';
import { isTransient, Tier, type TierComponents } from './tier.ts';

export async function promoteBackup(core: TieredCore, force: boolean): Promise<{ epoch: number }> {
  const { tiers, outbox, logger } = core.parts;
  if (tiers.backup === undefined) throw noBackup();
  if (tiers.behind && !force) throw behind();
  return core.alone(async () => {
    const backup = tiers.backup;
    if (backup === undefined) throw noBackup();
    if (tiers.behind && !force) throw behind(); // left behind by a write that was waited for
    const old = tiers.primary;
    const epoch = Math.max(tiers.epoch, await backup.newest()) + 1;
    await core.save({ moving: epoch });
    await cut('tiers.promote');
    await backup.claim(epoch); // I2
    // I1. In the order of numbers; nothing else writes now.
    for (const owed of [...outbox.all()]) {
      if (owed.ephemeral || !owed.to.has('backup')) continue;
      const operation = await outbox.read(owed);
      if (operation !== undefined) await backup.bringAgain([operation]);
    }
    const { id } = core.parts.settings;
    await markPlace(backup.tier, { store: id, role: 'primary', since: epoch });
    const to = backup.tier.store.id;
    await leave(old, { store: id, role: 'left', since: epoch, to }).catch((error: unknown) => {
      if (!isTransient(error)) throw error;
      logger.warn('tiers.oldPrimaryNotFenced', { epoch });
    });
    await cut('tiers.promoted');
    await core.saveMoved({
      epoch,
      primaryId: backup.tier.store.id,
      backupId: undefined,
      backupClaimed: false,
      behind: false,
      moving: undefined,
    });
    tiers.primary = backup;
    tiers.backup = undefined;
    tiers.behind = false;
    tiers.filling = false;
    core.facts.clear();
    outbox.release('backup');
    outbox.release('primary');
    return { epoch };
  });
}

function behind(): HoldfastError {
  return new HoldfastError(
    'TIER_MISMATCH',
    'tiers do not fit together: the backup is behind, repair it, or force the promotion',
  );
}

/** Whoever still writes to it is fenced, whoever opens it is told. */
export async function leave(primary: TierWriter, mark: PlaceMark): Promise<void> {
  await primary.claim(mark.since);
  await markPlace(primary.tier, mark);
}

/**
 * The same for a store that is no tier of an open one: its place was given up while it was away.
 * `since` is raised above what it knows.
 */
export async function leavePlace(
  components: TierComponents,
  store: KvStore,
  mark: Omit<PlaceMark, 'role'>,
): Promise<void> {
  const tier = new Tier(components, 'primary', store, {});
  try {
    const writer = new TierWriter(tier, { epoch: 0, owner: mark.store, claimed: false });
    const since = Math.max(mark.since, (await writer.newest()) + 1);
    await leave(writer, { ...mark, role: 'left', since });
  } finally {
    tier.close();
  }
}
