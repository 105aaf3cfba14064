/**
 * Memory of responses that wait for their clients, over all of them: a thousand readers that never
 * read must not take what one alone may.
 *
 * Two things are counted. Buffers that were written and that the system has not taken: by the
 * memory they keep alive, once, however many readers wait for the same bytes. And room for bodies
 * that are read from disk: taken before the reading begins, so that nothing is read for nobody.
 *
 * Invariants
 * I1. `held` is the room of all open `HeldResponse`s and every buffer in at least one of them.
 *     It may lag behind what clients took, and is brought up to date before anybody is dropped.
 * I2. Beyond the limit, who stands still longest is dropped first. A connection that is dropped
 *     ends: its client resumes from the last offset it got whole.
 * I3. Whoever waits for room gets it in order, or `RESPONSE_MEMORY_FULL` after `responseWaitMs`;
 *     while somebody waits, a response that does not move for `responseStallMs` is dropped.
 */
import type { ServerResponse } from 'node:http';
import { HoldfastError, LIMITS, type Clock, type Timer } from '@holdfast/core';
import { bytesTakenOf } from './socket-progress.ts';

/** How often those who wait are looked after. */
const JUDGE_MS = 1_000;
/** Share of the limit that a drop goes down to: not every write shall drop somebody. */
const RELIEVED_SHARE = 0.75;

interface Waiting {
  readonly held: HeldResponse;
  readonly bytes: number;
  readonly sinceMs: number;
  readonly resolve: () => void;
  readonly reject: (error: HoldfastError) => void;
}

export class ResponseMemory {
  readonly #clock: Clock;
  readonly #max: number;
  /** Readers that wait for each piece of memory. */
  readonly #holders = new Map<ArrayBufferLike, number>();
  readonly #responses = new Set<HeldResponse>();
  #waiting: Waiting[] = [];
  #timer: Timer | undefined;
  #held = 0;
  #dropped = 0;

  constructor(clock: Clock, max: number) {
    this.#clock = clock;
    this.#max = max;
  }

  get held(): number {
    return this.#held;
  }

  /** Responses ended because their clients took too little. */
  get dropped(): number {
    return this.#dropped;
  }

  /** What this response holds; given back when it closes. */
  open(response: ServerResponse): HeldResponse {
    const held = new HeldResponse(response, this, this.#clock.monotonicMs());
    if (response.destroyed || response.closed) {
      held.isClosed = true; // its client left during the read: nothing would close it again
      return held;
    }
    this.#responses.add(held);
    response.once('close', () => this.close(held));
    return held;
  }

  /** Counts what was written to a response and is not taken yet, if anything is. */
  holdUnsent(response: ServerResponse, parts: readonly Buffer[]): void {
    if (response.writableLength > 0 && !response.destroyed) this.open(response).add(parts);
  }

  close(held: HeldResponse): void {
    if (!this.#responses.delete(held)) return;
    held.isClosed = true;
    held.release();
    const wasWaiting = this.#waiting.findIndex((one) => one.held === held);
    if (wasWaiting >= 0) {
      const [gone] = this.#waiting.splice(wasWaiting, 1);
      gone?.reject(new HoldfastError('ABORTED', 'the reader went away'));
    }
    this.#serveWaiting();
  }

  /** Room for a body from disk: `undefined` when it is there at once. I3 */
  room(held: HeldResponse, bytes: number): Promise<void> | undefined {
    if (held.isClosed) {
      return Promise.reject(new HoldfastError('ABORTED', 'the reader went away'));
    }
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      held.room += bytes;
      this.#held += bytes;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const sinceMs = this.#clock.monotonicMs();
      this.#waiting.push({ held, bytes, sinceMs, resolve, reject });
      this.#armTimer();
    });
  }

  giveRoom(bytes: number): void {
    this.#held -= bytes;
    if (this.#waiting.length > 0) this.#serveWaiting();
  }

  take(memory: ArrayBufferLike): void {
    const holders = this.#holders.get(memory) ?? 0;
    this.#holders.set(memory, holders + 1);
    if (holders === 0) this.#held += memory.byteLength;
  }

  give(memory: ArrayBufferLike): void {
    const holders = this.#holders.get(memory) ?? 0;
    if (holders > 1) {
      this.#holders.set(memory, holders - 1);
      return;
    }
    this.#holders.delete(memory);
    this.#held -= memory.byteLength;
  }

  /** One alone always fits: a limit below one piece makes reads go one by one. */
  #fits(bytes: number): boolean {
    return this.#held === 0 || this.#held + bytes <= this.#max;
  }

  #serveWaiting(): void {
    while (this.#waiting.length > 0) {
      const next = this.#waiting[0] as Waiting;
      if (!this.#fits(next.bytes)) return;
      this.#waiting.shift();
      next.held.room += next.bytes;
      this.#held += next.bytes;
      next.resolve();
    }
  }

  /** Drops the slowest while more is held than may be: perhaps whoever asks. */
  relieve(): void {
    if (this.#held <= this.#max) return;
    this.#lookAtAll(); // I1
    if (this.#held <= this.#max) return;
    const slowestFirst = [...this.#responses].filter((held) => held.holdsMemory).sort(slowerFirst);
    slowestFirst.pop(); // one alone may hold what it needs, or a large message would reach nobody
    for (const held of slowestFirst) {
      if (this.#held <= this.#max * RELIEVED_SHARE) return;
      this.#drop(held); // I2
    }
  }

  #lookAtAll(): void {
    const now = this.#clock.monotonicMs();
    for (const held of this.#responses) held.look(now);
  }

  #drop(held: HeldResponse): void {
    this.#dropped++;
    this.close(held);
    held.response.destroy();
  }

  #armTimer(): void {
    if (this.#timer !== undefined || this.#waiting.length === 0) return;
    this.#timer = this.#clock.after(JUDGE_MS, () => {
      this.#timer = undefined;
      this.#judge();
      this.#armTimer();
    });
  }

  #judge(): void {
    this.#lookAtAll();
    const now = this.#clock.monotonicMs();
    for (const held of [...this.#responses]) {
      if (this.#waiting.length === 0) return;
      const still = now - held.movedAtMs >= LIMITS.responseStallMs;
      if (still && held.holdsMemory) this.#drop(held); // I3
    }
    this.#serveWaiting();
    const late = this.#waiting.filter((one) => now - one.sinceMs >= LIMITS.responseWaitMs);
    if (late.length === 0) return;
    this.#waiting = this.#waiting.filter((one) => !late.includes(one));
    for (const one of late) {
      one.reject(
        new HoldfastError('RESPONSE_MEMORY_FULL', 'too many readers are slow to take their data'),
      );
    }
  }
}

/** Of two that stand still as long, the one that has more to take. */
function slowerFirst(a: HeldResponse, b: HeldResponse): number {
  return a.movedAtMs - b.movedAtMs || b.unsentBytes - a.unsentBytes;
}

/** What one response holds. Made by `ResponseMemory.open`. */
export class HeldResponse {
  readonly response: ServerResponse;
  readonly #memory: ResponseMemory;
  /** Written and perhaps not taken, oldest first. */
  #parts: Buffer[] = [];
  #partBytes = 0;
  #taken = 0;
  /** For bodies from disk. */
  room = 0;
  /** Nothing is held for it any more, whatever is still written to it. */
  isClosed = false;
  /** When bytes of it were last seen to move. */
  movedAtMs: number;

  constructor(response: ServerResponse, memory: ResponseMemory, nowMs: number) {
    this.response = response;
    this.#memory = memory;
    this.movedAtMs = nowMs;
  }

  get holdsMemory(): boolean {
    return this.room > 0 || this.#parts.length > 0;
  }

  get unsentBytes(): number {
    return this.#partBytes;
  }

  /** Behind a write: what of it, and of what was before it, the system has not taken. */
  add(parts: readonly Buffer[]): void {
    if (this.isClosed) return;
    for (const part of parts) {
      this.#parts.push(part);
      this.#partBytes += part.length;
      this.#memory.take(part.buffer);
    }
    this.settle();
    this.#memory.relieve();
  }

  /** Gives back what was taken from the front. */
  settle(): void {
    const unsent = this.response.writableLength;
    let first = 0;
    while (first < this.#parts.length) {
      const part = this.#parts[first] as Buffer;
      if (unsent > 0 && this.#partBytes - part.length < unsent) break;
      this.#partBytes -= part.length;
      this.#memory.give(part.buffer);
      first++;
    }
    if (first > 0) this.#parts = this.#parts.slice(first);
  }

  giveRoom(): void {
    const { room } = this;
    this.room = 0;
    if (room > 0) this.#memory.giveRoom(room);
  }

  look(nowMs: number): void {
    this.settle();
    const taken = bytesTakenOf(this.response);
    if (taken === this.#taken) return;
    this.#taken = taken;
    this.movedAtMs = nowMs;
  }

  release(): void {
    const parts = this.#parts;
    this.#parts = [];
    this.#partBytes = 0;
    for (const part of parts) this.#memory.give(part.buffer);
    this.giveRoom();
  }
}
