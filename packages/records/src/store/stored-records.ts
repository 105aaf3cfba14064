/**
 * Records as their rows say, one at a time: reads heads, values and floors, writes and removes whole
 * records, and keeps memory in step with what happened to the rows.
 *
 * Invariants
 * 1. All rows of one change are one batch: a crash leaves the record as it was, or as it became.
 * 2. A batch expects the head at the version that memory knows: nothing is built on what is not there.
 * 3. Memory changes when the batch was acknowledged. After a batch that failed the entry is `uncertain`,
 *    and counted in full, until it is certain that the change came or never will, and the head was
 *    read again; as long as that fails, so does every call that needs the record.
 * 4. Of a record with a row that cannot be read (`#damaged`) no row is touched until it is made anew;
 *    then its floors, from all rows that can be read, are written with it.
 * 5. Whatever is called here for a record is called in a turn of it, but `cached` and `readValue`.
 *
 * Owner: the store, which gives out the turns.
 */
import { hasCode, HoldfastError } from '@holdfast/core';
import type { KvOperation, KvStore } from '@holdfast/kv';
import type { RecordId } from '../record-key.ts';
import type { VerifiedValue } from '../signed-value.ts';
import { mergeFloors } from './decide-values.ts';
import type { FloorIndex } from './floor-index.ts';
import type { RecordIndex } from './record-index.ts';
import {
  bytesOfRecord,
  decodeFloors,
  decodeHead,
  decodeValueRow,
  encodeFloors,
  encodeHead,
  encodeValueRow,
  type FloorMap,
  floorKey,
  headKey,
  storedOf,
  type StoredHead,
  subkeyOfKey,
  valueKey,
  valuePrefix,
} from './record-rows.ts';
import { RowCache } from './row-cache.ts';
import type { RowNumbers } from './row-numbers.ts';
import { isCorrupt, tolerantWalk } from './tolerant-walk.ts';

const NO_FLOORS: FloorMap = new Map();

export interface StoredRecordsParts {
  readonly kv: KvStore;
  readonly index: RecordIndex;
  readonly floors: FloorIndex;
  readonly numbers: RowNumbers;
  /** Records with a row that cannot be read. */
  readonly damaged: Set<RecordId>;
  readonly onDamage: (key: string, error: unknown) => void;
  /** Of heads and of values, each. */
  readonly cacheBytes: number;
}

/** A head with its row, ready to be written. */
export interface PreparedHead {
  readonly head: StoredHead;
  readonly row: Buffer;
  /** Of all rows of the record. */
  readonly bytes: number;
  readonly operations: readonly KvOperation[];
  readonly written: () => void;
}

export class StoredRecords {
  readonly #parts: StoredRecordsParts;
  readonly #heads: RowCache<RecordId, StoredHead>;
  readonly #values: RowCache<string, VerifiedValue>;

  constructor(parts: StoredRecordsParts) {
    this.#parts = parts;
    this.#heads = new RowCache(parts.cacheBytes);
    this.#values = new RowCache(parts.cacheBytes);
  }

  /** What is known without reading; it may be there all the same. */
  cached(record: RecordId): StoredHead | undefined {
    const entry = this.#parts.index.get(record);
    return entry?.uncertain === false ? this.#heads.get(record) : undefined;
  }

  isDamaged(record: RecordId): boolean {
    return this.#parts.damaged.has(record);
  }

  async load(record: RecordId): Promise<StoredHead | undefined> {
    const { kv, index } = this.#parts;
    const entry = index.get(record);
    if (entry === undefined || (entry.version === 0 && !entry.uncertain)) return undefined;
    const cached = this.cached(record);
    if (cached !== undefined) return cached;
    const key = headKey(record);
    if (entry.uncertain) await this.#settle(key);
    try {
      const found = await kv.getEntry(key);
      if (found === undefined) {
        if (!entry.uncertain) throw missing();
        await this.#findFloors(record);
        index.remove(record);
        return undefined;
      }
      const head = decodeHead(record, found.value);
      const bytes = bytesOfRecord(head, Buffer.from(found.value));
      const facts = { version: found.version, bytes, uncertain: false };
      if (head.origin === entry.origin) index.change(record, facts);
      else index.put(record, { ...entry, origin: head.origin, ...facts });
      this.#heads.put(record, head, found.value.length);
      return head;
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      this.#damage(record, key, error);
      return undefined;
    }
  }

  /**
   * I3: once a call for the head was decided, everything that was called for it before has happened,
   * or never will. This one asks for what no store ever has, so it changes nothing.
   */
  async #settle(key: string): Promise<void> {
    try {
      await this.#parts.kv.del(key, { ifVersion: Number.MAX_SAFE_INTEGER });
    } catch (error) {
      if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
    }
  }

  /** As the head counts it; `undefined`: the row has another one now, or cannot be read. */
  async readValue(head: StoredHead, subkey: number): Promise<VerifiedValue | undefined> {
    const value = await this.#tryValue(head, subkey).catch((error: unknown) => {
      if (isCorrupt(error)) return undefined;
      throw error;
    });
    return value;
  }

  /** The same in a turn of the record: what is not as the head counts it is damage. */
  async value(head: StoredHead, subkey: number): Promise<VerifiedValue | undefined> {
    const record = head.descriptor.id;
    try {
      return await this.#tryValue(head, subkey);
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      this.#damage(record, valueKey(record, subkey), error);
      return undefined;
    }
  }

  async #tryValue(head: StoredHead, subkey: number): Promise<VerifiedValue> {
    const record = head.descriptor.id;
    const expected = head.subkeys[subkey];
    const key = valueKey(record, subkey);
    const cached = this.#values.get(key);
    if (cached !== undefined && expected?.digest.equals(cached.digest) === true) return cached;
    const row = await this.#parts.kv.get(key);
    if (row === undefined) throw missing();
    const value = decodeValueRow(record, subkey, row);
    if (expected?.digest.equals(value.digest) !== true) {
      throw new HoldfastError('FORMAT_INVALID', 'a value is not the one that its head counts');
    }
    this.#values.put(key, value, row.length);
    return value;
  }

  /** Of values that are gone, and may be of values that are here. */
  async floorsOf(record: RecordId): Promise<FloorMap> {
    const { kv, floors, onDamage } = this.#parts;
    let found = NO_FLOORS;
    if (floors.has(record)) {
      try {
        const row = await kv.get(floorKey(record));
        if (row !== undefined) found = decodeFloors(record, row).floors;
      } catch (error) {
        if (!isCorrupt(error)) throw error;
        onDamage(floorKey(record), error);
      }
    }
    return this.isDamaged(record) ? this.#floorsInRows(record, found) : found;
  }

  /** I4: what a head says of its values, and what the values say themselves. */
  async #floorsInRows(record: RecordId, floors: FloorMap): Promise<FloorMap> {
    const { kv, onDamage } = this.#parts;
    let found = floors;
    try {
      const row = await kv.get(headKey(record));
      if (row !== undefined) found = mergeFloors(found, storedOf(decodeHead(record, row).subkeys));
    } catch (error) {
      if (!isCorrupt(error)) throw error;
    }
    for await (const { key, value: row } of tolerantWalk(kv, valuePrefix(record), onDamage)) {
      const subkey = subkeyOfKey(key);
      if (subkey === undefined) continue;
      try {
        found = mergeFloors(found, [[subkey, decodeValueRow(record, subkey, row)]]);
      } catch (error) {
        if (!isCorrupt(error)) throw error;
        onDamage(key, error);
      }
    }
    return found;
  }

  /** With a revision of its own. */
  prepare(head: Omit<StoredHead, 'revision'>): PreparedHead {
    const { number, operations, written } = this.#parts.numbers.take();
    return { ...prepared({ ...head, revision: number }), operations, written };
  }

  /** With the revision it has: its values are as they were. */
  prepareAgain(head: StoredHead): PreparedHead {
    return { ...prepared(head), operations: [], written: () => undefined };
  }

  /** False: the record was not as memory knew it; now memory knows. Decide again. */
  async write(
    { head, row, bytes, operations, written }: PreparedHead,
    values: readonly VerifiedValue[],
  ): Promise<boolean> {
    const { index, floors, damaged } = this.#parts;
    const record = head.descriptor.id;
    const puts = values.map((value): KvOperation => ({
      type: 'put',
      key: valueKey(record, value.subkey),
      value: encodeValueRow(value),
    }));
    const anew = damaged.has(record);
    const kept = anew ? await this.#keepFloors(record, NO_FLOORS) : undefined;
    const version = index.get(record)?.version ?? 0;
    const condition = version === 0 ? { ifAbsent: true } : { ifVersion: version };
    const after = await this.#commit(record, [
      { type: 'put', key: headKey(record), value: row, ...(anew ? {} : condition) },
      ...puts,
      ...(kept?.operations ?? []),
      ...operations,
    ]);
    if (after === undefined) return false;
    written();
    kept?.written();
    damaged.delete(record);
    if (kept !== undefined && kept.count > 0) floors.put(record, kept.count);
    const facts = { bytes, version: after, uncertain: false, counted: true };
    index.change(record, { ...facts, touchWrittenAtMs: head.touchedAtMs });
    this.#heads.put(record, head, row.length);
    for (const value of values) {
      this.#values.put(valueKey(record, value.subkey), value, value.blob.length);
    }
    return true;
  }

  /** With all its rows; its floors stay. False as of `write`. */
  async remove(record: RecordId): Promise<boolean> {
    const { index, floors } = this.#parts;
    const head = await this.load(record);
    const entry = index.get(record);
    if (entry === undefined || head === undefined) return true;
    const stored = storedOf(head.subkeys);
    const kept = await this.#keepFloors(record, new Map(stored));
    const gone = await this.#commit(record, [
      { type: 'del', key: headKey(record), ifVersion: entry.version },
      ...stored.map(([subkey]) => ({ type: 'del', key: valueKey(record, subkey) }) as const),
      ...kept.operations,
    ]);
    if (gone === undefined) return false;
    kept.written();
    if (kept.count > 0) floors.put(record, kept.count);
    index.remove(record);
    this.#heads.delete(record);
    for (const [subkey] of stored) this.#values.delete(valueKey(record, subkey));
    return true;
  }

  /** Of a record that went when nobody was told that it did. */
  async #findFloors(record: RecordId): Promise<void> {
    const row = await this.#parts.kv.get(floorKey(record));
    if (row !== undefined) this.#parts.floors.put(record, decodeFloors(record, row).floors.size);
  }

  async dropFloors(record: RecordId): Promise<void> {
    await this.#parts.kv.del(floorKey(record));
    this.#parts.floors.remove(record);
  }

  async #keepFloors(
    record: RecordId,
    more: FloorMap,
  ): Promise<{ count: number; operations: readonly KvOperation[]; written: () => void }> {
    const floors = mergeFloors(await this.floorsOf(record), more);
    if (floors.size === 0) return { count: 0, operations: [], written: () => undefined };
    const { number, operations, written } = this.#parts.numbers.take();
    const value = encodeFloors(record, { age: number, floors });
    const put = { type: 'put', key: floorKey(record), value } as const;
    return { count: floors.size, operations: [put, ...operations], written };
  }

  /** The version of the head after it, which is the first operation; I3. */
  async #commit(record: RecordId, operations: readonly KvOperation[]): Promise<number | undefined> {
    const knownBad = this.isDamaged(record);
    try {
      const acks = await this.#parts.kv.batch(operations);
      return acks[0]?.version ?? 0;
    } catch (error) {
      await this.#restore(record);
      const isNews = isCorrupt(error) && this.isDamaged(record) && !knownBad;
      if (isNews || hasCode(error, 'PRECONDITION_FAILED')) return undefined;
      throw error;
    }
  }

  /** I3: after a write that failed. */
  async #restore(record: RecordId): Promise<void> {
    this.#parts.index.change(record, { uncertain: true, counted: true });
    this.#heads.delete(record);
    await this.load(record).catch(() => undefined);
  }

  #damage(record: RecordId, key: string, error: unknown): void {
    const { index, damaged, onDamage } = this.#parts;
    index.remove(record);
    this.#heads.delete(record);
    damaged.add(record);
    onDamage(key, error);
  }
}

function prepared(head: StoredHead): Pick<PreparedHead, 'head' | 'row' | 'bytes'> {
  const row = encodeHead(head);
  return { head, row, bytes: bytesOfRecord(head, row) };
}

function missing(): HoldfastError {
  return new HoldfastError('FILE_MISSING', 'a row of a record is not there');
}
