/**
 * The parts of an open tiered store, and what they do together beside single calls: filling a backup,
 * repairing, promoting, migrating.
 *
 * Invariants
 * 1. Of the works that walk over whole tiers one is under way at a time.
 * 2. `behind` is durable before the backup misses its first write, and is taken back only after the
 *    backup was compared, or filled, to the end.
 * 3. Parts change only while no write is under way (`KeyLanes.alone`).
 */
import {
  type Clock,
  HoldfastError,
  LIMITS,
  type Logger,
  type Random,
  type Timer,
} from '@holdfast/core';
import { ChangeRing } from '../change-ring.ts';
import { closedError } from '../kv-errors.ts';
import type { KvEntry } from '../kv-store.ts';
import { EntryFactsCache } from './entry-facts-cache.ts';
import { EphemeralLimits } from './ephemeral-limits.ts';
import { feedExpiries } from './expiry-feed.ts';
import { KeyLanes } from './key-lanes.ts';
import type { LocalJournal } from './local-journal.ts';
import type { Outbox } from './outbox.ts';
import { isReserved } from './reserved-keys.ts';
import type { TierClock } from './tier-clock.ts';
import { TierDrain } from './tier-drain.ts';
import { mendTiers, type MendOptions, type TierMendingParts } from './tier-mending.ts';
import type { TierRules } from './tier-rules.ts';
import type { TierSet } from './tier-set.ts';
import { clockOperation, stateOperation, type TierState } from './tier-state.ts';
import type { RepairReport, TieredSettings, TierName } from './tiered-store.ts';
import { TieredWrites } from './tiered-writes.ts';
import { effectOf } from './tier.ts';

export interface TieredCoreParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly settings: TieredSettings;
  readonly tiers: TierSet;
  readonly rules: TierRules;
  readonly outbox: Outbox;
  readonly journal: LocalJournal;
  readonly numbers: TierClock;
}

const DRAINED: readonly TierName[] = ['primary', 'backup', 'ephemeral', 'target'];

export class TieredCore {
  readonly parts: TieredCoreParts;
  readonly lanes: KeyLanes = new KeyLanes();
  readonly ring: ChangeRing = new ChangeRing();
  readonly facts: EntryFactsCache = new EntryFactsCache();
  readonly limits: EphemeralLimits;
  readonly writes: TieredWrites;
  readonly drains: ReadonlyMap<TierName, TierDrain>;
  readonly #ended = new AbortController();
  readonly #alongside: Promise<void>[] = [];
  #state: TierState;
  #saving: Promise<void> = Promise.resolve();
  #work: Promise<unknown> = Promise.resolve();
  #fillTimer: Timer | undefined;
  #filling: Promise<void> | undefined;

  /** @param lastChange changes up to it are not known here; 0: there was never one. */
  constructor(parts: TieredCoreParts, state: TierState, lastChange: number) {
    this.parts = parts;
    this.#state = state;
    const { clock, random, settings, tiers, rules, outbox, numbers } = parts;
    tiers.behind = state.behind;
    this.limits = new EphemeralLimits(settings.ephemeralLimits, (key) => this.#evict(key));
    const { lanes, facts, ring, limits } = this;
    const mode = settings.backupMode ?? 'sync';
    this.writes = new TieredWrites(
      { clock, tiers, rules, lanes, outbox, numbers, facts, ring, limits, id: settings.id },
      {
        backupMode: mode,
        onOwedLimit: settings.onOwedLimit ?? (mode === 'sync' ? 'fail' : 'block'),
      },
      () => this.kick(),
      () => this.leaveBehind(),
    );
    const onFenced = (error: HoldfastError): void => this.writes.fence(error);
    const onLost = (): Promise<void> => this.leaveBehind();
    const onBrought = this.writes.touch.bind(this.writes);
    const drainParts = { clock, random, tiers, lanes, outbox, onFenced, onBrought, onLost };
    this.drains = new Map(DRAINED.map((name) => [name, new TierDrain(drainParts, name)]));
    ring.begin(lastChange);
  }

  get state(): TierState {
    return this.#state;
  }

  /** Ends with the store. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  get mending(): TierMendingParts {
    return {
      clock: this.parts.clock,
      lanes: this.lanes,
      outbox: this.parts.outbox,
      writes: this.writes,
      isDurable: (key) => this.isDurable(key),
      onPrimaryChanged: (key, entry) => this.#primaryChanged(key, entry),
    };
  }

  isDurable(key: string): boolean {
    const { tiers, rules } = this.parts;
    return !isReserved(key) && (tiers.ephemeral === undefined || !rules.isEphemeral(key));
  }

  begin(): void {
    for (const [name] of this.parts.tiers.all()) {
      if (name === 'primary' || name === 'ephemeral') this.#feed(name);
    }
    this.kick();
    if (this.parts.tiers.behind) this.#fillSoon(0);
  }

  kick(): void {
    for (const drain of this.drains.values()) drain.kick();
  }

  /** One after the other; what the local store did not take is not so. */
  save(change: Partial<TierState>): Promise<void> {
    const saved = this.#saving.then(async () => {
      const state = { ...this.#state, ...change };
      await this.parts.journal.commit([stateOperation(state)]);
      this.#state = state;
    });
    this.#saving = saved.catch(() => undefined);
    return saved;
  }

  /**
   * Another store is the primary from now on. When nobody knows whether the local store took that,
   * what was before is written again, or nothing is acknowledged any more: the next opening may go on
   * with the other one.
   */
  async saveMoved(change: Partial<TierState>): Promise<void> {
    try {
      await this.save(change);
    } catch (error) {
      if (effectOf(error) === 'none') throw error;
      await this.save({}).catch(() => {
        const message = 'which store is the primary is not known: open the tiers again';
        this.writes.fence(new HoldfastError('STORAGE_UNAVAILABLE', message, { cause: error }));
      });
      throw error;
    }
  }

  /** I1. */
  exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#work.then(() => {
      if (this.signal.aborted) throw closedError();
      return work();
    });
    this.#work = done.catch(() => undefined);
    return done;
  }

  /** Resolves when every write that is under way has ended. */
  settled(): Promise<void> {
    return this.writes.withoutWaiting(() => this.lanes.idle());
  }

  /** I3. */
  alone<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.writes.withoutWaiting(() => this.lanes.alone(work));
  }

  /** Work that ends with the signal, and that the end of the store waits for. */
  alongside(work: Promise<void>): void {
    this.#alongside.push(work);
  }

  /** Nothing is owed to the backup any more: it is filled when it is there. I2. */
  async leaveBehind(): Promise<void> {
    const { tiers, outbox, logger } = this.parts;
    if (tiers.backup === undefined || (tiers.behind && !tiers.filling)) return;
    await this.save({ behind: true });
    tiers.behind = true;
    tiers.filling = false;
    outbox.release('backup');
    logger.warn('tiers.backupBehind', {});
    this.#fillSoon(LIMITS.drainPauseMs);
  }

  async repair(options: MendOptions): Promise<RepairReport> {
    const { tiers } = this.parts;
    const { backup } = tiers;
    if (backup === undefined) throw noBackup();
    if (options.dryRun === true) return mendTiers(this.mending, tiers.primary, backup, options);
    const wasBehind = tiers.behind;
    if (wasBehind && options.direction === 'backup-wins') throw lacking();
    tiers.filling = true;
    await this.settled(); // every write from here on goes to both
    await this.drains.get('backup')?.finish();
    const direction =
      wasBehind && options.direction === 'by-version' ? 'primary-wins' : options.direction;
    const all = { ...options, direction };
    const report = await mendTiers(this.mending, tiers.primary, backup, all);
    // Left behind anew meanwhile, or a part of it only.
    if (!tiers.filling || options.prefix !== undefined) return report;
    await this.save({ behind: false }); // I2
    tiers.behind = false;
    tiers.filling = false;
    return report;
  }

  /** Ends all works; what is under way for callers has ended before. */
  async close(): Promise<void> {
    const { outbox, journal, numbers, tiers } = this.parts;
    this.end();
    await this.#work;
    await this.#filling;
    for (const drain of this.drains.values()) await drain.close();
    await this.limits.settled();
    await Promise.all(this.#alongside);
    journal.close();
    try {
      await journal.flush();
      await journal.tier.write((local) => local.batch([clockOperation(numbers.now, true)]));
      await journal.tier.store.flush();
    } finally {
      journal.tier.close();
      for (const [, { tier }] of tiers.all()) tier.close();
      outbox.wake();
    }
  }

  /** Nothing new begins. */
  end(): void {
    this.#fillTimer?.cancel();
    this.writes.end();
    this.#ended.abort(closedError());
    this.parts.outbox.wake();
  }

  #feed(name: 'primary' | 'ephemeral'): void {
    const { tiers, clock, numbers, settings } = this.parts;
    const writer = (): NonNullable<TierSet['ephemeral']> =>
      (name === 'primary' ? tiers.primary : tiers.ephemeral) ?? tiers.primary;
    if (!writer().tier.store.capabilities.watch) return;
    const feed = feedExpiries(
      clock,
      () => writer().tier,
      this.signal,
      (change) => {
        if (this.isDurable(change.key) !== (name === 'primary')) return;
        this.limits.wrote(change.key, undefined);
        this.ring.push(settings.id, { ...change, seq: numbers.tick() });
        this.ring.wake();
      },
    );
    this.alongside(feed);
  }

  #fillSoon(afterMs: number): void {
    if (this.signal.aborted || this.#fillTimer !== undefined || this.#filling !== undefined) return;
    this.#fillTimer = this.parts.clock.after(afterMs, () => {
      this.#fillTimer = undefined;
      this.#filling = this.#fill().finally(() => {
        this.#filling = undefined;
        if (this.parts.tiers.behind) this.#fillSoon(LIMITS.maxDrainPauseMs);
      });
    });
  }

  async #fill(): Promise<void> {
    const { tiers, logger } = this.parts;
    try {
      await this.exclusively(async () => {
        if (!tiers.behind || tiers.backup === undefined) return;
        await tiers.backup.ensureClaimed();
        const report = await this.repair({ direction: 'primary-wins', signal: this.signal });
        logger.info('tiers.backupFilled', { ...report });
      });
    } catch (error) {
      // Writes do not wait for a backup that is not there.
      tiers.filling = false;
      if (tiers.behind) this.parts.outbox.release('backup');
      if (!this.signal.aborted) logger.warn('tiers.fillFailed', { error: String(error) });
    }
  }

  #primaryChanged(key: string, entry: KvEntry | undefined): void {
    const { numbers, settings } = this.parts;
    this.facts.forget(key);
    if (entry !== undefined) numbers.raise(entry.version);
    const seq = numbers.tick();
    const type = entry === undefined ? 'del' : 'put';
    const { version = seq, value } = entry ?? {};
    this.ring.push(settings.id, { seq, type, key, version, value });
    this.ring.wake();
  }

  async #evict(key: string): Promise<void> {
    const { tiers, settings, numbers } = this.parts;
    await this.lanes.run([key], async () => {
      const ack = await tiers.ephemeral?.tier.write((store) => store.del(key));
      if (ack?.changed !== true) return;
      const seq = numbers.tick();
      this.ring.push(settings.id, { seq, type: 'del', key, version: seq, value: undefined });
      this.ring.wake();
    });
  }
}

function lacking(): HoldfastError {
  return new HoldfastError(
    'TIER_MISMATCH',
    'tiers do not fit together: the backup is behind, the primary would lose what it lacks',
  );
}

export function noBackup(): HoldfastError {
  return new HoldfastError('TIER_MISMATCH', 'tiers do not fit together: there is no backup');
}
