/**
 * Deletes streams that are over. Reads already treat them as gone; the reaper gives the space
 * back, slowly enough that a wrong clock is noticed before much is lost.
 *
 * Invariants
 * 1. Nothing is deleted in the first `reaperStartGraceMs`, nor in a round before which the wall
 *    clock moved against the monotonic one by more than `reaperClockJumpMs`.
 * 2. At most `reaperDeletesPerRound` deletes a round; one, when more than `reaperBulkFraction`
 *    of all streams (and at least `reaperBulkMinimum`) are due, or when nobody knows how many.
 *    Much that is due stays due: after `reaperBulkHoldMs` it goes at the full rate, or streams
 *    that come and go faster than one a round would fill the node.
 * 3. A stream with an expiry is in the heap or among the due until it is gone.
 */
import { type Clock, cut, LIMITS, type Logger, type Timer } from '@holdfast/core';
import { DueHeap } from './due-heap.ts';
import { dueAtMs, expires, isExpired } from './expiry.ts';
import type { Stream } from './stream.ts';

export interface Reaped {
  /** How many streams there are. */
  size(): number;
  /** Deletes a stream with its cascade; false when that is not possible now. */
  expire(stream: Stream): boolean;
}

export class Reaper {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #reaped: Reaped;
  readonly #intervalMs: number;
  readonly #graceMs: number;
  readonly #heap = new DueHeap();
  /** Found to be over, not deleted yet. */
  #due: Stream[] = [];
  #timer: Timer | undefined;
  #startedMs = 0;
  #lastWallMs = 0;
  #lastMonotonicMs = 0;
  /** Since when much is due, by the monotonic clock. */
  #bulkSinceMs: number | undefined;

  constructor(
    components: { readonly clock: Clock; readonly logger: Logger },
    settings: { readonly reaperIntervalMs: number; readonly reaperStartGraceMs: number },
    reaped: Reaped,
  ) {
    this.#clock = components.clock;
    this.#logger = components.logger;
    this.#intervalMs = settings.reaperIntervalMs;
    this.#graceMs = settings.reaperStartGraceMs;
    this.#reaped = reaped;
  }

  /** A stream was created or loaded. */
  add(stream: Stream): void {
    if (expires(stream)) this.#heap.push(stream, dueAtMs(stream));
  }

  start(): void {
    this.#startedMs = this.#clock.monotonicMs();
    this.#lastWallMs = this.#clock.now();
    this.#lastMonotonicMs = this.#startedMs;
    this.#schedule();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** One round; called by the timer. */
  round(): void {
    const now = this.#clock.now();
    const monotonic = this.#clock.monotonicMs();
    const jumpMs = now - this.#lastWallMs - (monotonic - this.#lastMonotonicMs);
    this.#lastWallMs = now;
    this.#lastMonotonicMs = monotonic;
    if (Math.abs(jumpMs) > LIMITS.reaperClockJumpMs) {
      this.#logger.warn('reaper.clock_jumped', { jumpMs: Math.round(jumpMs) });
      return;
    }
    if (monotonic - this.#startedMs < this.#graceMs) return;
    const allSeen = this.#look(now);
    let allowed = this.#allowed(allSeen, monotonic);
    while (allowed > 0 && this.#due.length > 0) {
      const stream = this.#due.pop() as Stream;
      if (!this.#isOver(stream, now)) continue;
      void cut('streams.expiring');
      if (!this.#reaped.expire(stream)) {
        this.#due.push(stream);
        return;
      }
      allowed--;
    }
  }

  /** Moves what is over from the heap; false when there may be more. */
  #look(now: number): boolean {
    this.#due = this.#due.filter((stream) => this.#isOver(stream, now));
    for (let looks = 0; looks < LIMITS.reaperLooksPerRound; looks++) {
      const stream = this.#heap.popDue(now);
      if (stream === undefined) return true;
      if (this.#isOver(stream, now)) this.#due.push(stream);
    }
    return false;
  }

  /** Puts a stream that is not over, or not yet, where it belongs. */
  #isOver(stream: Stream, now: number): boolean {
    const { state } = stream.applied;
    if (state === 'removed' || state === 'softDeleted') return false;
    if (stream.ahead.state !== 'active') {
      // Its end is in flight, and may still be refused.
      this.#heap.push(stream, now + this.#intervalMs);
      return false;
    }
    if (isExpired(stream, now)) return true;
    // A live reader keeps it: look again when one window has passed.
    const { ttlSeconds = 0 } = stream.config;
    const due = dueAtMs(stream);
    this.#heap.push(stream, due > now ? due : now + Math.max(1, ttlSeconds * 1000));
    return false;
  }

  #allowed(allSeen: boolean, monotonicMs: number): number {
    const due = this.#due.length;
    const many =
      due >= LIMITS.reaperBulkMinimum && due > this.#reaped.size() * LIMITS.reaperBulkFraction;
    if (!many) this.#bulkSinceMs = undefined;
    else if (this.#bulkSinceMs === undefined) {
      this.#bulkSinceMs = monotonicMs;
      this.#logger.warn('reaper.mass_expiry', { due, streams: this.#reaped.size() });
    }
    const since = this.#bulkSinceMs;
    const held = since !== undefined && monotonicMs - since < LIMITS.reaperBulkHoldMs;
    return held || !allSeen ? 1 : LIMITS.reaperDeletesPerRound;
  }

  #schedule(): void {
    this.#timer = this.#clock.after(this.#intervalMs, () => {
      this.round();
      if (this.#timer !== undefined) this.#schedule();
    });
  }
}
