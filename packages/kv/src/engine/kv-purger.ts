/**
 * Removes entries that are past their expiry. Calls treat them as gone already; this gives their
 * space back, slowly enough that a wrong clock is noticed before much is lost.
 *
 * Invariants
 * 1. Nothing is removed in the first `purgeStartGraceMs`, nor in a round before which the wall clock
 *    moved against the monotonic one by more than `reaperClockJumpMs`.
 * 2. At most `purgesPerRound` in a round, and one round at a time.
 * 3. What is due is looked for in the rows, and in `recent` for what has none yet.
 */
import {
  type Clock,
  cut,
  isHoldfastError,
  LIMITS,
  type Logger,
  type ShardId,
  type Timer,
} from '@holdfast/core';
import type { EngineHost } from '@holdfast/database';
import { SortedMap } from '../sorted-map.ts';
import type { KeyState } from './key-state.ts';
import { dueRowKey, EXPIRY_ROWS, nameOfRow } from './kv-rows.ts';

const NUMBER_DIGITS = 16;

export interface KvPurgerSettings {
  readonly intervalMs: number;
  readonly graceMs: number;
}

export class KvPurger {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #host: EngineHost;
  readonly #settings: KvPurgerSettings;
  readonly #expire: (store: string, key: string) => Promise<unknown>;
  /** Dirty entries with an expiry, soonest first. */
  readonly #recent = new SortedMap<KeyState>((a, b) => (a === b ? 0 : a < b ? -1 : 1));
  #timer: Timer | undefined;
  #stopped = false;
  #startedMs = 0;
  #lastWallMs = 0;
  #lastMonotonicMs = 0;

  constructor(
    components: { readonly clock: Clock; readonly logger: Logger },
    host: EngineHost,
    settings: KvPurgerSettings,
    expire: (store: string, key: string) => Promise<unknown>,
  ) {
    this.#clock = components.clock;
    this.#logger = components.logger;
    this.#host = host;
    this.#settings = settings;
    this.#expire = expire;
  }

  /** I3. */
  add(expiresAtMs: number, state: KeyState): void {
    this.#recent.set(recentKey(expiresAtMs, state), state);
  }

  remove(expiresAtMs: number, state: KeyState): void {
    this.#recent.delete(recentKey(expiresAtMs, state));
  }

  start(): void {
    this.#startedMs = this.#lastMonotonicMs = this.#clock.monotonicMs();
    this.#lastWallMs = this.#clock.now();
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#clock.after(this.#settings.intervalMs, () => {
      void this.#round().then(() => this.#schedule()); // I2
    });
  }

  /** Never rejects. */
  async #round(): Promise<void> {
    const now = this.#clock.now();
    const monotonic = this.#clock.monotonicMs();
    const jumpMs = now - this.#lastWallMs - (monotonic - this.#lastMonotonicMs);
    this.#lastWallMs = now;
    this.#lastMonotonicMs = monotonic;
    if (Math.abs(jumpMs) > LIMITS.reaperClockJumpMs) {
      this.#logger.warn('kv.clockJumped', { jumpMs: Math.round(jumpMs) });
      return;
    }
    if (monotonic - this.#startedMs < this.#settings.graceMs) return; // I1
    try {
      const due = [...this.#dueInMemory(now), ...(await this.#dueInRows(now))];
      const expiring = due.slice(0, LIMITS.purgesPerRound).map(({ store, key }) => {
        void cut('kv.purging');
        return this.#expire(store, key);
      });
      const failed = (await Promise.allSettled(expiring)).find(
        (result) => result.status === 'rejected',
      );
      if (failed !== undefined) throw failed.reason;
    } catch (error) {
      const code = isHoldfastError(error) ? error.code : 'INTERNAL_ERROR';
      if (!this.#stopped) this.#logger.warn('kv.notPurged', { code });
    }
  }

  #dueInMemory(now: number): { store: string; key: string }[] {
    const due: KeyState[] = [];
    const end = padded(now + 1);
    for (let at = this.#recent.firstAtOrAbove(''); at !== undefined && at < end;) {
      due.push(this.#recent.get(at) as KeyState);
      if (due.length >= LIMITS.purgesPerRound) break;
      at = this.#recent.firstAtOrAbove(`${at}\0`);
    }
    return due;
  }

  async #dueInRows(now: number): Promise<{ store: string; key: string }[]> {
    const due: { store: string; key: string }[] = [];
    const range = { from: EXPIRY_ROWS, to: dueRowKey(now + 1) };
    for (let id = 0; id < this.#host.shardCount && !this.#stopped; id++) {
      for await (const row of this.#host.shard(id as ShardId).scan(range)) {
        due.push(nameOfRow(row.key));
        if (due.length >= LIMITS.purgesPerRound) return due;
      }
    }
    return due;
  }
}

function recentKey(expiresAtMs: number, { store, key }: KeyState): string {
  return `${padded(expiresAtMs)} ${store} ${key}`;
}

function padded(value: number): string {
  return String(value).padStart(NUMBER_DIGITS, '0');
}
