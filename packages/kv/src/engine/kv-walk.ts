/**
 * Walks over the entries of one store, by key or by creation: what was applied since the checkpoint
 * merged with the rows of every shard.
 *
 * Invariants
 * 1. A key that is dirty is given from memory, or not at all; its rows are passed over.
 * 2. Rows and memory are looked at in one turn, and the rows are those of the last collect: after
 *    another one the scans are opened again behind what was given.
 * 3. Positions rise strictly, so that nothing is given twice.
 * 4. Values from the disk that are held at a time have no more than `MAX_READ_BYTES`, beside those too
 *    small to count and one that is larger.
 *
 * Rows are walked upward only. The other way goes in two: once over all positions, to find marks at
 * bounded distances, then piece by piece between the marks, the last first. So memory is bounded, and
 * the first entry costs a walk over everything.
 */
import type { Clock } from '@holdfast/core';
import { type EngineHost, type KeyRange, rowsOfAllShards } from '@holdfast/database';
import { isExpired } from '../decide-write.ts';
import { compareKeys } from '../kv-key.ts';
import type { KvEntry } from '../kv-store.ts';
import type { SortedMap } from '../sorted-map.ts';
import type { KeyState } from './key-state.ts';
import { entryOf, type KvReader, type LongEntry, type ReadEntry } from './kv-reader.ts';
import { decodeEntryRow } from './kv-rows.ts';
import { RecentCursor } from './recent-cursor.ts';
import { RowCursor } from './row-cursor.ts';
import type { StoreKeys } from './store-keys.ts';

const BATCH_ENTRIES = 128;
/** What is new in memory is put in order by so many, so that others are not held up. */
const PLACED_PER_TURN = 2_048;
/** Positions that one walk passes before others have their turn: what is in memory costs no wait. */
const WALKED_PER_TURN = 1_024;
/** Values that are read for one batch; large ones make it end sooner. */
const MAX_READ_BYTES = 4 * 1024 * 1024;
/** Values up to this are read before it is known how long they are. */
const SMALL_VALUE_BYTES = MAX_READ_BYTES / BATCH_ENTRIES;
const MAX_MARKS = 4_096;
const FIRST_MARK_DISTANCE = 256;

/** One order of the entries. */
export interface WalkOrder {
  /** Rows of this order at or behind a position, below another. */
  range(from: string, to: string | undefined): KeyRange;
  position(row: { readonly key: string; readonly number: number }): string;
  /** What memory has in this order. */
  recent(): SortedMap<KeyState>;
  /** Puts up to `most` of them in order; false: there are more. */
  place(most: number): boolean;
  /** Rows hold the entries themselves. */
  readonly whole: boolean;
}

export interface WalkBounds {
  readonly from: string;
  readonly to: string | undefined;
  readonly reverse: boolean;
}

/** What was met at a position. */
interface Met {
  readonly position: string;
  readonly key: string;
  /** Undefined: to be read. */
  readonly entry: ReadEntry | undefined;
}

export class KvWalk {
  readonly #host: EngineHost;
  readonly #reader: KvReader;
  readonly #keys: StoreKeys;
  readonly #order: WalkOrder;
  readonly #clock: Clock;

  constructor(
    { host, reader, clock }: { host: EngineHost; reader: KvReader; clock: Clock },
    keys: StoreKeys,
    order: WalkOrder,
  ) {
    this.#host = host;
    this.#reader = reader;
    this.#keys = keys;
    this.#order = order;
    this.#clock = clock;
  }

  entries(bounds: WalkBounds, limit: number): AsyncGenerator<readonly KvEntry[], void, undefined> {
    return bounds.reverse ? this.#backward(bounds) : this.#forward(bounds, limit);
  }

  async *#forward(
    { from, to }: WalkBounds,
    limit: number,
  ): AsyncGenerator<readonly KvEntry[], void, undefined> {
    for await (const met of this.#met(from, to, Math.min(BATCH_ENTRIES, limit))) {
      yield* this.#resolve(met);
    }
  }

  async *#backward({ from, to }: WalkBounds): AsyncGenerator<readonly KvEntry[], void, undefined> {
    const marks = await this.#marks(from, to);
    let end = to;
    for (let start = marks.pop(); start !== undefined; start = marks.pop()) {
      const piece: Met[] = [];
      for await (const met of this.#met(start, end, BATCH_ENTRIES)) piece.push(...met);
      end = start;
      piece.reverse();
      for (let at = 0; at < piece.length; at += BATCH_ENTRIES) {
        yield* this.#resolve(piece.slice(at, at + BATCH_ENTRIES));
      }
    }
  }

  async #marks(from: string, to: string | undefined): Promise<string[]> {
    let marks = [from];
    let distance = FIRST_MARK_DISTANCE;
    let since = 0;
    for await (const met of this.#met(from, to, BATCH_ENTRIES)) {
      for (const { position } of met) {
        if (++since < distance) continue;
        since = 0;
        marks.push(position);
        if (marks.length <= MAX_MARKS) continue;
        marks = marks.filter((_, at) => at % 2 === 0);
        distance *= 2;
      }
    }
    return marks;
  }

  /** I1 to I3. */
  async *#met(
    from: string,
    to: string | undefined,
    most: number,
  ): AsyncGenerator<readonly Met[], void, undefined> {
    let low = from;
    let batch: Met[] = [];
    let walked = 0;
    while (!this.#order.place(PLACED_PER_TURN)) await this.#turn();
    for (let ended = false; !ended;) {
      const { collects } = this.#reader;
      const rows = new RowCursor(rowsOfAllShards(this.#host, this.#order.range(low, to)));
      const memory = new RecentCursor(this.#order, to);
      try {
        while (collects === this.#reader.collects) {
          if (rows.isUsedUp) {
            await rows.more();
            continue; // I2
          }
          if (++walked > WALKED_PER_TURN) {
            walked = 0;
            await this.#turn();
            continue; // I2
          }
          const met = this.#next(rows, memory.firstAtOrAbove(low));
          if (met === undefined) {
            ended = rows.head === undefined;
            if (ended) break;
            rows.advance(); // I1
            continue;
          }
          low = `${met.position}\0`;
          batch.push(met);
          if (batch.length < most) continue;
          yield batch;
          batch = [];
        }
      } finally {
        await rows.close();
      }
    }
    if (batch.length > 0) yield batch;
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#clock.immediate(resolve));
  }

  /** What comes next, in one turn; `undefined`: the row at the head is not to be given. */
  #next(rows: RowCursor, memory: string | undefined): Met | undefined {
    const { head } = rows;
    if (head === undefined) return memory === undefined ? undefined : this.#recent(memory);
    const name = rows.nameWithin(this.#keys.name);
    const position = this.#order.position(name);
    if (memory !== undefined && compareKeys(memory, position) < 0) return this.#recent(memory);
    const { key } = name;
    if (this.#keys.get(key)?.dirty === true) return undefined; // I1
    rows.advance();
    if (!this.#order.whole) return { position, key, entry: undefined };
    const entry = decodeEntryRow(head.value);
    return { position, key, entry: entry.facts.extent ? undefined : entry };
  }

  #recent(position: string): Met {
    const state = this.#order.recent().get(position) as KeyState;
    return { position, key: state.key, entry: state.applied };
  }

  async *#resolve(all: readonly Met[]): AsyncGenerator<readonly KvEntry[], void, undefined> {
    const missing = all.filter(({ entry }) => entry === undefined);
    const found = missing.length === 0 ? NONE : await this.#read(missing, SMALL_VALUE_BYTES);
    for (const part of partsOf(all, found)) {
      const long = part.filter((met) => isLong(found.get(met)));
      const read = long.length === 0 ? NONE : await this.#read(long, Infinity);
      const now = this.#clock.now();
      const entries: KvEntry[] = [];
      for (const met of part) {
        const entry = met.entry ?? (isLong(found.get(met)) ? read : found).get(met);
        if (entry !== undefined && !isLong(entry) && !isExpired(entry.facts, now))
          entries.push(entryOf(met.key, entry));
      }
      if (entries.length > 0) yield entries;
    }
  }

  async #read(missing: readonly Met[], most: number): Promise<Found> {
    const found = new Map<Met, ReadEntry | LongEntry>();
    await Promise.all(
      missing.map(async (met) => {
        const { key, position } = met;
        const entry = await this.#reader.readUpTo(this.#keys, key, most);
        if (entry === undefined) return;
        // Deleted and created anew since: it stands elsewhere in the order.
        const place = this.#order.position({ key, number: entry.facts.seq });
        if (place === position) found.set(met, entry);
      }),
    );
    return found;
  }
}

type Found = ReadonlyMap<Met, ReadEntry | LongEntry>;

const NONE: Found = new Map();

function isLong(entry: ReadEntry | LongEntry | undefined): entry is LongEntry {
  return entry !== undefined && 'length' in entry;
}

/** I4: what can be read together. */
function* partsOf(all: readonly Met[], found: Found): Generator<readonly Met[], void, undefined> {
  let start = 0;
  let bytes = 0;
  for (const [at, met] of all.entries()) {
    const entry = found.get(met);
    if (!isLong(entry)) continue;
    if (bytes > 0 && bytes + entry.length > MAX_READ_BYTES) {
      yield all.slice(start, at);
      start = at;
      bytes = 0;
    }
    bytes += entry.length;
  }
  yield start === 0 ? all : all.slice(start);
}
