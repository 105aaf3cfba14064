/**
 * The newest messages of one stream in memory: everything since the last checkpoint, and what
 * the tail cache lets it keep of what is already in extents. Owned by its `Stream`.
 *
 * Invariants
 * 1. Chunks are consecutive; the last one ends at the stream's applied tail.
 * 2. Bytes once given out as views never change: a chunk only grows behind its length.
 * 3. Small appends are copied together, so that a reader gets few views and a request's
 *    buffer is not kept alive by a few bytes of it; large ones are kept as they came.
 */
import { assert } from '@holdfast/core';
import { countEndingBy, type MessageRun, startOf } from './message-run.ts';
import type { Position } from './position.ts';
import type { AppendData } from './stream-operations.ts';

/** From this size on an append is its own chunk, without a copy. */
const ADOPT_BYTES = 4096;
const FIRST_CHUNK_BYTES = 128;
const MAX_CHUNK_BYTES = 64 * 1024;
const MAX_CHUNK_MESSAGES = 8192;
/** A view may keep at most this many times its size alive. */
const MAX_ADOPTED_WASTE = 4;

class TailChunk implements MessageRun {
  readonly firstMessage: number;
  readonly firstByte: number;
  readonly #bytes: Buffer;
  /** End * 2 + endsAppend. */
  readonly #ends: number[] = [];
  byteLength = 0;

  constructor(first: Position, bytes: Buffer) {
    this.firstMessage = first.messages;
    this.firstByte = first.bytes;
    this.#bytes = bytes;
  }

  get count(): number {
    return this.#ends.length;
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  get cost(): number {
    return this.#bytes.length + 8 * this.#ends.length + 64;
  }

  get endByte(): number {
    return this.firstByte + this.byteLength;
  }

  endOf(index: number): number {
    return (this.#ends[index] as number) >>> 1;
  }

  endsAppend(index: number): boolean {
    return ((this.#ends[index] as number) & 1) === 1;
  }

  hasRoomFor(data: AppendData): boolean {
    return (
      data.bytes.length <= this.#bytes.length - this.byteLength &&
      this.#ends.length < MAX_CHUNK_MESSAGES
    );
  }

  copy(data: AppendData): void {
    data.bytes.copy(this.#bytes, this.byteLength);
    this.index(data);
  }

  /** The bytes already stand in the chunk. */
  index(data: AppendData): void {
    const { lengths } = data;
    const last = lengths.length - 1;
    let end = this.byteLength;
    for (let i = 0; i < last; i++) {
      end += lengths[i] as number;
      this.#ends.push(end * 2);
    }
    end += lengths[last] as number;
    this.#ends.push(end * 2 + 1);
    this.byteLength = end;
  }

  /** A view; both in bytes of the stream. */
  view(from: number, to: number): Buffer {
    return this.#bytes.subarray(from - this.firstByte, to - this.firstByte);
  }
}

export class TailBuffer {
  #chunks: TailChunk[] = [];
  #first: Position;

  /** @param first where the bytes in memory begin: the tail, since there are none yet. */
  constructor(first: Position) {
    this.#first = first;
  }

  /** Where the messages in memory begin. */
  get first(): Position {
    return this.#first;
  }

  /** @param first the tail before; invariant 1. */
  append(first: Position, data: AppendData): void {
    const { bytes } = data;
    const last = this.#chunks.at(-1);
    if (bytes.length >= ADOPT_BYTES) {
      const wasteful = bytes.buffer.byteLength > bytes.length * MAX_ADOPTED_WASTE;
      const chunk = new TailChunk(first, wasteful ? Buffer.from(bytes) : bytes);
      chunk.index(data);
      this.#chunks.push(chunk);
    } else if (last?.hasRoomFor(data)) {
      last.copy(data);
    } else {
      const doubled = Math.min((last?.capacity ?? 0) * 2, MAX_CHUNK_BYTES);
      const capacity = Math.max(bytes.length, doubled, FIRST_CHUNK_BYTES);
      const chunk = new TailChunk(first, Buffer.allocUnsafe(capacity));
      chunk.copy(data);
      this.#chunks.push(chunk);
    }
  }

  /** The run that holds `message`, if it is in memory. */
  runOf(message: number): MessageRun | undefined {
    const chunk = this.#chunks[this.#indexBy((candidate) => candidate.firstMessage <= message)];
    if (chunk === undefined || message >= chunk.firstMessage + chunk.count) return undefined;
    return chunk;
  }

  /** Consecutive views of a range that is in memory; both in bytes of the stream. */
  views(from: number, to: number): Buffer[] {
    const views: Buffer[] = [];
    let at = from;
    let index = this.#indexBy((candidate) => candidate.firstByte <= from);
    while (at < to) {
      const chunk = this.#chunks[index++];
      assert(
        chunk !== undefined && at >= chunk.firstByte,
        'tail buffer lacks bytes it should have',
      );
      const end = Math.min(to, chunk.endByte);
      views.push(chunk.view(at, end));
      at = end;
    }
    return views;
  }

  /** Walks the messages from byte `from` on, which must be a boundary in memory. */
  eachMessage(from: number, visit: (length: number, endsAppend: boolean) => void): void {
    let index = Math.max(
      0,
      this.#indexBy((candidate) => candidate.firstByte <= from),
    );
    for (; index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index] as TailChunk;
      const skip = Math.max(0, from - chunk.firstByte);
      for (let i = countEndingBy(chunk, skip); i < chunk.count; i++) {
        visit(chunk.endOf(i) - startOf(chunk, i), chunk.endsAppend(i));
      }
    }
  }

  /** Memory held by chunks that lie wholly before byte `before`. */
  costBefore(before: number): number {
    let cost = 0;
    for (const chunk of this.#chunks) {
      if (chunk.endByte > before) break;
      cost += chunk.cost;
    }
    return cost;
  }

  /** Drops the oldest chunks wholly before `before` until those left of them cost at most `keep`. */
  dropBefore(before: number, keep: number): void {
    let cost = this.costBefore(before);
    let dropped = 0;
    for (const chunk of this.#chunks) {
      if (cost <= keep || chunk.endByte > before) break;
      cost -= chunk.cost;
      dropped++;
      this.#first = { messages: chunk.firstMessage + chunk.count, bytes: chunk.endByte };
    }
    if (dropped > 0) this.#chunks = this.#chunks.slice(dropped);
  }

  /** Last chunk for which `holds`, which is true for a prefix of them; -1: none. */
  #indexBy(holds: (chunk: TailChunk) => boolean): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (holds(this.#chunks[middle] as TailChunk)) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
