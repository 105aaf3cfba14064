/**
 * What was read or written lately, up to a bound of bytes: what was used longest ago goes first.
 *
 * Invariants
 * 1. `#bytes` is the sum of `#entries`, which are in order of use and hold at most `#maxBytes`.
 */
export class RowCache<Key, Row> {
  readonly #entries = new Map<Key, { readonly row: Row; readonly bytes: number }>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(key: Key): Row | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.row;
  }

  put(key: Key, row: Row, bytes: number): void {
    this.delete(key);
    this.#entries.set(key, { row, bytes });
    this.#bytes += bytes;
    for (const old of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes) return;
      this.delete(old);
    }
  }

  delete(key: Key): void {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0;
    this.#entries.delete(key);
  }
}
