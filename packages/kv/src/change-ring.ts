/**
 * The newest changes of one or several stores, for those who watch them.
 *
 * Invariants
 * 1. `#changes` is in order of `seq`, without gaps but for what a store's `#floors` names: every
 *    change of a store above its floor is here.
 * 2. At most `maxChanges` changes with `maxBytes` bytes are held, and the newest one in any case.
 * 3. A watcher holds a number, never changes: what it has not taken may go.
 * 4. A waiting watcher looks at each change once, of whatever store: woken, it goes on where it was.
 * 5. At most `maxChanges` stores have a floor of their own: those that lost a change longest ago share
 *    one, the highest of theirs.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { abortedError } from './kv-errors.ts';
import type { KvChange } from './kv-store.ts';

/** Rough memory of a change beside its key and value. */
const CHANGE_OVERHEAD_BYTES = 200;

interface Kept {
  readonly scope: string;
  readonly change: KvChange;
  readonly bytes: number;
}

export interface ChangeRingBounds {
  readonly maxChanges: number;
  readonly maxBytes: number;
}

export class ChangeRing {
  readonly #bounds: ChangeRingBounds;
  #changes: (Kept | undefined)[] = [];
  /** How many of the first of `#changes` are gone, with what they held; cut off now and then. */
  #gone = 0;
  #bytes = 0;
  /** Of all scopes that have none of their own. */
  #floor = 0;
  /** Lowest first. */
  readonly #floors = new Map<string, number>();
  #last = 0;
  readonly #waiting = new Set<() => void>();

  constructor(
    bounds: ChangeRingBounds = {
      maxChanges: LIMITS.maxKeptChanges,
      maxBytes: LIMITS.maxKeptChangeBytes,
    },
  ) {
    this.#bounds = bounds;
  }

  /** Number of the newest change. */
  get last(): number {
    return this.#last;
  }

  /** What came before this change is not here. */
  begin(floor: number): void {
    this.#floor = Math.max(this.#floor, floor);
    this.#last = Math.max(this.#last, floor);
  }

  /** A change that is here already is not taken again. */
  push(scope: string, change: KvChange): void {
    if (change.seq <= this.#last) return;
    this.#last = change.seq;
    const bytes = change.key.length + (change.value?.length ?? 0) + CHANGE_OVERHEAD_BYTES;
    this.#changes.push({ scope, change, bytes });
    this.#bytes += bytes;
    const { maxChanges, maxBytes } = this.#bounds;
    while (this.#kept > 1 && (this.#kept > maxChanges || this.#bytes > maxBytes)) this.#forget();
  }

  /** Wakes those who wait for changes. */
  wake(): void {
    for (const woken of this.#waiting) woken();
  }

  /** Begins now; the signal ends it. */
  watch(
    scope: string,
    since: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<KvChange, void, undefined> {
    return this.#watch(scope, since ?? this.#last, signal);
  }

  async *#watch(
    scope: string,
    since: number,
    signal: AbortSignal,
  ): AsyncGenerator<KvChange, void, undefined> {
    let seen = since;
    for (;;) {
      if (signal.aborted) throw abortedError(signal);
      if (seen < this.#floorOf(scope)) throw trimmed(seen, this.#floorOf(scope)); // I3
      const next = this.#next(scope, seen);
      if (next === undefined) {
        seen = Math.max(seen, this.#last); // I4
        await this.#more(signal);
        continue;
      }
      seen = next.seq;
      yield next;
    }
  }

  get #kept(): number {
    return this.#changes.length - this.#gone;
  }

  #forget(): void {
    const { scope, change, bytes } = this.#changes[this.#gone] as Kept;
    this.#changes[this.#gone] = undefined; // I2
    this.#bytes -= bytes;
    this.#gone++;
    this.#raiseFloor(scope, change.seq);
    if (this.#gone < 1024 || this.#gone < this.#changes.length / 2) return;
    this.#changes = this.#changes.slice(this.#gone);
    this.#gone = 0;
  }

  /** I5. */
  #raiseFloor(scope: string, seq: number): void {
    this.#floors.delete(scope);
    this.#floors.set(scope, seq);
    if (this.#floors.size <= this.#bounds.maxChanges) return;
    for (const [oldest, floor] of this.#floors) {
      this.#floors.delete(oldest);
      this.#floor = Math.max(this.#floor, floor);
      return;
    }
  }

  #floorOf(scope: string): number {
    return Math.max(this.#floor, this.#floors.get(scope) ?? 0);
  }

  #next(scope: string, seen: number): KvChange | undefined {
    let low = this.#gone;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#changes[middle] as Kept).change.seq <= seen) low = middle + 1;
      else high = middle;
    }
    for (; low < this.#changes.length; low++) {
      const kept = this.#changes[low] as Kept;
      if (kept.scope === scope) return kept.change;
    }
    return undefined;
  }

  #more(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        this.#waiting.delete(go);
        signal.removeEventListener('abort', go);
        resolve();
      };
      this.#waiting.add(go);
      signal.addEventListener('abort', go, { once: true });
    });
  }
}

function trimmed(since: number, floor: number): HoldfastError {
  return new HoldfastError(
    'CHANGES_TRIMMED',
    `changes behind this one are not kept any more since=${since} kept=${floor}`,
    { details: { since, kept: floor } },
  );
}
