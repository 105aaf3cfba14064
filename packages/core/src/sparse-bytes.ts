/**
 * The bytes of one file in memory, in pages; a page of zeros takes no memory.
 *
 * Invariants
 * 1. An absent page reads as zeros.
 * 2. Bytes of a page at and beyond `size` are zero, so that growing again shows zeros.
 * 3. Memory is proportional to the pages that were ever written with something but zeros.
 */
const DEFAULT_PAGE_BYTES = 16 * 1024;
const ZEROS: Buffer = Buffer.alloc(DEFAULT_PAGE_BYTES);

export class SparseBytes {
  readonly #pages = new Map<number, Buffer>();
  readonly #pageBytes: number;
  #size = 0;

  /** @param pageBytes smaller pages suit many small files. */
  constructor(pageBytes: number = DEFAULT_PAGE_BYTES) {
    this.#pageBytes = pageBytes;
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of memory held by pages. */
  get residentBytes(): number {
    return this.#pages.size * this.#pageBytes;
  }

  /** Fills `target` from `position`; returns the bytes read, fewer only at the end. */
  read(target: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(target.length, this.#size - position));
    let done = 0;
    while (done < length) {
      const at = position + done;
      const offset = at % this.#pageBytes;
      const piece = Math.min(this.#pageBytes - offset, length - done);
      const page = this.#pages.get((at - offset) / this.#pageBytes);
      if (page === undefined) target.fill(0, done, done + piece);
      else page.copy(target, done, offset, offset + piece);
      done += piece;
    }
    return length;
  }

  /** Copies `bytes` to `position`; a gap before it reads as zeros. */
  write(bytes: Uint8Array, position: number): void {
    let done = 0;
    while (done < bytes.length) {
      const at = position + done;
      const offset = at % this.#pageBytes;
      const piece = Math.min(this.#pageBytes - offset, bytes.length - done);
      this.#writePage((at - offset) / this.#pageBytes, offset, bytes.subarray(done, done + piece));
      done += piece;
    }
    if (bytes.length > 0) this.#size = Math.max(this.#size, position + bytes.length);
  }

  truncate(size: number): void {
    if (size < this.#size) {
      const kept = Math.ceil(size / this.#pageBytes);
      for (const index of this.#pages.keys()) if (index >= kept) this.#pages.delete(index);
      if (size % this.#pageBytes !== 0) this.#pages.get(kept - 1)?.fill(0, size % this.#pageBytes); // I2
    }
    this.#size = size;
  }

  /** An independent copy. */
  clone(): SparseBytes {
    const copy = new SparseBytes(this.#pageBytes);
    copy.#size = this.#size;
    for (const [index, page] of this.#pages) copy.#pages.set(index, Buffer.from(page));
    return copy;
  }

  #writePage(index: number, offset: number, piece: Uint8Array): void {
    let page = this.#pages.get(index);
    if (page === undefined) {
      if (isZero(piece)) return; // I3
      page = Buffer.alloc(this.#pageBytes);
      this.#pages.set(index, page);
    } else if (piece.length === this.#pageBytes && isZero(piece)) {
      this.#pages.delete(index);
      return;
    }
    page.set(piece, offset);
  }
}

export function isZero(bytes: Uint8Array): boolean {
  if (bytes.length > 0 && bytes[0] !== 0) return false;
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const piece = bytes.subarray(at, at + ZEROS.length);
    if (Buffer.compare(piece, ZEROS.subarray(0, piece.length)) !== 0) return false;
  }
  return true;
}
