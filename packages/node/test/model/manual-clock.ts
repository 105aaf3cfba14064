/**
 * Time that stands still until a test moves it, for a whole node: timers fire on the way, and
 * what only asks for the end of the turn gets it at once.
 *
 * Invariants
 * 1. Pauses shorter than a second do not take time: they are there to give way, not to wait.
 * 2. After `end` no timer of that life fires; the next life goes on with the same time.
 */
import type { Clock, Timer } from '@holdfast/core';

const SHORT_MS = 1_000;

interface Waiting {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Wall clock and elapsed time, shared by all lives of a node. */
export interface Time {
  wallMs: number;
  elapsedMs: number;
}

export class ManualClock implements Clock {
  readonly #time: Time;
  #waiting: Waiting[] = [];
  #order = 0;
  #ended = false;

  constructor(time: Time) {
    this.#time = time;
  }

  now(): number {
    return this.#time.wallMs;
  }

  monotonicMs(): number {
    return this.#time.elapsedMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    if (delayMs < SHORT_MS) return this.#soon(callback); // I1
    const atMs = this.#time.elapsedMs + delayMs;
    const waiting = { atMs, order: this.#order++, callback };
    this.#waiting.push(waiting);
    return { cancel: () => void (this.#waiting = this.#waiting.filter((w) => w !== waiting)) };
  }

  immediate(callback: () => void): void {
    this.#soon(callback);
  }

  /** Runs what is due on the way. */
  advance(byMs: number): void {
    const until = this.#time.elapsedMs + byMs;
    for (;;) {
      const next = this.#waiting
        .filter(({ atMs }) => atMs <= until)
        .sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined) break;
      this.#waiting = this.#waiting.filter((waiting) => waiting !== next);
      this.#moveTo(next.atMs);
      next.callback();
    }
    this.#moveTo(until);
  }

  end(): void {
    this.#ended = true;
    this.#waiting = [];
  }

  #soon(callback: () => void): Timer {
    const immediate = setImmediate(() => {
      if (!this.#ended) callback();
    });
    return { cancel: () => clearImmediate(immediate) };
  }

  #moveTo(elapsedMs: number): void {
    const byMs = Math.max(0, elapsedMs - this.#time.elapsedMs);
    this.#time.elapsedMs += byMs;
    this.#time.wallMs += byMs;
  }
}
