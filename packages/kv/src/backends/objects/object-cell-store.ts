/**
 * Cells as objects: FORMAT.md, "Entries in an object store".
 *
 * ```
 * head                        see writer-head.ts
 * e/<name of key>             an entry; or its tombstone: u8 0, varint number, u32 CRC-32C
 * o/<number>/<name of key>    it was created with this version; numbers fall
 * x/<number>/<name of key>    it expires then
 * t/<number>/<name of key>    it was deleted then
 * ```
 *
 * Invariants
 * 1. An entry is replaced and deleted only by a put that names what is replaced. A deleted entry is a
 *    tombstone, until that is older than any request: a late delete would hit what came after it.
 *    Where nobody else can write (`sole`) there are none.
 * 2. What is at `o/`, `x/` and `t/` is made before what it names, and goes after it: a crash leaves
 *    too many of them, never too few.
 * 3. The body of an object is unlike any before of its name, as a number in it says: so are etags.
 */
import { hasCode, HoldfastError, LIMITS } from '@holdfast/core';
import type { ObjectStore } from '@holdfast/objects';
import type { EntryFacts } from '../../decide-write.ts';
import type { CreatedPlace, KeyInterval } from '../../kv-backend.ts';
import { compareKeys } from '../../kv-key.ts';
import type { KvCapabilities } from '../../kv-store.ts';
import type { Cell, CellStore, CellThere, InTurn } from '../cell/cell-store.ts';
import type { CallGate } from '../call-gate.ts';
import { factsOrDamage, MAX_ENVELOPE_BYTES, openEntry } from '../stored-entry.ts';
import type { DueEntries, RowsWanted, TableRow } from '../table/entry-table.ts';
import {
  keyOf,
  MAX_NAMED_KEY_BYTES,
  nameBefore,
  nameOf,
  numberName,
  numberOfName,
  numberOfReverseName,
  reverseNumberName,
} from './entry-names.ts';
import {
  encodeTombstone,
  isBehind,
  isTombstone,
  type Place,
  placeOf,
  placesOf,
} from './object-places.ts';
import { walkObjects } from './object-walk.ts';

const HEAD = 'head';
const PLACE = Buffer.from([0]);
/** Entries read beside each other where their size is not known before. */
const READ_AHEAD = 16;
const FORWARDS = { reverse: false, pageEntries: LIMITS.scannedEntries } as const;
const MAX_OBJECT_BYTES = LIMITS.maxEntryValueBytes + MAX_ENVELOPE_BYTES;

export interface ObjectCellSettings {
  /** Nobody else can open the store. */
  readonly sole: boolean;
  readonly durability: KvCapabilities['durability'];
}

interface ObjectCellComponents {
  readonly objects: ObjectStore;
  readonly gate: CallGate;
  readonly nowMs: () => number;
  /** After the last call. */
  readonly close: () => Promise<void>;
}

export class ObjectCellStore implements CellStore {
  readonly capabilities: KvCapabilities;
  readonly #objects: ObjectStore;
  readonly #gate: CallGate;
  readonly #nowMs: () => number;
  readonly #close: () => Promise<void>;
  readonly #sole: boolean;

  constructor(components: ObjectCellComponents, settings: ObjectCellSettings) {
    this.#objects = components.objects;
    this.#gate = components.gate;
    this.#nowMs = components.nowMs;
    this.#close = components.close;
    this.#sole = settings.sole;
    const { ifAbsent, ifMatch, maxConditionalBytes } = components.objects.capabilities;
    if (!ifAbsent || !ifMatch) {
      throw new HoldfastError(
        'OBJECT_STORE_UNSUPPORTED',
        'the object store does not put with conditions: it cannot hold entries',
      );
    }
    this.capabilities = {
      atomicBatch: false,
      compareAndSet: true,
      createdOrder: true,
      ttl: true,
      watch: false,
      stamps: true,
      anyText: true,
      durability: settings.durability,
      evicts: false,
      retries: false,
      maxKeyBytes: MAX_NAMED_KEY_BYTES,
      maxValueBytes: Math.min(LIMITS.maxEntryValueBytes, maxConditionalBytes - MAX_ENVELOPE_BYTES),
      maxBatchOperations: 1,
      maxBatchBytes: LIMITS.maxEntryBatchBytes,
    };
  }

  readHead(): Promise<Cell | undefined> {
    return this.#read(HEAD);
  }

  writeHead(bytes: Buffer, tag: string | undefined): Promise<boolean> {
    return this.#putWhere(HEAD, bytes, tag);
  }

  async read(key: string): Promise<Cell | undefined> {
    const cell = await this.#read(`e/${nameOf(key)}`);
    return cell?.bytes !== undefined && isTombstone(cell.bytes)
      ? { ...cell, bytes: undefined }
      : cell;
  }

  async put(
    key: string,
    bytes: Buffer,
    facts: EntryFacts,
    there: CellThere | undefined,
  ): Promise<boolean> {
    const places = placesOf(key, facts);
    const before = there?.facts === undefined ? [] : placesOf(key, there.facts);
    const come = places.filter((place) => !before.includes(place));
    const go = before.filter((place) => !places.includes(place));
    await Promise.all(come.map((place) => this.#mark(place))); // I2
    if (!(await this.#putWhere(`e/${nameOf(key)}`, bytes, there?.tag))) return false;
    await this.#unmarkAll(go);
    return true;
  }

  async remove(key: string, there: CellThere, version: number): Promise<boolean> {
    const name = nameOf(key);
    if (this.#sole) {
      await this.#gate.run(() => this.#objects.delete(`e/${name}`), 'unknown');
    } else {
      await this.#mark(`t/${numberName(this.#nowMs())}/${name}`);
      const tombstone = encodeTombstone(version); // I3
      if (!(await this.#putWhere(`e/${name}`, tombstone, there.tag))) return false; // I1
    }
    await this.#unmarkAll(there.facts === undefined ? [] : placesOf(key, there.facts));
    return true;
  }

  async *range(
    { from, to }: KeyInterval,
    { reverse, entries, bytes }: RowsWanted,
  ): AsyncGenerator<readonly TableRow[], void, undefined> {
    const stretch = {
      prefix: 'e/',
      after: `e/${nameBefore(from)}`,
      below: to === undefined ? undefined : `e/${nameBefore(to)}`,
    };
    const pages = walkObjects(this.#objects, stretch, { reverse, pageEntries: entries });
    for await (const page of pages) {
      let keys: string[] = [];
      let size = 0;
      for (const object of page) {
        const key = keyOf(object.key.slice(2));
        if (key === undefined) continue;
        size += object.size;
        if (keys.length > 0 && (size > bytes || keys.length >= entries)) {
          yield await this.#rows(keys);
          keys = [];
          size = object.size;
        }
        keys.push(key);
      }
      if (keys.length > 0) yield await this.#rows(keys);
    }
  }

  async *created(
    behind: CreatedPlace | undefined,
    { reverse, entries }: RowsWanted,
  ): AsyncGenerator<readonly TableRow[], void, undefined> {
    const most = Math.min(entries, READ_AHEAD);
    let places: Place[] = [];
    for await (const place of this.#createdPlaces(behind, reverse)) {
      places.push(place);
      if (places.length < most) continue;
      yield await this.#createdRows(places);
      places = [];
    }
    if (places.length > 0) yield await this.#createdRows(places);
  }

  async due(nowMs: number, limit: number): Promise<DueEntries> {
    const keys: string[] = [];
    const stretch = { prefix: 'x/', after: undefined, below: undefined };
    for await (const page of walkObjects(this.#objects, stretch, FORWARDS)) {
      for (const { key: name } of page) {
        const place = placeOf(name, numberOfName);
        if (place === undefined) continue;
        if (place.number > nowMs || keys.length >= limit) return { keys, nextMs: place.number };
        const bytes = (await this.read(place.key))?.bytes;
        const facts =
          bytes === undefined ? undefined : factsOrDamage(() => openEntry(place.key, bytes));
        const isDue = facts !== undefined && 'seq' in facts && facts.expiresAtMs === place.number;
        if (isDue) keys.push(place.key);
        else await this.#unmark(name);
      }
    }
    return { keys, nextMs: undefined };
  }

  async sweep(nowMs: number, inTurn: InTurn): Promise<void> {
    const below = `t/${numberName(Math.max(0, nowMs - LIMITS.tombstoneMs))}`;
    const stretch = { prefix: 't/', after: undefined, below };
    for await (const page of walkObjects(this.#objects, stretch, FORWARDS)) {
      for (const { key: name } of page) {
        const place = placeOf(name, numberOfName);
        if (place === undefined) continue;
        await inTurn(place.key, async () => {
          const cell = await this.read(place.key);
          const object = `e/${nameOf(place.key)}`;
          if (cell !== undefined && cell.bytes === undefined) await this.#unmark(object);
          await this.#unmark(name);
        });
      }
    }
  }

  close(): Promise<void> {
    return this.#close();
  }

  /** In order; within one number in that of keys. */
  async *#createdPlaces(
    behind: CreatedPlace | undefined,
    reverse: boolean,
  ): AsyncGenerator<Place, void, undefined> {
    const at = behind === undefined ? undefined : `o/${reverseNumberName(behind.seq)}`;
    const stretch = reverse
      ? { prefix: 'o/', after: undefined, below: at === undefined ? undefined : `${at}0` }
      : { prefix: 'o/', after: at, below: undefined };
    const way = { reverse, pageEntries: LIMITS.scannedEntries };
    let group: Place[] = [];
    const sorted = (): Place[] => {
      const inOrder = group.toSorted((a, b) => compareKeys(a.key, b.key));
      if (!reverse) inOrder.reverse();
      return inOrder.filter((place) => isBehind(place, behind, reverse));
    };
    for await (const page of walkObjects(this.#objects, stretch, way)) {
      for (const { key: name } of page) {
        const place = placeOf(name, numberOfReverseName);
        if (place === undefined) continue;
        if (group[0] !== undefined && group[0].number !== place.number) {
          yield* sorted();
          group = [];
        }
        group.push(place);
      }
    }
    yield* sorted();
  }

  /** Of the places that an entry has: what is left of an earlier one of its key has no row. */
  async #createdRows(places: readonly Place[]): Promise<TableRow[]> {
    const cells = await Promise.all(places.map(({ key }) => this.read(key)));
    return places.flatMap(({ key, number }, at) => {
      const bytes = cells[at]?.bytes;
      if (bytes === undefined || openEntry(key, bytes).seq !== number) return [];
      return [{ key, bytes }];
    });
  }

  /** Of the keys that have an entry, in their order. */
  async #rows(keys: readonly string[]): Promise<TableRow[]> {
    const cells = await Promise.all(keys.map((key) => this.read(key)));
    return keys.flatMap((key, at) => {
      const bytes = cells[at]?.bytes;
      return bytes === undefined ? [] : [{ key, bytes }];
    });
  }

  #read(name: string): Promise<Cell | undefined> {
    return this.#gate.run(async () => {
      try {
        return await this.#get(name);
      } catch (error) {
        if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined;
        throw error;
      }
    });
  }

  async #get(name: string): Promise<Cell> {
    const content = await this.#objects.get(name);
    if (content.size > MAX_OBJECT_BYTES) {
      await content.close();
      throw new HoldfastError('CHECKSUM_MISMATCH', 'an object is larger than any entry');
    }
    const bytes = Buffer.allocUnsafeSlow(content.length);
    let filled = 0;
    for await (const piece of content.body) filled += piece.copy(bytes, filled);
    return { tag: content.etag, bytes };
  }

  async #putWhere(name: string, bytes: Buffer, tag: string | undefined): Promise<boolean> {
    const condition = tag === undefined ? { ifAbsent: true } : { ifMatch: tag };
    try {
      await this.#gate.run(() => this.#objects.put(name, bytes, condition), 'unknown');
      return true;
    } catch (error) {
      if (hasCode(error, 'PRECONDITION_FAILED')) return false;
      throw error;
    }
  }

  async #mark(name: string): Promise<void> {
    await this.#gate.run(() => this.#objects.put(name, PLACE));
  }

  /** The entry is as it should be: a place too many is found out when it is looked at. */
  async #unmarkAll(names: readonly string[]): Promise<void> {
    await Promise.allSettled(names.map((name) => this.#unmark(name)));
  }

  async #unmark(name: string): Promise<void> {
    await this.#gate.run(() => this.#objects.delete(name));
  }
}
