/** Slices of a stream as they are handed to whoever sends them. */
import type { PieceBuffer, PieceBuffers } from './piece-buffers.ts';
import type { Position } from './position.ts';
import type { StoredMessages } from './stored-messages.ts';
import type { StreamInfo, StreamSlice } from './stream-store.ts';
import type { Stream } from './stream.ts';

/** Bytes of one stream's own data; both ends in bytes of the stream. */
export interface ByteRange {
  readonly stream: Stream;
  readonly from: number;
  to: number;
}

/** All of it is in memory. */
export class MemorySlice implements StreamSlice {
  readonly info: StreamInfo;
  readonly from: Position;
  readonly to: Position;
  readonly upToDate: boolean;
  readonly endOfStream: boolean;
  readonly bytes: readonly Buffer[];

  constructor(
    stream: Stream,
    from: Position,
    to: Position,
    upToDate: boolean,
    bytes: readonly Buffer[],
  ) {
    this.info = stream.info;
    this.from = from;
    this.to = to;
    this.upToDate = upToDate;
    this.endOfStream = upToDate && stream.applied.closed;
    this.bytes = bytes;
  }

  get byteLength(): number {
    return this.to.bytes - this.from.bytes;
  }

  async *pieces(): AsyncIterable<readonly Buffer[]> {
    if (this.bytes.length > 0) yield this.bytes;
  }
}

/** Some of it is on disk: read while it is sent, one piece ahead. */
export class StoredSlice implements StreamSlice {
  readonly info: StreamInfo;
  readonly from: Position;
  readonly to: Position;
  readonly upToDate: boolean;
  readonly endOfStream: boolean;
  readonly #ranges: readonly ByteRange[];
  readonly #stored: StoredMessages;
  readonly #buffers: PieceBuffers;

  constructor(
    stream: Stream,
    slice: { from: Position; to: Position; upToDate: boolean; ranges: readonly ByteRange[] },
    stored: StoredMessages,
    buffers: PieceBuffers,
  ) {
    this.info = stream.info;
    this.from = slice.from;
    this.to = slice.to;
    this.upToDate = slice.upToDate;
    this.endOfStream = slice.upToDate && stream.applied.closed;
    this.#ranges = slice.ranges;
    this.#stored = stored;
    this.#buffers = buffers;
  }

  get byteLength(): number {
    return this.to.bytes - this.from.bytes;
  }

  async *pieces(): AsyncIterable<readonly Buffer[]> {
    // Given back only when the last piece was sent: by then the reads have long ended.
    const taken: PieceBuffer[] = [];
    const reads = this.#reads(taken);
    let ahead = reads.next();
    try {
      for (;;) {
        const piece = await ahead;
        if (piece.done === true) return;
        ahead = reads.next();
        // Its failure is met at the next turn; if the reader leaves before, it is nobody's.
        ahead.catch(() => {});
        yield piece.value;
      }
    } finally {
      await reads.return(undefined).catch(() => {});
      for (const buffer of taken) this.#buffers.give(buffer);
    }
  }

  /** Two buffers in turn: one is sent while the other is read into. A single piece takes one. */
  async *#reads(taken: PieceBuffer[]): AsyncGenerator<readonly Buffer[], void, undefined> {
    let turn = 0;
    for (const range of this.#ranges) {
      let at = range.from;
      while (at < range.to) {
        const into = (taken[turn] ??= this.#buffers.take());
        turn = 1 - turn;
        const views = await this.#stored.read(range.stream, at, range.to, into);
        for (const view of views) at += view.length;
        yield views;
      }
    }
  }
}
