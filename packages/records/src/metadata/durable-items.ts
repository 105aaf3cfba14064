/**
 * One item for each record, in memory, and as rows of a `KvStore`.
 *
 * Invariants
 * 1. `set` is seen by `get` at once, and resolves when the item is as durable as the `KvStore` says. Its
 *    rows are written in the order of the calls.
 * 2. A write that failed leaves memory as it was asked for: the next one of the record, or `settle`,
 *    writes what is in memory. Until then a restart may find the older item.
 * 3. `drop` waits for nothing. If it is not at rest when the process ends, the item is there again: so
 *    items are such that to find one that is done costs work, and changes nothing.
 *
 * Owner: `RecordMetadata`. Nobody else writes rows of its prefix.
 */
import type { KvOperation, KvStore } from '@holdfast/kv';
import type { RecordId } from '../record-key.ts';
import type { ItemRows } from './metadata-rows.ts';

export class DurableItems<Item> {
  readonly #kv: KvStore;
  readonly #rows: ItemRows<Item>;
  readonly #items: Map<RecordId, Item>;
  /** Records whose row is perhaps not what is in memory, with the number of its latest write. */
  readonly #unsettled = new Map<RecordId, number>();
  #lastWrite = 0;
  readonly #writes = new Set<Promise<void>>();

  /** @param items as the rows say. */
  constructor(kv: KvStore, rows: ItemRows<Item>, items: Map<RecordId, Item>) {
    this.#kv = kv;
    this.#rows = rows;
    this.#items = items;
  }

  get(record: RecordId): Item | undefined {
    return this.#items.get(record);
  }

  entries(): IterableIterator<[RecordId, Item]> {
    return this.#items.entries();
  }

  get size(): number {
    return this.#items.size;
  }

  /** Is the row what `get` gives? */
  isAtRest(record: RecordId): boolean {
    return !this.#unsettled.has(record);
  }

  /** I1 */
  set(record: RecordId, item: Item): Promise<void> {
    this.#items.set(record, item);
    return this.#write(record);
  }

  /** As `set`, with nothing. I3 */
  drop(record: RecordId): void {
    if (this.#items.delete(record)) void this.#write(record).catch(() => undefined);
  }

  /** As `set`, for an item with less in it. I3 */
  lessen(record: RecordId, item: Item): void {
    void this.set(record, item).catch(() => undefined);
  }

  /** Tries once more what failed; rejects where that fails, too. */
  async settle(): Promise<void> {
    while (this.#writes.size > 0) await Promise.allSettled(this.#writes);
    await Promise.all([...this.#unsettled.keys()].map((record) => this.#write(record)));
  }

  #write(record: RecordId): Promise<void> {
    const number = ++this.#lastWrite;
    this.#unsettled.set(record, number);
    const key = this.#rows.prefix + record;
    const item = this.#items.get(record);
    const operation: KvOperation =
      item === undefined
        ? { type: 'del', key }
        : { type: 'put', key, value: this.#rows.encode(key, item) };
    const done = this.#kv.batch([operation]).then(() => {
      // Made with what is in memory now; an earlier one says nothing.
      if (this.#unsettled.get(record) === number) this.#unsettled.delete(record);
    });
    this.#writes.add(done);
    const forget = (): void => void this.#writes.delete(done);
    done.then(forget, forget);
    return done;
  }
}
