/**
 * Memory for pieces read from disk, used again: a large buffer for each piece would keep the
 * garbage collector busier than the disk.
 *
 * Invariants
 * 1. A buffer is either free or with one taker.
 * 2. At most `MAX_FREE` are kept; what comes back beyond is left to the collector.
 */
import { LIMITS } from '@holdfast/core';

const MAX_FREE = 32;

export class PieceBuffers {
  readonly #bytes: number;
  readonly #free: Buffer[] = [];

  /** @param pieceBytes of one piece; a buffer also has room for the blocks it lies in. */
  constructor(pieceBytes: number) {
    this.#bytes = pieceBytes + 3 * LIMITS.extentBlockBytes;
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bytes);
  }

  give(buffer: Buffer): void {
    if (this.#free.length < MAX_FREE) this.#free.push(buffer);
  }
}
