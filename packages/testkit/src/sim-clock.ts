/**
 * Virtual time and a seeded scheduler: nothing waits, and one seed decides the order of
 * everything that could have happened in more than one order.
 *
 * Owner: the test. A `SimClock` is the clock of one life of a process; `nextIncarnation` ends
 * that life and gives the clock of the next one on the same time line.
 *
 * Invariants
 * 1. Time moves only when nothing is ready, and only to the next timer.
 * 2. Between two events every microtask has run.
 * 3. Which of an immediate, a due timer or a waiting `yieldPoint` runs next is drawn from the
 *    seed (`time-line.ts`).
 * 4. After `nextIncarnation` no callback of the old clock runs, and it takes no new ones.
 */
import type { Clock, Random, Timer } from '@holdfast/core';
import { TimeLine } from './time-line.ts';

/** 2026-01-01T00:00:00Z: any fixed moment. */
const DEFAULT_START_MS = 1_767_225_600_000;
/** Beyond this a run is taken for a loop that never ends. */
const MAX_EVENTS_PER_RUN = 10_000_000;

export interface SimClockOptions {
  /** Wall clock at the start, ms since the Unix epoch. */
  readonly startMs?: number;
}

export class SimClock implements Clock {
  readonly #line: TimeLine;
  #alive = true;

  /** @param random decides the order, the clock's own from now on; or a line to continue. */
  constructor(random: Random | TimeLine, options: SimClockOptions = {}) {
    this.#line =
      random instanceof TimeLine
        ? random
        : new TimeLine(random, options.startMs ?? DEFAULT_START_MS);
  }

  /** False once `nextIncarnation` ended this life. */
  get alive(): boolean {
    return this.#alive;
  }

  now(): number {
    return this.#line.wallOffsetMs + Math.floor(this.#line.elapsedMs);
  }

  monotonicMs(): number {
    return this.#line.elapsedMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    if (!this.#alive) return { cancel: () => undefined };
    const event = this.#line.addTimer(delayMs, this, callback);
    return {
      cancel: () => {
        event.callback = undefined;
      },
    };
  }

  immediate(callback: () => void): void {
    if (this.#alive) this.#line.addImmediate({ owner: this, callback });
  }

  /** Lets other ready events go first, or not: the seed decides. Never resolves when dead. */
  yieldPoint(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#alive) this.#line.addYield({ owner: this, callback: resolve });
    });
  }

  /** The wall clock jumps; timers and monotonic time do not. */
  jumpWallClock(byMs: number): void {
    this.#line.wallOffsetMs += byMs;
  }

  /** Ends this life (I4). Code that waits in it never wakes up. */
  nextIncarnation(): SimClock {
    this.#alive = false;
    return new SimClock(this.#line);
  }

  /** The clock of another process on the same time line, with a life of its own. */
  sibling(): SimClock {
    return new SimClock(this.#line);
  }

  /** Runs events, moving time as needed, until `promise` settles. Rejects on a deadlock. */
  async run<Result>(promise: Promise<Result>): Promise<Result> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    promise.then(settle, settle);
    for (let i = 0; i < MAX_EVENTS_PER_RUN; i++) {
      await drainMicrotasks();
      if (settled) return promise;
      if (!this.#line.step(Infinity)) {
        throw new Error(`deadlock: nothing is left to run elapsedMs=${this.#line.elapsedMs}`);
      }
    }
    throw new Error(`run did not end events=${MAX_EVENTS_PER_RUN}`);
  }

  /** Runs everything that is ready at this moment; time stands still. */
  runUntilIdle(): Promise<void> {
    return this.#runUntil(this.#line.elapsedMs);
  }

  /** Runs everything that happens within the next `durationMs`. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#line.elapsedMs + durationMs;
    await this.#runUntil(endMs);
    this.#line.elapsedMs = endMs;
  }

  /** Events run so far, on the whole time line. */
  get events(): number {
    return this.#line.events;
  }

  /** Equal for two runs that ran events of the same kinds at the same times. */
  traceHash(): string {
    return this.#line.trace.digest();
  }

  async #runUntil(endMs: number): Promise<void> {
    for (let i = 0; i < MAX_EVENTS_PER_RUN; i++) {
      await drainMicrotasks();
      if (!this.#line.step(endMs)) return;
    }
    throw new Error(`run did not end events=${MAX_EVENTS_PER_RUN}`);
  }
}

/**
 * A real turn of the event loop (about 1 us): however long the chains of promises and
 * `nextTick`s are, all have run when it resolves.
 */
function drainMicrotasks(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
