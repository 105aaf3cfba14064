/** Opens a tiered store: settings, claims, rules, what an earlier life left, in this order. */
import {
  type Clock,
  HoldfastError,
  LIMITS,
  type Logger,
  type Random,
  SILENT,
} from '@holdfast/core';
import type { KvStore } from '../kv-store.ts';
import { findEphemeral } from './find-ephemeral.ts';
import { LocalJournal } from './local-journal.ts';
import { moveByRules } from './move-by-rules.ts';
import { Outbox } from './outbox.ts';
import { RULES_KEY } from './reserved-keys.ts';
import { assertNotRestoring } from './restore-tier.ts';
import { checkLateBackup, checkPlaces, markPlace, type PlacesToCheck } from './tier-place.ts';
import { TierClock } from './tier-clock.ts';
import { claimTiers } from './tier-claims.ts';
import { TierRules } from './tier-rules.ts';
import { TierSet } from './tier-set.ts';
import {
  clockOperation,
  readTierClock,
  readTierState,
  stateOperation,
  type TierState,
} from './tier-state.ts';
import { combinedCapabilities } from './tiered-backend.ts';
import { TieredCore } from './tiered-core.ts';
import { OpenTieredKvStore } from './tiered-kv-store.ts';
import type { TieredKvStore, TieredSettings, TierName, TierStores } from './tiered-store.ts';
import { type LateClaim, TierWriter, UNFENCED } from './tier-writer.ts';
import { isTransient, Tier } from './tier.ts';

const OWNER_BYTES = 16;

export interface TieredComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
}

export async function openTieredKvStore(
  components: TieredComponents,
  stores: TierStores,
  settings: TieredSettings,
): Promise<TieredKvStore> {
  assertSettings(stores, settings);
  const { logger = SILENT, clock } = components;
  const rules = new TierRules(settings.rules ?? []);
  const tier = (name: TierName | 'local', store: KvStore): Tier =>
    new Tier(components, name, store, settings);
  const local = tier('local', stores.local);
  const primary = tier('primary', stores.primary);
  const backup = stores.backup && tier('backup', stores.backup);
  const ephemeral = stores.ephemeral && tier('ephemeral', stores.ephemeral);
  await unlessAway(primary.read(assertNotRestoring));

  const resting = await local.read(readTierState);
  const owner = resting.owner || components.random.bytes(OWNER_BYTES).toString('hex');
  const known = { ...resting, owner };
  const lastNumber = await local.read(readTierClock);
  const numbers = new TierClock(lastNumber);
  const journal = new LocalJournal(components, local, () => clockOperation(numbers.now, false));
  const save = (state: TierState): Promise<void> => journal.commit([stateOperation(state)]);
  const takeOver = settings.takeOver === true;
  const { id, copyId } = settings;
  const whose = { id, primary, backup, moving: known.moving, takeOver };
  await checkPlaces(whose);
  const claiming = { primary, backup, takeOver, copyId, save };
  const { state, anew, empty, putBack } = await claimTiers(known, claiming);
  if (putBack) numbers.raise(numbers.now + LIMITS.tierCopyJump);

  const opened: { core?: TieredCore } = {};
  const { epoch } = state;
  const late = lateClaim(whose, { rulesId: rules.id, epoch, opened });
  const tiers = new TierSet(
    new TierWriter(primary, { epoch, owner, claimed: true }),
    backup && new TierWriter(backup, { epoch, owner, claimed: state.backupClaimed }, late),
    ephemeral && new TierWriter(ephemeral, UNFENCED),
  );
  const outbox = new Outbox(components, journal, {
    maxOperations: settings.maxOwedOperations ?? LIMITS.maxOwedOperations,
    maxBytes: settings.maxOwedBytes ?? LIMITS.maxOwedBytes,
    maxAgeMs: settings.maxOwedAgeMs ?? Infinity,
  });
  tiers.behind = state.behind;
  let lost = 0;
  if (anew) await outbox.clear();
  else lost = await outbox.load(tiers.owedTo, logger);
  if (anew || ephemeral !== undefined)
    await raiseNumbers(numbers, anew ? primary : undefined, ephemeral);

  const claimed: TierState = {
    ...state,
    behind: state.behind || (lost > 0 && backup !== undefined),
  };
  const parts = { ...components, logger, settings, tiers, rules, outbox, journal, numbers };
  const lastChange = empty ? 0 : anew ? numbers.now : lastNumber;
  const core = new TieredCore(parts, claimed, lastChange);
  opened.core = core;
  await core.save({});
  await unlessAway(markPlace(primary, { store: id, role: 'primary', since: epoch }));
  await unlessAway(tiers.backup?.ensureClaimed());
  await placeByRules(core, known.rulesId, settings.onRulesChange ?? 'refuse');
  if (outbox.countFor('primary') > 0) await core.drains.get('primary')?.now();
  await findEphemeral(core);
  const evicts = core.limits.bounded || stores.ephemeral?.capabilities.evicts === true;
  core.begin();
  return new OpenTieredKvStore({ clock }, core, combinedCapabilities(stores, evicts));
}

/** Of the backup: whose it is, and that it is ours from now on. */
function lateClaim(
  whose: PlacesToCheck,
  about: { rulesId: string; epoch: number; opened: { readonly core?: TieredCore } },
): LateClaim {
  const { id, backup } = whose;
  const { rulesId, epoch, opened } = about;
  return {
    before: async () => {
      const moving = opened.core?.state.moving ?? whose.moving;
      await checkLateBackup({ ...whose, moving, takeOver: true });
    },
    after: async () => {
      await backup?.write((store) => store.put(RULES_KEY, Buffer.from(rulesId)));
      if (backup !== undefined) {
        await markPlace(backup, { store: id, role: 'backup', since: epoch });
      }
      await opened.core?.save({ backupClaimed: true });
    },
  };
}

/** Versions that a tier gave to its own entries stay below ours. */
async function raiseNumbers(numbers: TierClock, ...tiers: (Tier | undefined)[]): Promise<void> {
  for (const tier of tiers) {
    const ack = await tier
      ?.write((store) => store.put(`${RULES_KEY}-seen`, new Uint8Array(0)))
      .catch((error: unknown) => {
        if (tier.name === 'ephemeral' && isTransient(error)) return undefined;
        throw error;
      });
    if (ack !== undefined) numbers.raise(ack.version);
  }
}

/** What cannot be done now is done as soon as it can be, or at the next opening. */
async function unlessAway(work: Promise<void> | undefined): Promise<void> {
  await work?.catch((error: unknown) => {
    if (!isTransient(error)) throw error;
  });
}

/** Rule 10. */
async function placeByRules(
  core: TieredCore,
  knownId: string | undefined,
  onChange: 'refuse' | 'migrate',
): Promise<void> {
  const { rules, tiers, logger } = core.parts;
  const { tier } = tiers.primary;
  const resting = await tier
    .read((store) => store.get(RULES_KEY))
    .catch((error: unknown) => {
      if (knownId !== undefined && isTransient(error)) return Buffer.from(knownId);
      throw error;
    });
  const id = resting === undefined ? undefined : Buffer.from(resting).toString();
  if (id === rules.id) return core.save({ rulesId: id });
  if (id !== undefined && onChange === 'refuse') {
    throw new HoldfastError(
      'TIER_RULES_CHANGED',
      `the entries are placed by other rules own=${rules.id} found=${id}`,
    );
  }
  const { ephemeral, primary, backup } = tiers;
  if (ephemeral !== undefined && (id !== undefined || !rules.isEmpty)) {
    const moved = await moveByRules({ rules, primary, backup, ephemeral });
    if (moved > 0) logger.info('tiers.movedByRules', { moved });
  }
  await tier.write((store) => store.put(RULES_KEY, Buffer.from(rules.id)));
  await core.save({ rulesId: rules.id });
}

function assertSettings(
  { primary, backup, ephemeral, local }: TierStores,
  settings: TieredSettings,
): void {
  const wrong = (what: string): never => {
    throw new HoldfastError('INVALID_SETTINGS', `tiers cannot be made of these stores: ${what}`);
  };
  if (settings.id === '') wrong('the tiered store has no id');
  for (const store of [primary, backup, ephemeral]) {
    if (store !== undefined && !store.capabilities.stamps) wrong(`${store.id} takes no stamps`);
  }
  if (primary.id === backup?.id) wrong('primary and backup have one id');
  if (!local.capabilities.atomicBatch) wrong('the local store has no atomic batches');
  if (ephemeral === undefined && (settings.rules?.length ?? 0) > 0)
    wrong('there is no ephemeral tier');
  if (primary.capabilities.evicts || backup?.capabilities.evicts) wrong('a durable tier evicts');
}
