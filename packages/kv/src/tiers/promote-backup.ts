/**
 * The backup becomes the primary.
 *
 * Invariants
 * 1. It has everything that was ever acknowledged: what is owed to it is there, or it does not happen.
 * 2. The new epoch is in the backup before it is written as a primary: whoever wrote before under
 *    another one is `FENCED` there, and in the old primary too, if that answers.
 */
import { cut, HoldfastError } from '@holdfast/core';
import { noBackup, type TieredCore } from './tiered-core.ts';
import { isTransient } from './tier.ts';

export async function promoteBackup(core: TieredCore, force: boolean): Promise<{ epoch: number }> {
  const { tiers, outbox, logger } = core.parts;
  if (tiers.backup === undefined) throw noBackup();
  if (tiers.behind && !force) {
    throw new HoldfastError(
      'TIER_MISMATCH',
      'tiers do not fit together: the backup is behind, repair it, or force the promotion',
    );
  }
  return core.lanes.alone(async () => {
    const backup = tiers.backup;
    if (backup === undefined) throw noBackup();
    // I1. In the order of numbers; nothing else writes now.
    for (const owed of [...outbox.all()]) {
      if (owed.ephemeral || !owed.to.has('backup')) continue;
      const operation = await outbox.read(owed);
      if (operation !== undefined) await backup.bringAgain([operation]);
    }
    const old = tiers.primary;
    const epoch = tiers.epoch + 1;
    await cut('tiers.promote');
    await backup.claim(epoch); // I2
    await old.claim(epoch).catch((error: unknown) => {
      if (!isTransient(error)) throw error;
      logger.warn('tiers.oldPrimaryNotFenced', { epoch });
    });
    await cut('tiers.promoted');
    await core.save({
      epoch,
      primaryId: backup.tier.store.id,
      backupId: undefined,
      backupClaimed: false,
      behind: false,
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
