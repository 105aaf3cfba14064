/**
 * What the stores of an engine may hold after a crash. Calls on one key happen in their order;
 * between keys there is none, but a batch happens on all of its keys or on none.
 *
 * Every put has a value of its own, so what is found tells how many of a key's calls happened; only
 * where nothing is found several answers fit.
 */
import type { KvEntry } from '../src/index.ts';

export interface ModelCall {
  /** `undefined`: a delete. */
  readonly value: string | undefined;
  readonly expiresAtMs: number | undefined;
  /** Calls of one batch share it. */
  readonly batch: number;
  acked: boolean;
  /** Of what was acknowledged: whether anything happened. */
  changed: boolean;
  /** Of a put that was acknowledged. */
  version: number | undefined;
}

/** One key: what is known to rest, and the calls since, the first oldest. */
interface ModelKey {
  base: ModelCall | undefined;
  /** Place of creation of `base`; unknown when it was found after a crash. */
  seq: number | undefined;
  calls: ModelCall[];
}

export class KvModel {
  readonly keys = new Map<string, ModelKey>();
  highestChange = 0;
  #batches = 0;

  of(key: string): ModelKey {
    let known = this.keys.get(key);
    if (known === undefined) {
      known = { base: undefined, seq: undefined, calls: [] };
      this.keys.set(key, known);
    }
    return known;
  }

  /** The calls of one batch, in order. */
  call(
    changes: readonly {
      key: string;
      value: string | undefined;
      expiresAtMs?: number | undefined;
    }[],
  ): ModelCall[] {
    const batch = ++this.#batches;
    return changes.map(({ key, value, expiresAtMs }) => {
      const call: ModelCall = {
        value,
        expiresAtMs,
        batch,
        acked: false,
        changed: false,
        version: undefined,
      };
      this.of(key).calls.push(call);
      return call;
    });
  }

  /** Everything called has ended well: what is there now is the base. */
  settle(nowMs: number): void {
    for (const known of this.keys.values()) this.#advance(known, known.calls.length, nowMs);
  }

  /** Refused for certain: none of what is not acknowledged happened. */
  drop(): void {
    for (const known of this.keys.values()) known.calls = known.calls.filter(({ acked }) => acked);
  }

  /**
   * Throws unless what was found is one of the possible states, and takes it for the base.
   */
  recover(found: ReadonlyMap<string, KvEntry>, nowMs: number): void {
    const happened = new Map<number, string>();
    const missed = new Map<number, string>();
    for (const key of found.keys()) {
      if (!this.keys.has(key)) throw new Error(`a key that nobody put: ${key}`);
    }
    for (const [key, known] of this.keys) {
      const entry = found.get(key);
      const counts = possible(known, entry, nowMs);
      if (counts.length === 0) throw new Error(explain(key, known, entry));
      for (const [at, { batch }] of known.calls.entries()) {
        if (counts.every((count) => count > at)) happened.set(batch, key);
        if (counts.every((count) => count <= at)) missed.set(batch, key);
      }
    }
    for (const [batch, key] of happened) {
      const other = missed.get(batch);
      if (other !== undefined) throw new Error(`a batch happened for ${key} and not for ${other}`);
    }
    for (const [key, known] of this.keys) {
      const entry = found.get(key);
      const [count] = possible(known, entry, nowMs);
      this.#check(key, known, count as number, entry, nowMs);
      this.#advance(known, count as number, nowMs);
      known.calls = [];
      if (entry !== undefined) {
        known.seq = entry.seq;
        if (known.base !== undefined) known.base.version = entry.version;
      }
    }
  }

  /** Versions and places of creation are those that were acknowledged. */
  #check(
    key: string,
    known: ModelKey,
    count: number,
    entry: KvEntry | undefined,
    nowMs: number,
  ): void {
    if (entry === undefined) return;
    const scratch: ModelKey = { ...known, calls: [...known.calls] };
    this.#advance(scratch, count, nowMs);
    const version = scratch.base?.version;
    if (version !== undefined && version !== entry.version) {
      throw new Error(`${key} has version ${entry.version}, acknowledged was ${version}`);
    }
    if (scratch.seq !== undefined && scratch.seq !== entry.seq) {
      throw new Error(`${key} was created at ${entry.seq}, acknowledged was ${scratch.seq}`);
    }
  }

  #advance(known: ModelKey, count: number, nowMs: number): void {
    for (const call of known.calls.splice(0, count)) {
      const there = known.base !== undefined && !isOver(known.base, nowMs);
      if (call.value === undefined) {
        known.base = undefined;
        known.seq = undefined;
      } else {
        if (!there) known.seq = call.version;
        known.base = call;
      }
    }
    if (known.base !== undefined && isOver(known.base, nowMs)) {
      known.base = undefined;
      known.seq = undefined;
    }
  }
}

/**
 * How many of its calls may have happened. A delete that was told there was nothing to delete says
 * that nothing was there, not that calls before it that did nothing either are on the disk.
 */
function possible(known: ModelKey, entry: KvEntry | undefined, nowMs: number): number[] {
  const least = known.calls.findLastIndex(({ acked, changed }) => acked && changed) + 1;
  const toldAbsent = known.calls.findLastIndex(({ acked }) => acked) + 1;
  const found = entry === undefined ? undefined : Buffer.from(entry.value).toString();
  const counts: number[] = [];
  for (let count = least; count <= known.calls.length; count++) {
    const last = count === 0 ? known.base : known.calls[count - 1];
    const value = last === undefined || isOver(last, nowMs) ? undefined : last.value;
    if (count < toldAbsent && value !== undefined) continue;
    if (value === found) counts.push(count);
  }
  return counts;
}

function isOver({ expiresAtMs }: ModelCall, nowMs: number): boolean {
  return expiresAtMs !== undefined && expiresAtMs <= nowMs;
}

function explain(key: string, { base, calls }: ModelKey, entry: KvEntry | undefined): string {
  const short = (value: string | undefined): string => value?.slice(0, 12) ?? 'nothing';
  const wanted = [
    base?.value,
    ...calls.map(({ value, acked }) => `${short(value)}${acked ? '!' : ''}`),
  ];
  const found = entry === undefined ? undefined : Buffer.from(entry.value).toString();
  return `${key} holds ${short(found)}, possible are ${wanted.map((each) => short(each)).join(', ')}`;
}
