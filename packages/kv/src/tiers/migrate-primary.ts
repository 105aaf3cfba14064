/**
 * Another store becomes the primary while this one is in use: every write from now on goes to it too,
 * what was there before is copied, both are compared, and at one moment the parts change.
 *
 * Invariants
 * 1. Until that moment the old primary is right, and a migration that fails changes nothing but the
 *    target; it can be begun again.
 * 2. At that moment nothing is owed to the target, no write is under way, and both are equal.
 */
import { cut, HoldfastError } from '@holdfast/core';
import { leave } from './promote-backup.ts';
import { mendTiers } from './tier-mending.ts';
import type { TieredCore } from './tiered-core.ts';
import type { CopyProgress, MigrateOptions } from './tiered-store.ts';
import { markPlace, markTarget } from './tier-place.ts';
import { TierFence } from './tier-fence.ts';
import { TierWriter, UNFENCED } from './tier-writer.ts';
import { Tier } from './tier.ts';
import { RULES_KEY } from './reserved-keys.ts';

export async function* migratePrimary(
  core: TieredCore,
  { to, signal }: MigrateOptions,
): AsyncGenerator<CopyProgress, void, undefined> {
  const { tiers, outbox, settings } = core.parts;
  const either = signal === undefined ? core.signal : AbortSignal.any([signal, core.signal]);
  const tier = new Tier(core.parts, 'target', to, settings);
  const target = new TierWriter(tier, UNFENCED);
  assertOnly(core);
  const epoch = Math.max(tiers.epoch, await new TierFence(tier, '').newest()) + 1;
  await markTarget(tier, core.parts.settings.id);
  assertOnly(core);
  tiers.target = target;
  try {
    await core.settled(); // every write from here on goes to it too
    const options = { direction: 'primary-wins', signal: either } as const;
    const copied = await core.exclusively(() =>
      mendTiers(core.mending, tiers.primary, target, options),
    );
    yield { phase: 'copy', entries: copied.compared };
    await core.drains.get('target')?.finish();
    const left = await core.exclusively(() =>
      mendTiers(core.mending, tiers.primary, target, options),
    );
    yield { phase: 'verify', entries: left.compared };
    await core.alone(() => cutOver(core, tier, epoch)); // I2
    yield { phase: 'done', entries: left.compared };
  } finally {
    tiers.target = undefined;
    outbox.release('target');
  }
}

function assertOnly({ parts }: TieredCore): void {
  if (parts.tiers.target === undefined) return;
  throw new HoldfastError('TIER_MISMATCH', 'a migration is under way');
}

async function cutOver(core: TieredCore, tier: Tier, epoch: number): Promise<void> {
  const { tiers, outbox, rules } = core.parts;
  for (const owed of [...outbox.all()]) {
    if (owed.ephemeral || !(owed.to.has('target') || owed.to.has('primary'))) continue;
    const operation = await outbox.read(owed);
    if (operation !== undefined) await tiers.target?.bringAgain([operation]);
  }
  const primary = new TierWriter(tier, { epoch, owner: core.state.owner, claimed: false });
  const { id } = core.parts.settings;
  await core.save({ moving: epoch });
  await cut('tiers.migrate');
  await primary.claim(epoch);
  await tier.write((store) => store.put(RULES_KEY, Buffer.from(rules.id)));
  await markPlace(tier, { store: id, role: 'primary', since: epoch });
  await leave(tiers.primary, { store: id, role: 'left', since: epoch, to: tier.store.id });
  await tiers.backup?.claim(epoch);
  await cut('tiers.migrated');
  await core.saveMoved({
    epoch,
    primaryId: tier.store.id,
    backupClaimed: tiers.backup !== undefined,
    moving: undefined,
  });
  tiers.primary = primary;
  core.facts.clear();
  outbox.release('primary');
}
