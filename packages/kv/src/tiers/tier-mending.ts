/**
 * Makes a copy equal to the primary, or both equal, while writes go on.
 *
 * Invariants
 * 1. A key is mended within its lane, and only if nobody wrote it since it was compared and nothing is
 *    owed for it: whoever wrote it brings, or owes, the newest to both.
 * 2. Nothing is removed from one side because the other one has no entries at all.
 */
import { type Clock, HoldfastError, LIMITS } from '@holdfast/core';
import type { KeyInterval } from '../kv-backend.ts';
import { intervalOf } from '../kv-key.ts';
import type { KvEntry } from '../kv-store.ts';
import type { KeyLanes } from './key-lanes.ts';
import type { Outbox } from './outbox.ts';
import { Pace } from './pace.ts';
import { type Compared, sameEntry, sideBySide } from './tier-differences.ts';
import type { TierOperation } from './tier-operation.ts';
import type { TierWriter } from './tier-writer.ts';
import type { RepairOptions, RepairReport, TierDifference } from './tiered-store.ts';
import type { TieredWrites } from './tiered-writes.ts';

export interface TierMendingParts {
  readonly clock: Clock;
  readonly lanes: KeyLanes;
  readonly outbox: Outbox;
  readonly writes: TieredWrites;
  /** A key that belongs to primary and backup. */
  readonly isDurable: (key: string) => boolean;
  /** The primary has this now; `undefined`: nothing. */
  readonly onPrimaryChanged: (key: string, entry: KvEntry | undefined) => void;
}

export interface MendOptions extends Omit<RepairOptions, 'signal'> {
  readonly direction: 'by-version' | 'primary-wins' | 'backup-wins';
  readonly signal: AbortSignal;
}

type Step = 'copiedToBackup' | 'copiedToPrimary' | 'removedFromBackup' | 'removedFromPrimary';
type Counts = { -readonly [Name in keyof RepairReport]: RepairReport[Name] };

/** What they differ in; nothing is changed. */
export async function* verifyTiers(
  parts: TierMendingParts,
  primary: TierWriter,
  backup: TierWriter,
  { prefix, rate, signal }: Pick<MendOptions, 'prefix' | 'rate' | 'signal'>,
): AsyncGenerator<TierDifference, void, undefined> {
  const pace = new Pace(parts.clock, rate);
  const interval = intervalOf({ prefix });
  for await (const compared of compare(parts, primary, backup, interval)) {
    await pace.one(signal);
    if (isSame(compared) || !(await isStill(parts, primary, backup, compared))) continue;
    yield differenceOf(compared);
  }
}

export async function mendTiers(
  parts: TierMendingParts,
  primary: TierWriter,
  backup: TierWriter,
  options: MendOptions,
): Promise<RepairReport> {
  const { prefix, rate, signal, dryRun = false } = options;
  const pace = new Pace(parts.clock, rate);
  const report: Counts = {
    compared: 0,
    copiedToBackup: 0,
    copiedToPrimary: 0,
    removedFromBackup: 0,
    removedFromPrimary: 0,
  };
  const seen = { primary: false, backup: false };
  let chunk: Compared[] = [];
  const mend = async (): Promise<void> => {
    const taken = chunk;
    chunk = [];
    if (taken.length === 0) return;
    const mending = new Mending(parts, primary, backup, options.direction, { ...seen });
    await mending.mend(taken, report, dryRun);
  };
  parts.writes.touched = new Set();
  try {
    for await (const compared of compare(parts, primary, backup, intervalOf({ prefix }))) {
      await pace.one(signal);
      if (signal.aborted) throw signal.reason;
      report.compared++;
      seen.primary ||= compared.one !== undefined || compared.corrupt === 'one';
      seen.backup ||= compared.other !== undefined || compared.corrupt === 'other';
      if (!isSame(compared)) chunk.push(compared);
      if (chunk.length >= LIMITS.drainedPerBatch) await mend();
    }
    await mend();
  } finally {
    parts.writes.touched = undefined;
  }
  return report;
}

class Mending {
  readonly #parts: TierMendingParts;
  readonly #primary: TierWriter;
  readonly #backup: TierWriter;
  readonly #direction: MendOptions['direction'];
  readonly #seen: Readonly<Record<'primary' | 'backup', boolean>>;

  constructor(
    parts: TierMendingParts,
    primary: TierWriter,
    backup: TierWriter,
    direction: MendOptions['direction'],
    seen: Readonly<Record<'primary' | 'backup', boolean>>,
  ) {
    this.#parts = parts;
    this.#primary = primary;
    this.#backup = backup;
    this.#direction = direction;
    this.#seen = seen;
  }

  async mend(chunk: readonly Compared[], report: Counts, dryRun: boolean): Promise<void> {
    const { lanes, outbox, writes } = this.#parts;
    const keys = chunk.map(({ key }) => key);
    await lanes.run(keys, async () => {
      const still = chunk.filter(
        ({ key }) => writes.touched?.has(key) !== true && outbox.owedOf(key) === undefined, // I1
      );
      const steps = new Map<Step, Compared[]>();
      for (const compared of still) {
        const step = this.#stepFor(compared);
        report[step]++;
        steps.set(step, [...(steps.get(step) ?? []), compared]);
      }
      if (dryRun) return;
      for (const [step, of] of steps) await this.#do(step, of);
    });
  }

  #stepFor({ one, other, corrupt }: Compared): Step {
    if (corrupt !== undefined) return corrupt === 'one' ? 'copiedToPrimary' : 'copiedToBackup';
    const wins =
      this.#direction === 'primary-wins'
        ? 'primary'
        : this.#direction === 'backup-wins'
          ? 'backup'
          : newer(one, other);
    if (wins === 'primary') return one === undefined ? 'removedFromBackup' : 'copiedToBackup';
    return other === undefined ? 'removedFromPrimary' : 'copiedToPrimary';
  }

  async #do(step: Step, chunk: readonly Compared[]): Promise<void> {
    const toBackup = step === 'copiedToBackup' || step === 'removedFromBackup';
    const writer = toBackup ? this.#backup : this.#primary;
    if (step === 'removedFromBackup') await this.#assertNotEmpty('primary', this.#primary);
    if (step === 'removedFromPrimary') await this.#assertNotEmpty('backup', this.#backup);
    const removes = step.startsWith('removed');
    const plain: TierOperation[] = [];
    const forced: TierOperation[] = [];
    for (const { key, one, other, corrupt } of chunk) {
      const entry = removes ? undefined : toBackup ? one : other;
      const there = toBackup ? other : one;
      const rises = entry !== undefined && entry.version > (there?.version ?? 0);
      const way = rises && corrupt === undefined ? plain : forced;
      way.push({ number: entry?.version ?? 0, key, ephemeral: false, entry });
    }
    if (plain.length > 0) await bringInBatches(writer, plain);
    if (forced.length > 0) await writer.replace(forced);
    if (toBackup) return;
    for (const { key, entry } of [...plain, ...forced]) {
      this.#parts.onPrimaryChanged(key, entry && { key, ...entry });
    }
  }

  /** I2. */
  async #assertNotEmpty(side: 'primary' | 'backup', { tier }: TierWriter): Promise<void> {
    if (this.#seen[side]) return;
    for await (const key of tier.store.keys()) {
      if (this.#parts.isDurable(key)) return;
    }
    throw new HoldfastError(
      'TIER_MISMATCH',
      `tiers do not fit together: the ${side} has no entries, and the other one would lose all of its`,
    );
  }
}

/** Bounded by what the store takes at once. */
async function bringInBatches(
  writer: TierWriter,
  operations: readonly TierOperation[],
): Promise<void> {
  const most = writer.tier.store.capabilities.maxBatchBytes / 2;
  let batch: TierOperation[] = [];
  let bytes = 0;
  for (const operation of operations) {
    const size = operation.key.length * 3 + (operation.entry?.value.length ?? 0);
    if (batch.length > 0 && bytes + size > most) {
      await writer.bring(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(operation);
    bytes += size;
  }
  if (batch.length > 0) await writer.bring(batch);
}

function compare(
  { isDurable }: TierMendingParts,
  primary: TierWriter,
  backup: TierWriter,
  interval: KeyInterval,
): AsyncIterable<Compared> {
  return sideBySide(primary.tier, backup.tier, interval, isDurable);
}

function isSame({ one, other, corrupt }: Compared): boolean {
  return corrupt === undefined && sameEntry(one, other);
}

/** What is on one side only was not deleted on the other: a delete that is owed is not looked at. */
function newer(one: KvEntry | undefined, other: KvEntry | undefined): 'primary' | 'backup' {
  if (one === undefined) return 'backup';
  return other === undefined || one.version >= other.version ? 'primary' : 'backup';
}

/** Looks again where nobody writes. */
async function isStill(
  { lanes, outbox }: TierMendingParts,
  primary: TierWriter,
  backup: TierWriter,
  { key, corrupt }: Compared,
): Promise<boolean> {
  return lanes.run([key], async () => {
    if (outbox.owedOf(key) !== undefined) return false;
    if (corrupt !== undefined) return true;
    const [one, other] = await Promise.all(
      [primary, backup].map(({ tier }) => tier.read((store) => store.getEntry(key))),
    );
    return !sameEntry(one, other);
  });
}

function differenceOf({ key, one, other, corrupt }: Compared): TierDifference {
  if (corrupt !== undefined) {
    return { key, kind: 'corrupt', tier: corrupt === 'one' ? 'primary' : 'backup' };
  }
  if (one === undefined) return { key, kind: 'only-backup' };
  return { key, kind: other === undefined ? 'only-primary' : 'different' };
}
