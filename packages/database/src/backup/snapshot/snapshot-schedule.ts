/**
 * Snapshots by themselves: one each so often, and after it what the retention lets go.
 *
 * Invariants
 * 1. One thing at a time. What failed is tried again alone, after a pause that doubles up to the
 *    interval, and is seen in `stats`.
 * 2. When the next one is due is worked out from the repository: a restart neither skips nor adds
 *    one; a history that no snapshot leads to gets one at once. A wall clock that jumps costs at most
 *    one interval.
 *
 * Owner: the `DatabaseBackup`.
 */
import { type Clock, isHoldfastError, LIMITS, type Logger, type Timer } from '@holdfast/core';
import type { DatabaseSnapshots, SnapshotFailure } from './database-snapshots.ts';
import type { RetentionRules } from './retention.ts';

export interface ScheduleSettings {
  readonly everyMs: number;
  /** Default: everything stays. */
  readonly retention?: RetentionRules | undefined;
  readonly bytesPerSecond?: number | undefined;
}

export interface ScheduleStats {
  readonly everyMs: number;
  /** Until the next attempt; 0 while one is under way. */
  readonly nextInMs: number;
  /** In a row. */
  readonly failures: number;
  readonly lastError: SnapshotFailure | undefined;
}

/** Longer timers are not what clocks are made for. */
const LONGEST_TIMER_MS = 86_400_000;

export class SnapshotSchedule {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #snapshots: Pick<DatabaseSnapshots, 'create' | 'newest' | 'prune'>;
  readonly #settings: ScheduleSettings;
  #timer: Timer | undefined;
  /** By the monotonic clock. */
  #nextMs = 0;
  #running: Promise<void> | undefined;
  #pruneDue = false;
  /** The newest one, and since when it is known here: a wall clock may stand before it. I2. */
  #seen: { readonly id: string; readonly atMs: number } | undefined;
  #closed = false;
  #failures = 0;
  #lastError: SnapshotFailure | undefined;

  constructor(
    parts: {
      readonly clock: Clock;
      readonly logger: Logger;
      readonly snapshots: Pick<DatabaseSnapshots, 'create' | 'newest' | 'prune'>;
    },
    settings: ScheduleSettings,
  ) {
    this.#clock = parts.clock;
    this.#logger = parts.logger;
    this.#snapshots = parts.snapshots;
    this.#settings = settings;
  }

  /** The first look comes a little later: a start has enough to do. */
  start(): void {
    this.#next(Math.min(LIMITS.snapshotRetryMs, this.#settings.everyMs));
  }

  stats(): ScheduleStats {
    const leftMs = Math.max(0, this.#nextMs - this.#clock.monotonicMs());
    return {
      everyMs: this.#settings.everyMs,
      nextInMs: this.#running === undefined ? leftMs : 0,
      failures: this.#failures,
      lastError: this.#lastError,
    };
  }

  /** Resolves once nothing runs here. What is under way is ended by the snapshots. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #next(delayMs: number): void {
    if (this.#closed) return;
    this.#nextMs = this.#clock.monotonicMs() + delayMs;
    this.#arm();
  }

  #arm(): void {
    const leftMs = this.#nextMs - this.#clock.monotonicMs();
    this.#timer = this.#clock.after(Math.max(0, Math.min(leftMs, LONGEST_TIMER_MS)), () => {
      if (this.#closed) return;
      if (leftMs > LONGEST_TIMER_MS) this.#arm();
      else {
        this.#running = this.#run().finally(() => {
          this.#running = undefined;
        });
      }
    });
  }

  /** Never rejects. I1. */
  async #run(): Promise<void> {
    const { everyMs } = this.#settings;
    try {
      const leftMs = await this.#work();
      this.#failures = 0;
      this.#lastError = undefined;
      this.#next(leftMs);
    } catch (error) {
      if (this.#closed) return;
      this.#failures++;
      const code = isHoldfastError(error) ? error.code : 'INTERNAL_ERROR';
      const message = error instanceof Error ? error.message : String(error);
      this.#lastError = { code, message, atMs: this.#clock.now() };
      const doubledMs = LIMITS.snapshotRetryMs * 2 ** (this.#failures - 1);
      const delayMs = Math.min(everyMs, LIMITS.snapshotRetryMaxMs, doubledMs);
      this.#logger.warn('backup.scheduleFailed', { code, message, retryInMs: delayMs });
      this.#next(delayMs);
    }
  }

  /** @returns when there is something to do again. */
  async #work(): Promise<number> {
    const { everyMs, retention, bytesPerSecond } = this.#settings;
    let leftMs = await this.#dueInMs();
    if (leftMs === 0) {
      await this.#snapshots.create({ bytesPerSecond });
      leftMs = everyMs;
      this.#pruneDue = retention !== undefined;
    }
    if (this.#pruneDue && retention !== undefined) await this.#snapshots.prune(retention);
    this.#pruneDue = false;
    return leftMs;
  }

  /** I2 */
  async #dueInMs(): Promise<number> {
    const { everyMs } = this.#settings;
    const newest = await this.#snapshots.newest();
    if (newest === undefined) return 0;
    const nowMs = this.#clock.monotonicMs();
    if (this.#seen?.id !== newest.snapshotId) this.#seen = { id: newest.snapshotId, atMs: nowMs };
    const byWallMs = newest.createdAtMs + everyMs - this.#clock.now();
    return Math.max(0, Math.min(byWallMs, this.#seen.atMs + everyMs - nowMs));
  }
}
