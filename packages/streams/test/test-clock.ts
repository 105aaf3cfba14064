/** A clock that stands still until a test moves it. */
import type { Clock, Timer } from '@holdfast/core';

interface Waiting {
  readonly atMs: number;
  readonly callback: () => void;
}

export class TestClock implements Clock {
  wallMs = 1_700_000_000_000;
  #monotonicMs = 0;
  #waiting: Waiting[] = [];

  now(): number {
    return this.wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const waiting = { atMs: this.#monotonicMs + delayMs, callback };
    this.#waiting.push(waiting);
    return { cancel: () => void (this.#waiting = this.#waiting.filter((w) => w !== waiting)) };
  }

  immediate(callback: () => void): void {
    this.after(0, callback);
  }

  /** Runs what is due on the way. */
  advance(byMs: number): void {
    const until = this.#monotonicMs + byMs;
    for (;;) {
      const next = this.#waiting
        .filter(({ atMs }) => atMs <= until)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#waiting = this.#waiting.filter((waiting) => waiting !== next);
      this.#moveTo(next.atMs);
      next.callback();
    }
    this.#moveTo(until);
  }

  #moveTo(monotonicMs: number): void {
    const byMs = Math.max(0, monotonicMs - this.#monotonicMs);
    this.#monotonicMs += byMs;
    this.wallMs += byMs;
  }
}
