/** So many a second, and no more: for work in the background of other work. */
import { type Clock, sleep } from '@holdfast/core';

const LEAST_PAUSE_MS = 10;

export class Pace {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #sinceMs: number;
  #count = 0;

  constructor(clock: Clock, perSecond: number | undefined) {
    if (perSecond !== undefined && !(perSecond > 0)) {
      throw new TypeError(`rate is not a number above 0: ${perSecond}`);
    }
    this.#clock = clock;
    this.#perSecond = perSecond ?? Infinity;
    this.#sinceMs = clock.monotonicMs();
  }

  async one(signal: AbortSignal): Promise<void> {
    this.#count++;
    if (this.#perSecond === Infinity) return;
    const dueMs = this.#sinceMs + (this.#count * 1000) / this.#perSecond;
    const aheadMs = dueMs - this.#clock.monotonicMs();
    if (aheadMs >= LEAST_PAUSE_MS) await sleep(this.#clock, aheadMs, signal);
  }
}
