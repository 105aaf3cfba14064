/**
 * Parts that a sweep deleted a moment ago. A delete that was tried twice may land once more; a part
 * that is needed again waits until that cannot be any more. It is rare: only what a failed snapshot
 * left is swept and wanted again.
 */
import { type Clock, LIMITS, sleep } from '@holdfast/core';

export class RecentlySwept {
  readonly #clock: Clock;
  /** By hash, when it was deleted; the oldest first. */
  readonly #sweptMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(hash: string): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [oldest, sweptMs] of this.#sweptMs) {
      if (nowMs - sweptMs < settlingMs()) break;
      this.#sweptMs.delete(oldest);
    }
    this.#sweptMs.delete(hash);
    this.#sweptMs.set(hash, nowMs);
  }

  /** Resolves once nothing that was asked for then can come. */
  async settled(hash: string, signal: AbortSignal): Promise<void> {
    const sweptMs = this.#sweptMs.get(hash);
    if (sweptMs === undefined) return;
    const leftMs = sweptMs + settlingMs() - this.#clock.monotonicMs();
    if (leftMs > 0) await sleep(this.#clock, leftMs, signal);
    this.#sweptMs.delete(hash);
  }
}

/** As long as others wait for a lease that ended without a word. */
function settlingMs(): number {
  return LIMITS.repositoryLeaseMs + LIMITS.repositoryLeaseGraceMs;
}
