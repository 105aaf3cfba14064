/**
 * The bytes of a damaged extent from what else still has them: the tail buffer, which keeps the
 * newest data of a stream after a checkpoint, and before that the records of the log.
 *
 * Invariants
 * 1. A byte is given out only if it came from one of the two, at exactly its position.
 * 2. The index is made again only when the length of every message is known.
 */
import { isHoldfastError } from '@holdfast/core';
import type { ByteHole, DamagedRow, Operation } from '@holdfast/database';
import { MessageIndexWriter } from './message-run.ts';
import { type AppendData, STREAM_RECORDS, type StreamOperation } from './stream-operations.ts';
import { decodeExtentRow, type StreamExtent } from './stream-rows.ts';
import type { Position } from './position.ts';
import type { Stream } from './stream.ts';

/** For each row one buffer for each hole; `undefined` when a byte of them is nowhere. */
export async function restoreExtents(
  streamOf: (row: DamagedRow) => Stream | undefined,
  rows: readonly DamagedRow[],
  history: () => AsyncIterable<Operation>,
): Promise<(Buffer[] | undefined)[]> {
  const restoring = rows.map((row) => {
    const stream = streamOf(row);
    return stream === undefined ? undefined : new RestoringExtent(stream, row);
  });
  const wanting = new Map<number, RestoringExtent[]>();
  for (const extent of restoring) {
    if (extent === undefined || extent.isEnough) continue;
    const ofStream = wanting.get(extent.stream.id);
    if (ofStream === undefined) wanting.set(extent.stream.id, [extent]);
    else ofStream.push(extent);
  }
  if (wanting.size > 0) await takeRecords(wanting, history);
  return restoring.map((extent) => extent?.cut());
}

async function takeRecords(
  wanting: ReadonlyMap<number, readonly RestoringExtent[]>,
  history: () => AsyncIterable<Operation>,
): Promise<void> {
  try {
    for await (const operation of history()) {
      const record = operation as StreamOperation;
      for (const extent of wanting.get(record.id) ?? []) extent.takeRecord(record);
    }
  } catch (error) {
    // Behind damage in the log nothing can be had; what came before it counts.
    if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
  }
}

class RestoringExtent {
  readonly stream: Stream;
  readonly #extent: StreamExtent;
  readonly #holes: readonly ByteHole[];
  /** Data of the extent; only what is in one of the two ranges is known. */
  readonly #data: Buffer;
  /** From here to the end the tail buffer had it; bytes from the start of the extent. */
  #tailFrom: number;
  /** What the log had: records follow each other without gaps. */
  #logFrom: number;
  #logTo: number;
  /** Length * 2 + endsAppend of the messages before `#tailFrom`, as far as the log had them. */
  readonly #logMessages: number[] = [];
  readonly #tailMessages: number[] = [];

  constructor(stream: Stream, { key, value, holes }: DamagedRow) {
    const extent = decodeExtentRow(key, value);
    this.stream = stream;
    this.#extent = extent;
    this.#holes = holes;
    this.#data = Buffer.alloc(extent.bytes);
    this.#tailFrom = extent.bytes;
    this.#logFrom = extent.bytes;
    this.#logTo = 0;
    this.#takeTail();
  }

  #takeTail(): void {
    const { stream } = this;
    const { firstByte, bytes } = this.#extent;
    const end = firstByte + bytes;
    const from = Math.max(firstByte, stream.tail.first.bytes);
    if (from >= end) return;
    let at = from - firstByte;
    this.#tailFrom = at;
    for (const view of stream.tail.views(from, end)) at += view.copy(this.#data, at);
    let length = 0;
    stream.tail.eachMessage(from, (more, endsAppend) => {
      if (from + length >= end) return;
      length += more;
      this.#tailMessages.push(more * 2 + (endsAppend ? 1 : 0));
    });
  }

  takeRecord(record: StreamOperation): void {
    if (record.type === STREAM_RECORDS.append && record.data !== undefined) {
      this.#takeData(record.first, record.data);
    } else if (record.type === STREAM_RECORDS.create && record.initial !== undefined) {
      this.#takeData(this.stream.base, record.initial);
    }
  }

  #takeData(first: Position, { bytes, lengths }: AppendData): void {
    const start = first.bytes - this.#extent.firstByte;
    const from = Math.max(start, 0);
    const to = Math.min(start + bytes.length, this.#tailFrom);
    if (from >= to) return;
    if (this.#logTo !== 0 && this.#logTo !== from) return; // I1: not where the one before ended
    bytes.copy(this.#data, from, from - start, to - start);
    this.#logFrom = Math.min(this.#logFrom, from);
    this.#logTo = to;
    let at = start;
    for (const [index, length] of lengths.entries()) {
      const endsAppend = index === lengths.length - 1;
      if (at >= from && at < to) this.#logMessages.push(length * 2 + (endsAppend ? 1 : 0));
      at += length;
    }
  }

  get isEnough(): boolean {
    return this.#holes.every((hole) => this.#piece(hole) !== undefined);
  }

  cut(): Buffer[] | undefined {
    const pieces = this.#holes.map((hole) => this.#piece(hole));
    return pieces.every((piece) => piece !== undefined) ? pieces : undefined;
  }

  /** A hole may reach from the data into the index behind it. */
  #piece({ from, to }: ByteHole): Buffer | undefined {
    const { bytes } = this.#extent;
    if (from < bytes && !this.#knows(from, Math.min(to, bytes))) return undefined;
    if (to <= bytes) return this.#data.subarray(from, to);
    const index = this.#index();
    if (index === undefined) return undefined;
    const data = this.#data.subarray(Math.min(from, bytes));
    return Buffer.concat([data, index.subarray(Math.max(0, from - bytes), to - bytes)]);
  }

  #knows(from: number, to: number): boolean {
    if (from >= this.#tailFrom) return true;
    if (from < this.#logFrom) return false;
    return to <= this.#logTo || this.#logTo === this.#tailFrom;
  }

  /** I2. */
  #index(): Buffer | undefined {
    const { messages, ref, bytes } = this.#extent;
    if (!this.#knows(0, bytes)) return undefined;
    const entries = [...this.#logMessages, ...this.#tailMessages];
    if (entries.length !== messages) return undefined;
    const writer = new MessageIndexWriter();
    for (const entry of entries) writer.add(entry >>> 1, (entry & 1) === 1);
    const index = writer.finish();
    return index.length === ref.length - bytes ? index : undefined;
  }
}
