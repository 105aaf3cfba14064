/**
 * A moment that rests as wall clock and is waited for on the monotonic clock: a jump of the wall
 * clock while the node runs changes nothing, one between two lives delays by at most `maxMs`.
 */
import type { Clock } from '@holdfast/core';

export class Deadline {
  readonly #clock: Clock;
  #atMs: number | undefined;
  #dueMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param atMs the moment as it rests; another one than before is counted from now. */
  remainingMs(atMs: number, maxMs: number): number {
    const monotonicMs = this.#clock.monotonicMs();
    if (atMs !== this.#atMs) {
      this.#atMs = atMs;
      this.#dueMs = monotonicMs + Math.min(Math.max(atMs - this.#clock.now(), 0), maxMs);
    }
    return Math.max(0, this.#dueMs - monotonicMs);
  }
}
