/**
 * Memory for pieces read from disk, used again: a fresh buffer for each piece would keep the
 * garbage collector busier than the disk. Few readers get large pieces, for each read costs a hop
 * to another thread; many get small ones, for memory is bounded.
 *
 * Invariants
 * 1. A buffer is either free or with one taker.
 * 2. At most `MAX_LARGE` large buffers exist, and at most `MAX_FREE` small ones wait to be used.
 */
import { LIMITS } from '@holdfast/core';

/** A large piece is this many times a small one: still one disk read (`fileReadBytes`). */
const LARGE_TIMES = 3;
const MAX_LARGE = 16;
const MAX_FREE = 32;

export interface PieceBuffer {
  readonly bytes: Buffer;
  /** How much of a stream to ask for: the rest is room for the blocks it lies in. */
  readonly pieceBytes: number;
}

export class PieceBuffers {
  readonly #pieceBytes: number;
  readonly #large: PieceBuffer[] = [];
  readonly #small: PieceBuffer[] = [];
  #largeMade = 0;

  /** @param pieceBytes of a small piece. */
  constructor(pieceBytes: number) {
    this.#pieceBytes = Math.max(1, pieceBytes);
  }

  take(): PieceBuffer {
    const free = this.#large.pop();
    if (free !== undefined) return free;
    if (this.#largeMade < MAX_LARGE) {
      this.#largeMade++;
      return make(this.#pieceBytes * LARGE_TIMES);
    }
    return this.#small.pop() ?? make(this.#pieceBytes);
  }

  give(buffer: PieceBuffer): void {
    if (buffer.pieceBytes > this.#pieceBytes) this.#large.push(buffer);
    else if (this.#small.length < MAX_FREE) this.#small.push(buffer);
  }
}

function make(pieceBytes: number): PieceBuffer {
  const bytes = Buffer.allocUnsafeSlow(pieceBytes + 3 * LIMITS.extentBlockBytes);
  return { bytes, pieceBytes };
}
