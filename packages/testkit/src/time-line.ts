/**
 * The one queue of events that all incarnations of a `SimClock` share: virtual time, what is
 * ready, and the seeded choice of what runs next. Owned by its clocks; tests use those.
 *
 * Invariants
 * 1. Time moves only when nothing is ready, and only to the next timer.
 * 2. Immediates run in the order they were asked for, timers by due time and then in the order
 *    they were asked for, yields in any order; the choice between the three is drawn.
 * 3. An event whose owner is dead, or that was cancelled, is dropped without a trace.
 */
import type { Random } from '@holdfast/core';
import { TraceHash } from './trace-hash.ts';

/** Who asked for an event; events of the dead are dropped. */
export interface EventOwner {
  readonly alive: boolean;
}

export interface ReadyEvent {
  readonly owner: EventOwner;
  readonly callback: () => void;
}

export interface TimerEvent {
  readonly dueMs: number;
  readonly order: number;
  readonly owner: EventOwner;
  /** `undefined` once cancelled. */
  callback: (() => void) | undefined;
}

const KIND_IMMEDIATE = 1;
const KIND_TIMER = 2;
const KIND_YIELD = 3;

export class TimeLine {
  elapsedMs = 0;
  wallOffsetMs: number;
  events = 0;
  readonly trace: TraceHash = new TraceHash();
  readonly #random: Random;
  readonly #timers: TimerEvent[] = []; // a heap, see `isBefore`
  #immediates: ReadyEvent[] = [];
  #nextImmediate = 0;
  readonly #yields: ReadyEvent[] = [];
  #order = 0;

  constructor(random: Random, startMs: number) {
    this.#random = random;
    this.wallOffsetMs = startMs;
  }

  addImmediate(event: ReadyEvent): void {
    this.#immediates.push(event);
  }

  addYield(event: ReadyEvent): void {
    this.#yields.push(event);
  }

  addTimer(delayMs: number, owner: EventOwner, callback: () => void): TimerEvent {
    // As in Node.js a timer never fires at once.
    const dueMs = this.elapsedMs + Math.max(1, delayMs);
    const event: TimerEvent = { dueMs, order: this.#order++, owner, callback };
    siftUp(this.#timers, event);
    return event;
  }

  /** Runs one event due by `untilMs`; false when there is none. */
  step(untilMs: number): boolean {
    this.#dropDead();
    const immediates = this.#nextImmediate < this.#immediates.length ? 1 : 0;
    const timer = this.#timers[0];
    const due = timer !== undefined && timer.dueMs <= this.elapsedMs ? 1 : 0;
    const choices = this.#yields.length + immediates + due;
    if (choices === 0) {
      if (timer === undefined || timer.dueMs > untilMs) return false;
      this.elapsedMs = timer.dueMs; // I1
      this.#runTimer();
      return true;
    }
    const choice = choices === 1 ? 0 : this.#random.integer(choices);
    if (choice < this.#yields.length) this.#runYield(choice);
    else if (choice === this.#yields.length && immediates === 1) this.#runImmediate();
    else this.#runTimer();
    return true;
  }

  #runYield(index: number): void {
    const event = this.#yields[index] as ReadyEvent;
    const last = this.#yields.pop() as ReadyEvent;
    if (index < this.#yields.length) this.#yields[index] = last;
    this.#run(KIND_YIELD, event.callback);
  }

  #runImmediate(): void {
    const event = this.#immediates[this.#nextImmediate++] as ReadyEvent;
    if (this.#nextImmediate === this.#immediates.length) {
      this.#immediates = [];
      this.#nextImmediate = 0;
    }
    this.#run(KIND_IMMEDIATE, event.callback);
  }

  #runTimer(): void {
    const event = takeFirst(this.#timers);
    const callback = event.callback as () => void;
    event.callback = undefined;
    this.#run(KIND_TIMER, callback);
  }

  #run(kind: number, callback: () => void): void {
    this.events++;
    this.trace.add(kind);
    this.trace.add(Math.floor(this.elapsedMs * 1000));
    callback();
  }

  /** I3: leaves a live event, or nothing, at the front of each queue. */
  #dropDead(): void {
    while (this.#timers[0] !== undefined && !isLive(this.#timers[0])) takeFirst(this.#timers);
    while (this.#immediates[this.#nextImmediate]?.owner.alive === false) this.#nextImmediate++;
    for (let i = this.#yields.length - 1; i >= 0; i--) {
      if (this.#yields[i]?.owner.alive === false) this.#yields.splice(i, 1);
    }
  }
}

function isLive(event: TimerEvent): boolean {
  return event.callback !== undefined && event.owner.alive;
}

function isBefore(a: TimerEvent, b: TimerEvent): boolean {
  return a.dueMs === b.dueMs ? a.order < b.order : a.dueMs < b.dueMs;
}

function siftUp(heap: TimerEvent[], event: TimerEvent): void {
  let at = heap.length;
  heap.push(event);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as TimerEvent;
    if (!isBefore(event, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = event;
}

function takeFirst(heap: TimerEvent[]): TimerEvent {
  const first = heap[0] as TimerEvent;
  const moved = heap.pop() as TimerEvent;
  if (heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    const right = heap[child + 1];
    if (right !== undefined && isBefore(right, heap[child] as TimerEvent)) child++;
    if (!isBefore(heap[child] as TimerEvent, moved)) break;
    heap[at] = heap[child] as TimerEvent;
    at = child;
  }
  heap[at] = moved;
  return first;
}
