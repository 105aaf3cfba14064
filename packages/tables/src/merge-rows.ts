/**
 * Merges sorted sources into one: for each key the row of the newest source that has it.
 *
 * Invariants
 * 1. `sources` are newest first and each strictly rises; the output strictly rises.
 * 2. A tombstone hides older rows; it is passed on unless `dropTombstones`.
 * 3. The work is synchronous within a batch: promises are paid per block, not per row.
 * 4. However the consumer stops, every source is closed.
 */
import { compareRowKeys } from './key-order.ts';
import type { Row } from './row.ts';
import type { BatchedRows } from './table-scan.ts';

export type RowSource = Iterable<Row> | AsyncIterable<Row> | Pick<BatchedRows, 'batches'>;

export interface MergeOptions {
  /** Only right when nothing older than the sources exists. */
  readonly dropTombstones: boolean;
  /** Gives what it has before it waits for more: for who may stop soon. Smaller batches. */
  readonly eager?: boolean;
}

/** Rows handed on at a time; bounds how long a merge keeps the turn. */
const BATCH_ROWS = 256;

/** @param sources newest first. */
export async function* mergeRows(
  sources: readonly RowSource[],
  options: MergeOptions,
): AsyncGenerator<Row, void, undefined> {
  for await (const batch of mergeRowBatches(sources, options)) yield* batch;
}

/** `mergeRows` a batch at a time: several times quicker for long merges. */
export async function* mergeRowBatches(
  sources: readonly RowSource[],
  options: MergeOptions,
): AsyncGenerator<readonly Row[], void, undefined> {
  const cursors = sources.map((source, age) => new Cursor(batchesOf(source), age));
  try {
    const heap: Cursor[] = [];
    // All begin in one turn: what they see is of one moment.
    const begun = await Promise.all(cursors.map((cursor) => cursor.refill()));
    for (const [at, cursor] of cursors.entries()) if (begun[at] === true) heap.push(cursor);
    for (let i = (heap.length >> 1) - 1; i >= 0; i--) sink(heap, i);
    let batch: Row[] = [];
    let last: Cursor | undefined;
    let lastKey: Buffer | undefined;
    while (heap.length > 0) {
      const top = heap[0] as Cursor;
      const { row } = top;
      // I1: one source never repeats a key, so only a change of source can.
      const hidden =
        last !== top && lastKey !== undefined && compareRowKeys(row.key, lastKey) === 0;
      if (!hidden) {
        last = top;
        lastKey = row.key;
        if (row.value !== undefined || !options.dropTombstones) batch.push(row);
      }
      if (!top.advance()) {
        if (options.eager === true && batch.length > 0) {
          yield batch;
          batch = [];
        }
        if (!(await top.refill())) {
          const replacement = heap.pop() as Cursor;
          if (heap.length > 0) heap[0] = replacement;
        }
      }
      if (heap.length > 1) sink(heap, 0);
      if (batch.length >= BATCH_ROWS) {
        yield batch;
        batch = [];
      }
    }
    if (batch.length > 0) yield batch;
  } finally {
    for (const cursor of cursors) await cursor.close(); // I4
  }
}

/** One source and where the merge stands in it. */
class Cursor {
  readonly age: number;
  readonly #batches: Batches;
  #batch: readonly Row[] = [];
  #at = 0;

  constructor(batches: Batches, age: number) {
    this.#batches = batches;
    this.age = age;
  }

  get row(): Row {
    return this.#batch[this.#at] as Row;
  }

  /** False at the end of the batch: `refill` has to follow. */
  advance(): boolean {
    this.#at++;
    return this.#at < this.#batch.length;
  }

  /** False at the end of the source. */
  async refill(): Promise<boolean> {
    do {
      const next = await this.#batches.next();
      if (next.done === true) return false;
      this.#batch = next.value;
      this.#at = 0;
    } while (this.#batch.length === 0);
    return true;
  }

  async close(): Promise<void> {
    await this.#batches.return();
  }
}

type Batches =
  Generator<readonly Row[], void, undefined> | AsyncGenerator<readonly Row[], void, undefined>;

function batchesOf(source: RowSource): Batches {
  if ('batches' in source) return source.batches();
  return Symbol.iterator in source ? batchesInTurn(source) : batchesInTime(source);
}

function* batchesInTurn(rows: Iterable<Row>): Generator<readonly Row[], void, undefined> {
  let batch: Row[] = [];
  for (const row of rows) {
    batch.push(row);
    if (batch.length >= BATCH_ROWS) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

/** One row each: gathering more would make a slow source hold back what it already gave. */
async function* batchesInTime(
  rows: AsyncIterable<Row>,
): AsyncGenerator<readonly Row[], void, undefined> {
  for await (const row of rows) yield [row];
}

/** Restores heap order below `at`: smallest key first, of equal keys the newest source. */
function sink(heap: Cursor[], at: number): void {
  const cursor = heap[at] as Cursor;
  for (;;) {
    let child = at * 2 + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1] as Cursor, heap[child] as Cursor)) {
      child++;
    }
    if (!before(heap[child] as Cursor, cursor)) break;
    heap[at] = heap[child] as Cursor;
    at = child;
  }
  heap[at] = cursor;
}

function before(a: Cursor, b: Cursor): boolean {
  const order = compareRowKeys(a.row.key, b.row.key);
  return order < 0 || (order === 0 && a.age < b.age);
}
