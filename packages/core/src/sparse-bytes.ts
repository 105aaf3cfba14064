/**
 * The bytes of one file in memory, in pages; a page of zeros takes no memory.
 *
 * Invariants
 * 1. An absent page reads as zeros.
 * 2. Bytes of a page at and beyond `size` are zero, so that growing again shows zeros.
 * 3. Memory is proportional to the pages that were ever written with something but zeros.
 */
const PAGE_BYTES = 16 * 1024;
const ZERO_PAGE: Buffer = Buffer.alloc(PAGE_BYTES);

export class SparseBytes {
  readonly #pages = new Map<number, Buffer>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Bytes of memory held by pages. */
  get residentBytes(): number {
    return this.#pages.size * PAGE_BYTES;
  }

  /** Fills `target` from `position`; returns the bytes read, fewer only at the end. */
  read(target: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(target.length, this.#size - position));
    let done = 0;
    while (done < length) {
      const at = position + done;
      const offset = at % PAGE_BYTES;
      const piece = Math.min(PAGE_BYTES - offset, length - done);
      const page = this.#pages.get((at - offset) / PAGE_BYTES);
      if (page === undefined) target.fill(0, done, done + piece);
      else target.set(page.subarray(offset, offset + piece), done);
      done += piece;
    }
    return length;
  }

  /** Copies `bytes` to `position`; a gap before it reads as zeros. */
  write(bytes: Uint8Array, position: number): void {
    let done = 0;
    while (done < bytes.length) {
      const at = position + done;
      const offset = at % PAGE_BYTES;
      const piece = Math.min(PAGE_BYTES - offset, bytes.length - done);
      this.#writePage((at - offset) / PAGE_BYTES, offset, bytes.subarray(done, done + piece));
      done += piece;
    }
    if (bytes.length > 0) this.#size = Math.max(this.#size, position + bytes.length);
  }

  truncate(size: number): void {
    if (size < this.#size) {
      const kept = Math.ceil(size / PAGE_BYTES);
      for (const index of this.#pages.keys()) if (index >= kept) this.#pages.delete(index);
      if (size % PAGE_BYTES !== 0) this.#pages.get(kept - 1)?.fill(0, size % PAGE_BYTES); // I2
    }
    this.#size = size;
  }

  #writePage(index: number, offset: number, piece: Uint8Array): void {
    let page = this.#pages.get(index);
    if (page === undefined) {
      if (isZero(piece)) return; // I3
      page = Buffer.alloc(PAGE_BYTES);
      this.#pages.set(index, page);
    } else if (piece.length === PAGE_BYTES && isZero(piece)) {
      this.#pages.delete(index);
      return;
    }
    page.set(piece, offset);
  }
}

function isZero(bytes: Uint8Array): boolean {
  return bytes[0] === 0 && Buffer.compare(bytes, ZERO_PAGE.subarray(0, bytes.length)) === 0;
}
