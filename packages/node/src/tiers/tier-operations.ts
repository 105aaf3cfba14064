/**
 * What an operator does with one tiered store: restore, promote, migrate, take over. Each leaves the
 * store open, or says why it is not; each may be cut short at any moment and begun again.
 *
 * Invariants
 * 1. One of them is under way in a store at a time; another one is `TIER_BUSY`, not kept waiting.
 * 2. They end with the node, and with whoever asked for them.
 * 3. Entries that are there are never replaced by fewer: a restore goes into a primary without
 *    entries, or leaves the higher version of each.
 */
import { hasCode, HoldfastError, isHoldfastError } from '@holdfast/core';
import {
  type KvStore,
  leavePlace,
  readPlaceMark,
  readTierMemory,
  type RestoreReport,
  type RestoreSource,
  restoreTier,
  type RewrapReport,
  takeOverNext,
} from '@holdfast/kv';
import { eitherSignal, type WorkOptions, type WorkProgress } from '../backup/work.ts';
import type { KvLocation } from './kv-location.ts';
import { unopened } from './late-kv-store.ts';
import type { OpenPlaces } from './open-places.ts';
import type { TierSlot } from './tier-slot.ts';
import type { SettingLine } from './tier-status.ts';

export interface RestoreChoice extends WorkOptions {
  /** Into a primary with entries: of each the higher version stays, and what is only there too. */
  readonly overwrite?: boolean | undefined;
}

export interface RestoreOutcome extends RestoreReport {
  readonly store: string;
  readonly epoch: number;
}

export interface MovedOutcome {
  readonly store: string;
  readonly epoch: number;
  /** What the settings have to say from now on. */
  readonly settings: readonly SettingLine[];
}

type Tell = (progress: WorkProgress) => void;

/** From the backup, or from `source`, into the primary; then the store opens, taking over. */
export function restoreStore(
  slot: TierSlot,
  { overwrite = false, ...options }: RestoreChoice,
  source?: RestoreSource,
): Promise<RestoreOutcome> {
  const kind = source === undefined ? 'restore' : 'import';
  return operate(slot, kind, options, async (signal, tell) => {
    if (source === undefined && slot.locations.backup === undefined) throw noBackup(slot);
    if (!overwrite) await assertNothingThere(slot);
    await slot.shut();
    const report = await copyInto(slot, { overwrite, signal, tell, source });
    await slot.openNow();
    return { store: slot.name, ...report, epoch: slot.store.status().epoch };
  });
}

/** The backup becomes the primary; also of a store that cannot open because its primary is away. */
export function promoteStore(
  slot: TierSlot,
  { force = false, ...options }: WorkOptions & { readonly force?: boolean | undefined },
): Promise<MovedOutcome> {
  return operate(slot, 'promote', options, async () => {
    const { backup } = slot.locations;
    if (backup === undefined) throw noBackup(slot);
    const open = slot.opened;
    if (open !== undefined && !open.store.status().fenced) {
      await open.store.promote({ force });
      slot.moved({ primary: backup, backup: undefined });
    } else {
      await slot.shut();
      await promoteClosed(slot, backup, force);
    }
    return moved(slot);
  });
}

/** Another place becomes the primary, while the store is in use. */
export function migrateStore(
  slot: TierSlot,
  to: KvLocation,
  options: WorkOptions,
): Promise<MovedOutcome> {
  return operate(slot, 'migrate', options, async (signal, tell) => {
    const { store } = slot;
    const target = slot.openLocation(to, 'target', undefined);
    try {
      await assertOpen(target, 'target');
      for await (const { phase, entries } of store.migrate({ to: target, signal })) {
        tell({ phase, done: entries, unit: 'records' });
      }
    } catch (error) {
      await target.close();
      throw error;
    }
    slot.opened?.places.keep(target);
    slot.moved({ primary: to });
    return moved(slot);
  });
}

/** Whoever wrote last stops, and this node goes on with what is in the primary. */
export function takeOverStore(
  slot: TierSlot,
  options: WorkOptions,
): Promise<{ readonly store: string; readonly epoch: number }> {
  return operate(slot, 'take-over', options, async () => {
    await slot.shut();
    await slot.openNow({ takeOver: true });
    return { store: slot.name, epoch: slot.store.status().epoch };
  });
}

/** What `rewrap` did; summed over the places of the store. */
export interface RewrapOutcome extends RewrapReport {
  readonly store: string;
  readonly places: number;
}

/** Values that are sealed with older keys are written anew, under the active one. */
export function rewrapStore(slot: TierSlot, options: WorkOptions): Promise<RewrapOutcome> {
  return operate(slot, 'rewrap', options, async (signal, tell) => {
    const { store } = slot;
    const sum = { values: 0, rewrapped: 0, left: 0 };
    const sealed = slot.opened?.places.sealed() ?? [];
    for (const [phase, place] of sealed) {
      const onProgress = ({ values: done }: RewrapReport): void => {
        tell({ phase, done, unit: 'records' });
      };
      const report = await place.rewrap({ signal, through: store, onProgress });
      sum.values += report.values;
      sum.rewrapped += report.rewrapped;
      sum.left += report.left;
      await store.drain({ signal });
    }
    return { store: slot.name, places: sealed.length, ...sum };
  });
}

/** I1, I2. Afterwards a store that is not open is tried again. */
async function operate<Result>(
  slot: TierSlot,
  kind: string,
  { signal, onProgress }: WorkOptions,
  work: (signal: AbortSignal, tell: Tell) => Promise<Result>,
): Promise<Result> {
  if (slot.operation !== undefined) {
    const { kind: other } = slot.operation;
    throw new HoldfastError('TIER_BUSY', `something is done with this store now: ${other}`);
  }
  const operation: { kind: string; progress?: WorkProgress } = { kind };
  slot.operation = operation;
  const tell = (progress: WorkProgress): void => {
    operation.progress = progress;
    onProgress?.(progress);
  };
  const either = eitherSignal(slot.signal, signal);
  try {
    return await slot.turns.run(async () => {
      if (either.aborted) throw abortedBy(slot);
      return work(either, tell);
    });
  } catch (error) {
    throw either.aborted && !isHoldfastError(error) ? abortedBy(slot) : error;
  } finally {
    slot.operation = undefined;
    if (slot.state === 'opening') slot.start();
  }
}

interface CopyChoice {
  readonly overwrite: boolean;
  readonly signal: AbortSignal;
  readonly tell: Tell;
  readonly source: RestoreSource | undefined;
}

async function copyInto(slot: TierSlot, choice: CopyChoice): Promise<RestoreReport> {
  const { overwrite, signal, tell, source } = choice;
  const local = slot.local();
  let places: OpenPlaces | undefined;
  try {
    const { epoch, behind: isBehind } = await readTierMemory(local);
    if (isBehind && source === undefined && !overwrite) throw lacking();
    const parts = ['primary', 'backup'] as const;
    places = await slot.openPlaces(source === undefined ? parts : ['primary'], undefined);
    const { primary, backup } = places.parts as { primary: KvStore; backup?: KvStore };
    for (const part of parts) {
      const store = places.parts[part];
      if (store === undefined) continue;
      await assertOpen(store, part);
      await assertOurs(slot, store, part);
    }
    const from = source ?? (backup as KvStore);
    let report: RestoreReport | undefined;
    const id = slot.name;
    for await (const step of restoreTier({ from, to: primary, overwrite, signal, epoch, id })) {
      tell({ phase: step.phase, done: step.entries, unit: 'records' });
      report = step.report ?? report;
      if (signal.aborted && report === undefined) throw abortedBy(slot);
      // What the primary got from elsewhere the backup has to get from it.
      const behind = source !== undefined || overwrite;
      if (step.phase === 'verify') await takeOverNext(local, { primaryId: primary.id, behind });
    }
    return report as RestoreReport;
  } finally {
    await places?.close();
    await local.close();
  }
}

/** With what is known here, or, when nothing is, with what the backup has. */
async function promoteClosed(slot: TierSlot, backup: KvLocation, force: boolean): Promise<void> {
  const local = slot.local();
  try {
    const { epoch } = await readTierMemory(local);
    if (epoch > 0 && (await promoteWithoutPrimary(slot, force))) {
      slot.moved({ primary: backup, backup: undefined });
      return await slot.openNow();
    }
    if (!force) {
      throw mismatch(
        'nothing is known here of what the backup lacks, as the data directory is new: ' +
          'restore the primary, or force the promotion',
      );
    }
    const before = slot.locations;
    slot.moved({ primary: backup, backup: undefined });
    try {
      await slot.openNow({ takeOver: true });
    } catch (error) {
      slot.notMoved(before);
      throw error;
    }
    await leavePrimary(slot, before.primary);
  } finally {
    await local.close();
  }
}

/** False: what is known here is of no use, as this is a restored copy, and that is to be forced. */
async function promoteWithoutPrimary(slot: TierSlot, force: boolean): Promise<boolean> {
  try {
    await slot.openNow({ withoutPrimary: true });
  } catch (error) {
    if (force && hasCode(error, 'TIER_MISMATCH')) return false;
    throw error;
  }
  await slot.store.promote({ force });
  await slot.shut();
  return true;
}

/** As far as it answers: whoever writes there is fenced, whoever opens it is told. */
async function leavePrimary(slot: TierSlot, old: KvLocation): Promise<void> {
  const store = slot.openLocation(old, 'primary', undefined);
  try {
    await assertOpen(store, 'primary');
    const since = slot.store.status().epoch;
    await leavePlace(slot.components, store, {
      ...{ store: slot.name, since },
      to: slot.locations.primary.id,
    });
  } catch (error) {
    const { logger } = slot.components;
    logger.warn('tiers.oldPrimaryNotFenced', { store: slot.name, error: String(error) });
  } finally {
    await store.close();
  }
}

/** I3. A primary that cannot be asked is looked at when it can. */
async function assertNothingThere(slot: TierSlot): Promise<void> {
  if (slot.opened === undefined) return;
  try {
    const first = slot.opened.store.keys({ limit: 1 })[Symbol.asyncIterator]();
    if ((await first.next()).done === true) return;
    throw new HoldfastError(
      'RESTORE_TARGET_NOT_EMPTY',
      'the store is open and has entries: repair it, or restore with overwrite',
    );
  } catch (error) {
    if (hasCode(error, 'RESTORE_TARGET_NOT_EMPTY')) throw error;
  }
}

async function assertOurs(slot: TierSlot, store: KvStore, part: string): Promise<void> {
  const mark = await readPlaceMark(store);
  if (mark === undefined || mark.store === slot.name) return;
  throw mismatch(`the ${part} belongs to another store, ${JSON.stringify(mark.store)}`);
}

/** Work on places waits for nobody: they are there, or the work is for later. */
async function assertOpen(store: KvStore, part: string): Promise<void> {
  if (!('begin' in store)) return;
  const late = store as KvStore & { begin(): Promise<void>; readonly error?: HoldfastError };
  await late.begin();
  if (late.error !== undefined) throw unopened(part, late.error);
}

function moved(slot: TierSlot): MovedOutcome {
  return {
    store: slot.name,
    epoch: slot.store.status().epoch,
    settings: slot.settingLines ?? [],
  };
}

/** Never fewer entries without a word. */
function lacking(): HoldfastError {
  return mismatch(
    'the backup is known to lack entries: bring the primary back, or restore with overwrite, which ' +
      'goes on with what the backup has',
  );
}

function noBackup(slot: TierSlot): HoldfastError {
  return mismatch(`there is no backup in the settings setting=tiers.${slot.name}.backup`);
}

function mismatch(message: string): HoldfastError {
  return new HoldfastError('TIER_MISMATCH', `tiers do not fit together: ${message}`);
}

function abortedBy(slot: TierSlot): HoldfastError {
  const ended = slot.signal.aborted ? 'the node is closing' : 'the work was ended';
  return new HoldfastError(slot.signal.aborted ? 'CLOSED' : 'ABORTED', ended, {
    effect: 'unknown',
  });
}
