/**
 * Reads of single entries: from what was applied since the checkpoint, else from the rows, with the
 * entries read last kept at hand.
 *
 * Invariants
 * 1. Whether memory or the rows say what an entry is, is decided in one turn with the start of the
 *    read: so it is what was acknowledged then.
 * 2. Only what is still the entry when it has been read is kept, and a change of it ends that.
 */
import { HoldfastError } from '@holdfast/core';
import type { EngineHost, Shard } from '@holdfast/database';
import type { KvEntry } from '../kv-store.ts';
import { RecentMap } from '../recent-map.ts';
import type { StoredFacts } from './kv-operations.ts';
import {
  decodeEntryRow,
  entryRowKey,
  extentOfValueRow,
  identityOfEntry,
  valueRowKey,
} from './kv-rows.ts';
import type { StoreKeys } from './store-keys.ts';

/** Rough memory of a kept entry beside its key and value. */
const KEPT_OVERHEAD_BYTES = 250;
/** Reads of one entry that checkpoints overtook. */
const MAX_ATTEMPTS = 100;

/** As it is stored, past its expiry or not. The value is shared: who gives it out copies it. */
export interface ReadEntry {
  readonly facts: StoredFacts;
  readonly value: Buffer;
}

/** An entry whose value was not read, because it is longer than was asked for. */
export interface LongEntry {
  readonly facts: StoredFacts;
  readonly length: number;
}

export class KvReader {
  readonly #host: EngineHost;
  readonly #cacheBytes: number;
  readonly #kept = new RecentMap<ReadEntry>();
  #keptBytes = 0;
  /** Rises with every collect: rows and places read before may be stale. */
  #collects = 0;

  constructor(host: EngineHost, cacheBytes: number) {
    this.#host = host;
    this.#cacheBytes = cacheBytes;
  }

  /** Memory of what is kept, roughly. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  get collects(): number {
    return this.#collects;
  }

  /** Rows or extents are about to change. */
  collected(): void {
    this.#collects++;
  }

  /** The entry is not what was kept any more. I2. */
  changed(store: string, key: string): void {
    const id = cacheId(store, key);
    const kept = this.#kept.peek(id);
    if (kept === undefined) return;
    this.#kept.delete(id);
    this.#keptBytes -= memoryOf(id, kept);
  }

  read(keys: StoreKeys, key: string): ReadEntry | undefined | Promise<ReadEntry | undefined> {
    // However long it is: there is no other kind.
    return this.readUpTo(keys, key, Infinity) as ReturnType<KvReader['read']>;
  }

  /** The same; of what rests on the disk with more than `most` bytes only the length. */
  readUpTo(
    keys: StoreKeys,
    key: string,
    most: number,
  ): ReadEntry | undefined | Promise<ReadEntry | LongEntry | undefined> {
    const state = keys.get(key);
    if (state?.dirty === true) return state.applied; // I1
    const id = cacheId(keys.name, key);
    return this.#kept.get(id) ?? this.#readAtHand(keys, key, id, most);
  }

  /** Without a wait where the row is in memory, and its value in it. */
  #readAtHand(
    keys: StoreKeys,
    key: string,
    id: string,
    most: number,
  ): ReadEntry | undefined | Promise<ReadEntry | LongEntry | undefined> {
    const rowKey = entryRowKey(keys.name, key);
    const atHand = this.#shardOf(keys.name, key).getAtHand(rowKey);
    if (atHand === undefined) return this.#readRow(keys, key, rowKey, most);
    if (atHand.value === undefined) return undefined;
    const { facts, value } = decodeEntryRow(atHand.value);
    if (facts.extent) return this.#readRow(keys, key, rowKey, most);
    const entry = { facts, value: Buffer.from(value) };
    this.#keep(id, entry);
    return entry;
  }

  async #readRow(
    keys: StoreKeys,
    key: string,
    rowKey: Buffer,
    most: number,
  ): Promise<ReadEntry | LongEntry | undefined> {
    const id = cacheId(keys.name, key);
    for (let attempts = 1; ; attempts++) {
      const collects = this.#collects;
      try {
        const row = await this.#shardOf(keys.name, key).get(rowKey);
        if (row === undefined) return undefined;
        const { facts, value } = decodeEntryRow(row);
        const read = facts.extent
          ? await this.#valueOf(keys.name, key, facts, most)
          : Buffer.from(value);
        if (typeof read === 'number') return { facts, length: read };
        const entry = { facts, value: read };
        if (collects === this.#collects && keys.get(key)?.dirty !== true) this.#keep(id, entry);
        return entry;
      } catch (error) {
        // What its place held moved or went meanwhile: not damage.
        if (collects === this.#collects || attempts === MAX_ATTEMPTS) throw error;
        const state = keys.get(key);
        if (state?.dirty === true) return state.applied;
      }
    }
  }

  /** Of an entry whose row was read just now; beyond `most` its length. Rejects when it is another one. */
  async #valueOf(
    store: string,
    key: string,
    facts: StoredFacts,
    most: number,
  ): Promise<Buffer | number> {
    const shard = this.#shardOf(store, key);
    const owner = valueRowKey(store, facts.change, key);
    const row = await shard.get(owner);
    const ref = row === undefined ? undefined : extentOfValueRow(owner, row);
    if (ref === undefined) {
      throw new HoldfastError('FORMAT_INVALID', `an entry has no value change=${facts.change}`);
    }
    if (ref.length > most) return ref.length;
    return Buffer.concat(await shard.readExtent(ref, 0, ref.length));
  }

  #shardOf(store: string, key: string): Shard {
    return this.#host.shard(this.#host.shardOf(identityOfEntry(store, key)));
  }

  #keep(id: string, entry: ReadEntry): void {
    const bytes = memoryOf(id, entry);
    if (bytes > this.#cacheBytes / 8 || this.#kept.peek(id) !== undefined) return;
    this.#kept.set(id, entry);
    this.#keptBytes += bytes;
    while (this.#keptBytes > this.#cacheBytes) {
      const oldest = this.#kept.oldestKey as string;
      this.#keptBytes -= memoryOf(oldest, this.#kept.peek(oldest) as ReadEntry);
      this.#kept.delete(oldest);
    }
  }
}

/** For callers: the bytes are theirs. */
export function entryOf(key: string, { facts, value }: ReadEntry): KvEntry {
  const { seq, version, epoch, expiresAtMs } = facts;
  return { key, value: Buffer.from(value), version, seq, epoch, expiresAtMs };
}

function cacheId(store: string, key: string): string {
  return `${store}:${key}`;
}

function memoryOf(id: string, { value }: ReadEntry): number {
  return id.length + value.length + KEPT_OVERHEAD_BYTES;
}
