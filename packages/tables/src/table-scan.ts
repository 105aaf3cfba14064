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
        const places = await this.#dataBlocks(group);
        for (let next = 0; next < places.length;) {
          const run = runOf(places, next, aheadBytes);
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

  /** Places of the group's data blocks that may hold keys of the range. */
  async #dataBlocks(group: number): Promise<BlockPlace[]> {
    const { from, to } = this.#range;
    const place = decodeBlockPlace(this.#root.row(group).value, 0);
    const index = new RowBlock(await this.#table.block(BLOCK_TYPES.tableIndex, place));
    const places: BlockPlace[] = [];
    const first = from === undefined ? 0 : index.firstAtOrAfter(from);
    // The block whose last key is at or after `to` may begin before it; none after that does.
    const end =
      to === undefined ? index.count : Math.min(index.count, index.firstAtOrAfter(to) + 1);
    for (let entry = first; entry < end; entry++) {
      places.push(decodeBlockPlace(index.row(entry).value, 0));
    }
    return places;
  }

  async #read(run: readonly BlockPlace[]): Promise<readonly Buffer[]> {
    const only = run[0] as BlockPlace;
    if (run.length > 1) return this.#table.adjacentBlocks(run);
    return [await this.#table.block(BLOCK_TYPES.tableData, only)];
  }
}

/** The blocks from `start` that stand behind each other, up to `bytes`, but at least one. */
function runOf(places: readonly BlockPlace[], start: number, bytes: number): BlockPlace[] {
  const run: BlockPlace[] = [];
  let total = 0;
  let expected = -1;
  for (let i = start; i < places.length; i++) {
    const place = places[i] as BlockPlace;
    const size = BLOCK_HEADER_BYTES + place.payloadLength;
    if (run.length > 0 && (total + size > bytes || place.position !== expected)) break;
    run.push(place);
    total += size;
    expected = place.position + size;
  }
  return run;
}
