/**
 * The rows that changed since the last checkpoint, in memory.
 *
 * Invariants
 * 1. One row per key, the last one put; a delete leaves a tombstone that hides older tables.
 * 2. `#sorted` plus `#fresh` are all entries; `#sorted` is in key order.
 * 3. A scan sees the rows of the moment `scan` was called, whatever is put afterwards.
 *
 * Keys are held as latin1 strings: one character per byte, so that strings compare exactly
 * as `Buffer.compare` does, without a native call. Keys and values are not copied and must
 * not change.
 */
import type { KeyRange, Row } from './row.ts';

interface Entry {
  readonly id: string;
  row: Row;
}

/** Rough memory of a row beside its bytes: map slot, entry, row and two buffer objects. */
const ROW_OVERHEAD_BYTES = 200;

export class Memtable {
  readonly #entries = new Map<string, Entry>();
  #sorted: Entry[] = [];
  #fresh: Entry[] = [];
  #bytes = 0;

  /** Rows held, tombstones included. */
  get rows(): number {
    return this.#entries.size;
  }

  /** Estimate of the memory held. */
  get bytes(): number {
    return this.#bytes;
  }

  put(key: Buffer, value: Buffer): void {
    this.#set({ key, value });
  }

  delete(key: Buffer): void {
    this.#set({ key, value: undefined });
  }

  /** A row with value `undefined` says that the key is deleted; `undefined` says nothing is known. */
  get(key: Buffer): Row | undefined {
    return this.#entries.get(latin1(key))?.row;
  }

  /** Rows of the range in key order, tombstones included. */
  scan(range: KeyRange = {}): Iterable<Row> {
    this.#sort();
    const first = range.from === undefined ? 0 : this.#firstAtOrAfter(latin1(range.from));
    const end =
      range.to === undefined ? this.#sorted.length : this.#firstAtOrAfter(latin1(range.to));
    const rows: Row[] = [];
    for (let i = first; i < end; i++) rows.push((this.#sorted[i] as Entry).row); // I3
    return rows;
  }

  #set(row: Row): void {
    const id = latin1(row.key);
    const known = this.#entries.get(id);
    if (known !== undefined) {
      this.#bytes += (row.value?.length ?? 0) - (known.row.value?.length ?? 0);
      known.row = row;
      return;
    }
    const entry = { id, row };
    this.#entries.set(id, entry);
    this.#fresh.push(entry);
    this.#bytes += row.key.length + (row.value?.length ?? 0) + ROW_OVERHEAD_BYTES;
  }

  /** Merges the new keys in; what was sorted is copied, not sorted again. */
  #sort(): void {
    if (this.#fresh.length === 0) return;
    const fresh = this.#fresh.sort((a, b) => (a.id < b.id ? -1 : 1));
    this.#fresh = [];
    if (this.#sorted.length === 0) {
      this.#sorted = fresh;
      return;
    }
    const merged: Entry[] = [];
    let copied = 0;
    for (const entry of fresh) {
      const end = this.#firstAtOrAfter(entry.id);
      for (; copied < end; copied++) merged.push(this.#sorted[copied] as Entry);
      merged.push(entry);
    }
    for (; copied < this.#sorted.length; copied++) merged.push(this.#sorted[copied] as Entry);
    this.#sorted = merged;
  }

  #firstAtOrAfter(id: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle] as Entry).id < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function latin1(key: Buffer): string {
  return key.toString('latin1');
}
