/**
 * Cursors: the number of the current 20-second interval, so that caches in front collapse
 * readers who wait for the same data and never loop on one stored answer (PROTOCOL 10.1).
 *
 * Invariants
 * 1. A cursor is decimal digits, whatever the client sent.
 * 2. The answer to a cursor that is not behind the current interval is strictly greater than it.
 * 3. Clients with the same cursor in the same interval get the same answer: the jitter is drawn
 *    once per interval, so that readers who reconnect together stay together, and their frames
 *    can be shared.
 */
import type { Clock, Random } from '@holdfast/core';

const EPOCH_MS = Date.UTC(2024, 9, 9);
const INTERVAL_MS = 20_000;
/** One hour of intervals: the protocol asks for 1 to 3600 seconds of jitter. */
const MAX_JITTER_INTERVALS = 180;

export class CursorSource {
  readonly #clock: Clock;
  readonly #random: Random;
  #interval = -1;
  #text = '0';
  #jitter = 1;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The cursor of now. Never goes back, also when the wall clock does. */
  current(): string {
    const interval = Math.floor((this.#clock.now() - EPOCH_MS) / INTERVAL_MS);
    if (interval > this.#interval) {
      this.#interval = interval;
      this.#text = String(interval);
      this.#jitter = 1 + this.#random.integer(MAX_JITTER_INTERVALS);
    }
    return this.#text;
  }

  /** The cursor to answer with. @param client digits, or `undefined` when it sent none. */
  next(client: string | undefined): string {
    const current = this.current();
    if (client === undefined || compareDecimal(client, current) < 0) return current;
    return (BigInt(client) + BigInt(this.#jitter)).toString();
  }
}

/** Negative, zero or positive, as the numbers compare; both are decimal digits. */
export function compareDecimal(a: string, b: string): number {
  const left = a.replace(/^0+(?=\d)/, '');
  const right = b.replace(/^0+(?=\d)/, '');
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}
