/**
 * Of which records there are rows of floors, and how many floors are in each. The rows themselves stay
 * in the `KvStore`.
 *
 * Invariants
 * 1. `#rows` is in order of age, oldest first; `count` is the sum of its counts.
 */
import type { RecordId } from '../record-key.ts';

export class FloorIndex {
  readonly #rows = new Map<RecordId, number>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  has(record: RecordId): boolean {
    return this.#rows.has(record);
  }

  /** As the youngest one. */
  put(record: RecordId, count: number): void {
    this.remove(record);
    this.#rows.set(record, count);
    this.#count += count;
  }

  remove(record: RecordId): void {
    this.#count -= this.#rows.get(record) ?? 0;
    this.#rows.delete(record);
  }

  /** The oldest that may go, until at most `limit` floors would be left. */
  above(limit: number, may: (record: RecordId) => boolean): RecordId[] {
    const old: RecordId[] = [];
    let left = this.#count;
    for (const [record, count] of this.#rows) {
      if (left <= limit) break;
      if (!may(record)) continue;
      old.push(record);
      left -= count;
    }
    return old;
  }
}
