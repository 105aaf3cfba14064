/**
 * One store as a tier: its calls end in time, are tried again within a deadline, and are counted.
 *
 * Invariants
 * 1. What is called here may be called twice: a put is stamped, a delete looks first. So trying again
 *    never does something else.
 * 2. A call that failed with effect `none` did so in each of its tries.
 * 3. A store that retries by itself, or that was down before, gets one try: nobody waits twice.
 */
import {
  type Clock,
  type Effect,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Random,
  sleep,
  type Timer,
} from '@holdfast/core';
import type { KvStore } from '../kv-store.ts';
import type { TierName, TierRetry, TierStats } from './tiered-store.ts';

const DEFAULT_RETRY: TierRetry = { deadlineMs: 2_000, baseMs: 20, maxMs: 500 };
/** How often it is looked for calls that take too long, in a part of that time. */
const LOOKS_PER_TIMEOUT = 4;

export interface TierCallSettings {
  readonly retry?: TierRetry | false | undefined;
  readonly callTimeoutMs?: number | undefined;
}

export interface TierComponents {
  readonly clock: Clock;
  readonly random: Random;
}

interface Running {
  readonly sinceMs: number;
  readonly end: () => void;
}

export class Tier {
  readonly name: TierName | 'local';
  readonly store: KvStore;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #retry: TierRetry | undefined;
  readonly #timeoutMs: number;
  readonly #running = new Set<Running>();
  readonly #ended = new AbortController();
  readonly #stats = { calls: 0, failures: 0, retries: 0, timeouts: 0 };
  #timer: Timer | undefined;
  #down = false;

  constructor(
    { clock, random }: TierComponents,
    name: TierName | 'local',
    store: KvStore,
    { retry = DEFAULT_RETRY, callTimeoutMs = LIMITS.tierCallTimeoutMs }: TierCallSettings,
  ) {
    this.#clock = clock;
    this.#random = random;
    this.name = name;
    this.store = store;
    this.#retry = retry === false || store.capabilities.retries ? undefined : retry;
    this.#timeoutMs = callTimeoutMs;
  }

  /** The last call failed. */
  get isDown(): boolean {
    return this.#down;
  }

  get stats(): TierStats {
    return { ...this.#stats };
  }

  async read<Result>(call: (store: KvStore) => Promise<Result>): Promise<Result> {
    return this.#call(call, 'none');
  }

  /** I1. */
  async write<Result>(call: (store: KvStore) => Promise<Result>): Promise<Result> {
    return this.#call(call, 'unknown');
  }

  /** Ends in time, and is not tried again: for steps of a walk. */
  async step<Result>(call: (store: KvStore) => Promise<Result>): Promise<Result> {
    this.#stats.calls++;
    return this.#once(call, 'none').catch((error: unknown) => {
      this.#stats.failures++;
      throw error;
    });
  }

  /** Pauses between tries end. */
  close(): void {
    this.#ended.abort();
    this.#timer?.cancel();
  }

  #call<Result>(call: (store: KvStore) => Promise<Result>, effect: Effect): Promise<Result> {
    this.#stats.calls++;
    const wasDown = this.#down;
    return this.#once(call, effect).catch((error: unknown) => {
      this.#stats.failures++;
      if (this.#retry === undefined || wasDown || !isTransient(error)) throw error;
      return this.#again(call, effect, error, this.#retry);
    });
  }

  async #again<Result>(
    call: (store: KvStore) => Promise<Result>,
    effect: Effect,
    first: unknown,
    { deadlineMs, baseMs, maxMs }: TierRetry,
  ): Promise<Result> {
    const endMs = this.#clock.monotonicMs() + deadlineMs;
    let error = first;
    let doubtful = effectOf(first) === 'unknown';
    for (let tries = 0; ; tries++) {
      const pauseMs = this.#random.integer(Math.ceil(Math.min(maxMs, baseMs * 2 ** tries)) + 1);
      if (this.#clock.monotonicMs() + pauseMs >= endMs || this.#ended.signal.aborted) break;
      await sleep(this.#clock, pauseMs, this.#ended.signal).catch(() => undefined);
      this.#stats.retries++;
      try {
        return await this.#once(call, effect);
      } catch (next) {
        this.#stats.failures++;
        error = next;
        doubtful ||= effectOf(next) === 'unknown';
        if (!isTransient(next)) break;
      }
    }
    throw doubtful ? withEffectUnknown(error) : error; // I2
  }

  #once<Result>(call: (store: KvStore) => Promise<Result>, effect: Effect): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      const running: Running = {
        sinceMs: this.#clock.monotonicMs(),
        end: () => {
          this.#stats.timeouts++;
          this.#down = true;
          reject(this.#tooLate(effect));
        },
      };
      this.#running.add(running);
      this.#look();
      call(this.store).then(
        (result) => {
          this.#running.delete(running);
          this.#down = false;
          resolve(result);
        },
        (error: unknown) => {
          this.#running.delete(running);
          this.#down = isTransient(error);
          reject(error as Error);
        },
      );
    });
  }

  /** One timer for all calls: a timer for each would cost more than a read. */
  #look(): void {
    this.#timer ??= this.#clock.after(Math.ceil(this.#timeoutMs / LOOKS_PER_TIMEOUT), () => {
      this.#timer = undefined;
      const now = this.#clock.monotonicMs();
      for (const running of [...this.#running]) {
        if (now - running.sinceMs < this.#timeoutMs) continue;
        this.#running.delete(running);
        running.end();
      }
      if (this.#running.size > 0) this.#look();
    });
  }

  #tooLate(effect: Effect): HoldfastError {
    const message = `a tier did not answer in time tier=${this.name} timeoutMs=${this.#timeoutMs}`;
    return new HoldfastError('STORAGE_UNAVAILABLE', message, {
      effect,
      details: { tier: this.name },
    });
  }
}

/** What may be otherwise soon; errors that are not Holdfast's come from drivers and count so. */
export function isTransient(error: unknown): boolean {
  if (!isHoldfastError(error)) return !(error instanceof TypeError);
  return error.retryable || error.code === 'DISK_FULL';
}

export function effectOf(error: unknown): Effect {
  if (isHoldfastError(error)) return error.effect;
  return error instanceof TypeError ? 'none' : 'unknown';
}

function withEffectUnknown(error: unknown): unknown {
  if (!isHoldfastError(error) || error.effect === 'unknown') return error;
  const { code, message, details } = error;
  return new HoldfastError(code, message, { effect: 'unknown', cause: error, details });
}
