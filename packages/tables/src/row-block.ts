/**
 * Rows in one payload, found by binary search. Data blocks and index blocks share this
 * layout. FORMAT.md, "Table".
 *
 * | size | field |
 * | --- | --- |
 * | per row | key length u16, value length + 1 as u32 (0 = tombstone), key, value |
 * | 4 each | where each row begins, u32, in key order |
 * | 4 | number of rows, u32 |
 *
 * Keys stand whole, without prefix compression: rows read back are views of the block and
 * a search compares in place, both without an allocation. The price is some disk space.
 *
 * Every position inside is checked before use, although the block's checksum held: a
 * payload that does not follow the layout is `FORMAT_INVALID`.
 */
import { HoldfastError } from '@holdfast/core';
import { compareWithin } from './key-order.ts';
import type { Row } from './row.ts';

const ROW_HEADER_BYTES = 6;
const OFFSET_BYTES = 4;
const COUNT_BYTES = 4;

export class RowBlockBuilder {
  #buffer: Buffer;
  #used = 0;
  #starts: number[] = [];

  constructor(expectedBytes: number) {
    this.#buffer = Buffer.allocUnsafe(expectedBytes);
  }

  get rows(): number {
    return this.#starts.length;
  }

  /** Payload size if it were finished now. */
  get bytes(): number {
    return this.#used + this.#starts.length * OFFSET_BYTES + COUNT_BYTES;
  }

  /** What `row` would add to `bytes`. */
  static rowBytes(row: Row): number {
    return ROW_HEADER_BYTES + row.key.length + (row.value?.length ?? 0) + OFFSET_BYTES;
  }

  add(key: Buffer, value: Buffer | undefined): void {
    const at = this.#used;
    const valueLength = value?.length ?? 0;
    const end = at + ROW_HEADER_BYTES + key.length + valueLength;
    this.#reserve(end);
    const buffer = this.#buffer;
    buffer.writeUInt16LE(key.length, at);
    buffer.writeUInt32LE(value === undefined ? 0 : valueLength + 1, at + 2);
    buffer.set(key, at + ROW_HEADER_BYTES);
    if (value !== undefined) buffer.set(value, at + ROW_HEADER_BYTES + key.length);
    this.#starts.push(at);
    this.#used = end;
  }

  /** A copy of the payload; the builder is empty again. */
  finish(): Buffer {
    const payload = Buffer.allocUnsafe(this.bytes);
    this.#buffer.copy(payload, 0, 0, this.#used);
    let at = this.#used;
    for (const start of this.#starts) at = payload.writeUInt32LE(start, at);
    payload.writeUInt32LE(this.#starts.length, at);
    this.#used = 0;
    this.#starts = [];
    return payload;
  }

  #reserve(end: number): void {
    if (end <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(end, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#used);
    this.#buffer = grown;
  }
}

export class RowBlock {
  readonly count: number;
  readonly #payload: Buffer;
  /** Where the rows end and their starts begin. */
  readonly #startsAt: number;

  constructor(payload: Buffer) {
    if (payload.length < COUNT_BYTES) throw invalid('it is too short');
    const countAt = payload.length - COUNT_BYTES;
    const count = payload.readUInt32LE(countAt);
    if (count > countAt / OFFSET_BYTES) throw invalid('it counts more rows than fit');
    this.count = count;
    this.#payload = payload;
    this.#startsAt = countAt - count * OFFSET_BYTES;
  }

  /** Key and value are views of the block. */
  row(index: number): Row {
    const start = this.#start(index);
    const keyAt = start + ROW_HEADER_BYTES;
    const valueAt = this.#keyEnd(start);
    const marked = this.#payload.readUInt32LE(start + 2);
    if (marked === 0) return { key: this.#payload.subarray(keyAt, valueAt), value: undefined };
    const end = valueAt + marked - 1;
    if (end > this.#startsAt) throw invalid('a value reaches outside');
    return {
      key: this.#payload.subarray(keyAt, valueAt),
      value: this.#payload.subarray(valueAt, end),
    };
  }

  /** Index of the first row whose key is not below `key`; `count` when there is none. */
  firstAtOrAfter(key: Buffer): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compareKey(middle, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  get(key: Buffer): Row | undefined {
    const index = this.firstAtOrAfter(key);
    if (index === this.count || this.#compareKey(index, key) !== 0) return undefined;
    return this.row(index);
  }

  /** Rows `from` to `to - 1`. */
  slice(from: number, to: number): Row[] {
    const rows: Row[] = [];
    for (let index = from; index < to; index++) rows.push(this.row(index));
    return rows;
  }

  #compareKey(index: number, key: Buffer): number {
    const start = this.#start(index);
    return compareWithin(this.#payload, start + ROW_HEADER_BYTES, this.#keyEnd(start), key);
  }

  #start(index: number): number {
    const start = this.#payload.readUInt32LE(this.#startsAt + index * OFFSET_BYTES);
    if (start + ROW_HEADER_BYTES > this.#startsAt) throw invalid('a row begins outside');
    return start;
  }

  #keyEnd(start: number): number {
    const end = start + ROW_HEADER_BYTES + this.#payload.readUInt16LE(start);
    if (end > this.#startsAt) throw invalid('a key reaches outside');
    return end;
  }
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `block of rows cannot be decoded: ${what}`);
}
