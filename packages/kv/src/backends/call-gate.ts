/**
 * Bounds the calls of a server: how many at a time, how many wait, how long one may take.
 *
 * Invariants
 * 1. At most `atOnce` calls run; more wait in order, at most `LIMITS.maxWaitingReads` of them.
 * 2. With a `timeoutMs` every call ends: one that is silent for so long is `STORAGE_UNAVAILABLE`.
 *    What it does afterwards is nobody's; it counts as running until it is over.
 */
import { type Clock, type Effect, HoldfastError, LIMITS } from '@holdfast/core';

export class CallGate {
  readonly #clock: Clock;
  readonly #atOnce: number;
  readonly #timeoutMs: number | undefined;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(clock: Clock, atOnce: number, timeoutMs?: number) {
    this.#clock = clock;
    this.#atOnce = atOnce;
    this.#timeoutMs = timeoutMs;
  }

  async run<T>(call: () => Promise<T>, effect: Effect = 'none'): Promise<T> {
    await this.#enter();
    let running: Promise<T>;
    try {
      running = call();
    } catch (error) {
      this.#leave();
      throw error;
    }
    const leave = (): void => this.#leave();
    running.then(leave, leave);
    const timeoutMs = this.#timeoutMs;
    return timeoutMs === undefined ? running : within(this.#clock, timeoutMs, running, effect);
  }

  #enter(): Promise<void> | undefined {
    if (this.#running < this.#atOnce) {
      this.#running++;
      return undefined;
    }
    if (this.#waiting.length >= LIMITS.maxWaitingReads) {
      throw new HoldfastError('STORAGE_UNAVAILABLE', 'too many calls wait for the server');
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}

/** I2. */
export function within<T>(
  clock: Clock,
  timeoutMs: number,
  promise: Promise<T>,
  effect: Effect,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => {
      const message = `the server is silent ms=${timeoutMs}`;
      reject(new HoldfastError('STORAGE_UNAVAILABLE', message, { effect }));
    });
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}
