import { expect, it } from 'vitest';
import { PieceBuffers, type PieceBuffer } from './piece-buffers.ts';
import type { Position } from './position.ts';
import type { StoredMessages } from './stored-messages.ts';
import { StoredSlice } from './stream-slice.ts';
import type { Stream } from './stream.ts';

const PIECE_BYTES = 10;
const at = (bytes: number): Position => ({ messages: bytes, bytes });

/** A slice of `length` bytes, each piece the memory it was read into. */
function sliceOf(length: number, buffers: PieceBuffers): StoredSlice {
  const stored = {
    read: async (_: Stream, from: number, to: number, into: PieceBuffer) => [
      into.bytes.subarray(0, Math.min(PIECE_BYTES, to - from)),
    ],
  } as unknown as StoredMessages;
  const stream = { info: {}, applied: { closed: false } } as unknown as Stream;
  const ranges = [{ stream, from: 0, to: length }];
  const slice = { from: at(0), to: at(length), upToDate: true, ranges };
  return new StoredSlice(stream, slice, stored, buffers);
}

it.each([1, 2, 3, 4])(
  "memory of %i pieces is nobody else's while any of them is being sent",
  async (count) => {
    const buffers = new PieceBuffers(PIECE_BYTES);
    const pieces = sliceOf(count * PIECE_BYTES, buffers)
      .pieces()
      [Symbol.asyncIterator]();
    for (let n = 0; n < count; n++) {
      const { value } = (await pieces.next()) as { value: readonly Buffer[] };
      await new Promise((resolve) => setImmediate(resolve)); // whatever is read ahead has been
      const others = Array.from({ length: 4 }, () => buffers.take());
      const memory = others.map(({ bytes }) => bytes.buffer);
      expect(memory, `piece ${n}`).not.toContain(value[0]?.buffer);
      for (const other of others) buffers.give(other);
    }
    expect((await pieces.next()).done).toBe(true);
  },
);

it('memory is free again when the last piece was sent, or the reader left', async () => {
  for (const leaves of [false, true]) {
    const buffers = new PieceBuffers(PIECE_BYTES);
    const used = new Set<ArrayBufferLike>();
    for await (const [piece] of sliceOf(3 * PIECE_BYTES, buffers).pieces()) {
      used.add((piece as Buffer).buffer);
      if (leaves) break;
    }
    const again = [buffers.take(), buffers.take()].map(({ bytes }) => bytes.buffer);
    for (const memory of used) expect(again).toContain(memory);
  }
});
