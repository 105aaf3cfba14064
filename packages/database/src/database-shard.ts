/**
 * One shard: its rows as memtable, frozen memtable and tables, and its way to extents.
 * Owned by the database; engines hold it as `Shard`.
 *
 * Invariants
 * 1. A row is found in the first of memtable, frozen memtable, tables (newest first) that has
 *    its key; a tombstone there ends the search.
 * 2. At most one frozen memtable exists: the next checkpoint waits for the last one.
 * 3. `tables` is replaced, never changed in place: a read keeps the list it started with, and
 *    retains all its tables until it ends.
 */
import { assert, HoldfastError, LIMITS, type ShardId } from '@holdfast/core';
import {
  type ExtentRef,
  hashKey,
  type KeyRange,
  Memtable,
  mergeRowBatches,
  type Row,
  type RowSource,
  type Table,
  UNREAD,
} from '@holdfast/tables';
import type { CollectingShard, StoredRow } from './engine.ts';
import type { ExtentStore } from './extent-store.ts';

const NOWHERE = { value: undefined };

export class DatabaseShard implements CollectingShard {
  readonly id: ShardId;
  /** Something changed since the last collect. */
  dirty = false;
  readonly #extents: ExtentStore;
  #memtable = new Memtable();
  #frozen: Memtable | undefined;
  #tables: readonly Table[] = [];

  constructor(id: ShardId, extents: ExtentStore) {
    this.id = id;
    this.#extents = extents;
  }

  get tables(): readonly Table[] {
    return this.#tables;
  }

  /** @param tables newest first; ownership passes to the shard. */
  setTables(tables: readonly Table[]): void {
    this.#tables = tables;
  }

  getAtHand(key: Buffer): { readonly value: Buffer | undefined } | undefined {
    const recent = this.recentRow(key);
    if (recent !== undefined) return recent;
    if (this.#tables.length === 0) return NOWHERE;
    const hash = hashKey(key);
    for (const table of this.#tables) {
      const row = table.getCached(key, hash);
      if (row === UNREAD) return undefined;
      if (row !== undefined) return row;
    }
    return NOWHERE;
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    const atHand = this.getAtHand(key);
    if (atHand !== undefined) return atHand.value;
    const tables = this.#tables;
    for (const table of tables) table.retain(); // I3: a merge may end while one is read
    try {
      for (const table of tables) {
        const row = await table.get(key);
        if (row !== undefined) return row.value;
      }
      return undefined;
    } finally {
      for (const table of tables) table.release();
    }
  }

  /** The row or tombstone in memory that no table on disk has yet. */
  recentRow(key: Buffer): Row | undefined {
    return this.#memtable.get(key) ?? this.#frozen?.get(key);
  }

  async *scan(range: KeyRange): AsyncGenerator<StoredRow, void, undefined> {
    for await (const batch of this.scanBatches(range)) for (const row of batch) yield row;
  }

  async *scanBatches(range: KeyRange): AsyncGenerator<readonly StoredRow[], void, undefined> {
    const tables = this.#tables;
    for (const table of tables) table.retain();
    try {
      const sources: RowSource[] = [this.#memtable.scan(range)];
      if (this.#frozen !== undefined) sources.push(this.#frozen.scan(range));
      for (const table of tables) sources.push(table.scan(range));
      const batches = mergeRowBatches(sources, { dropTombstones: true, eager: true });
      for await (const batch of batches) yield batch as readonly StoredRow[];
    } finally {
      for (const table of tables) table.release();
    }
  }

  readExtent(ref: ExtentRef, offset: number, length: number, into?: Buffer): Promise<Buffer[]> {
    return this.#extents.read(ref, offset, length, into);
  }

  put(key: Buffer, value: Buffer): void {
    if (key.length > LIMITS.maxRowKeyBytes || value.length > LIMITS.maxRowValueBytes) {
      throw new HoldfastError(
        'RECORD_TOO_LARGE',
        `row is too large keyBytes=${key.length} valueBytes=${value.length}`,
      );
    }
    this.dirty = true;
    this.#memtable.put(key, value);
  }

  delete(key: Buffer): void {
    this.dirty = true;
    this.#memtable.delete(key);
  }

  writeExtent(owner: Buffer, parts: readonly Uint8Array[]): ExtentRef {
    return this.#extents.write(this.id, owner, parts);
  }

  freeExtent(ref: ExtentRef): void {
    this.#extents.free(ref);
  }

  /** Takes the rows of this checkpoint out of the way of later changes. */
  freeze(): Memtable {
    assert(this.#frozen === undefined, 'a shard was frozen twice');
    this.#frozen = this.#memtable;
    this.#memtable = new Memtable();
    this.dirty = false;
    return this.#frozen;
  }

  /** The frozen rows are on disk, in the newest table of `tables` if there were any. */
  thaw(tables: readonly Table[]): void {
    this.#tables = tables;
    this.#frozen = undefined;
  }
}
