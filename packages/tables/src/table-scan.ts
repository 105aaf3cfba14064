/**
 * One pass over the rows of a table within a range.
 *
 * A scan that turns out short reads one block, through the cache; a longer one reads ahead,
 * twice as much each time up to `scanReadBytes`, past the cache, so that it does not wash
 * out what others use.
 */
import { BLOCK_HEADER_BYTES, BLOCK_TYPES, LIMITS } from '@holdfast/core';
import { RowBlock } from './row-block.ts';
import type { KeyRange, Row } from './row.ts';
import type { Table } from './table.ts';
import { type BlockPlace, decodeBlockPlace } from './table-format.ts';

/** Rows that can also be had a batch at a time, without a promise per row. */
export interface BatchedRows extends AsyncIterable<Row> {
  batches(): AsyncGenerator<readonly Row[], void, undefined>;
}

export class TableScan implements BatchedRows {
  readonly #table: Table;
  readonly #root: RowBlock;
  readonly #range: KeyRange;

  constructor(table: Table, root: RowBlock, range: KeyRange) {
    this.#table = table;
    this.#root = root;
    this.#range = range;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    for await (const batch of this.batches()) yield* batch;
  }

  /** The rows of one data block each. */
  async *batches(): AsyncGenerator<readonly Row[], void, undefined> {
    const { from, to } = this.#range;
    this.#table.retain();
    try {
      let aheadBytes = 0;
      let group = from === undefined ? 0 : this.#root.firstAtOrAfter(from);
      for (; group < this.#root.count; group++) {
        const index = await this.#index(group);
        let next = from === undefined ? 0 : index.firstAtOrAfter(from);
        const last = this.#lastBlock(index);
        while (next <= last) {
          const run = runOf(index, next, last, aheadBytes);
          for (const payload of await this.#read(run)) {
            const block = new RowBlock(payload);
            const first = from === undefined ? 0 : block.firstAtOrAfter(from);
            const end = to === undefined ? block.count : block.firstAtOrAfter(to);
            if (first < end) yield block.slice(first, end);
            if (end < block.count) return;
          }
          next += run.length;
          aheadBytes = Math.min(
            LIMITS.scanReadBytes,
            aheadBytes === 0 ? 2 * LIMITS.tableBlockBytes : 2 * aheadBytes,
          );
        }
      }
    } finally {
      this.#table.release();
    }
  }

  /** One row per data block of the group, with its last key. */
  async #index(group: number): Promise<RowBlock> {
    const place = decodeBlockPlace(this.#root.row(group).value, 0);
    return new RowBlock(await this.#table.block(BLOCK_TYPES.tableIndex, place));
  }

  /** The block whose last key is at or after `to` may begin before it; none after that does. */
  #lastBlock(index: RowBlock): number {
    const { to } = this.#range;
    const last = index.count - 1;
    return to === undefined ? last : Math.min(last, index.firstAtOrAfter(to));
  }

  async #read(run: readonly BlockPlace[]): Promise<readonly Buffer[]> {
    const only = run[0] as BlockPlace;
    if (run.length > 1) return this.#table.adjacentBlocks(run);
    return [await this.#table.block(BLOCK_TYPES.tableData, only)];
  }
}

/** The blocks from `start` to `last` that stand behind each other, up to `bytes`, but at least one. */
function runOf(index: RowBlock, start: number, last: number, bytes: number): BlockPlace[] {
  const run: BlockPlace[] = [];
  let total = 0;
  let expected = -1;
  for (let entry = start; entry <= last; entry++) {
    const place = decodeBlockPlace(index.row(entry).value, 0);
    const size = BLOCK_HEADER_BYTES + place.payloadLength;
    if (run.length > 0 && (total + size > bytes || place.position !== expected)) break;
    run.push(place);
    total += size;
    expected = place.position + size;
  }
  return run;
}
