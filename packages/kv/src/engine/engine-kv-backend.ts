/** One store of the engine, as the backend of its handle. */
import { type Clock, LIMITS } from '@holdfast/core';
import { type EngineHost, prefixRange } from '@holdfast/database';
import type { ChangeRing } from '../change-ring.ts';
import { isExpired } from '../decide-write.ts';
import type {
  CreatedPlace,
  KeyInterval,
  KvBackend,
  KvScanOptions,
  KvWrite,
} from '../kv-backend.ts';
import type { KvAck, KvCapabilities, KvChange, KvEntry } from '../kv-store.ts';
import { entryOf, type KvReader, type ReadEntry } from './kv-reader.ts';
import { createdRowKey, entryRowKey, storeRows } from './kv-rows.ts';
import { KvWalk, type WalkOrder } from './kv-walk.ts';
import type { KvWriter } from './kv-writer.ts';
import { createdPosition, placeOfPosition, type StoreKeys } from './store-keys.ts';

const CAPABILITIES: KvCapabilities = {
  atomicBatch: true,
  compareAndSet: true,
  createdOrder: true,
  ttl: true,
  watch: true,
  stamps: true,
  anyText: true,
  durability: 'power',
  evicts: false,
  retries: false,
  maxKeyBytes: LIMITS.maxEntryKeyBytes,
  maxValueBytes: LIMITS.maxEntryValueBytes,
  maxBatchOperations: LIMITS.maxTransactionOperations,
  maxBatchBytes: LIMITS.maxEntryBatchBytes,
};

export interface EngineKvBackendParts {
  readonly host: EngineHost;
  readonly clock: Clock;
  readonly ring: ChangeRing;
  readonly writer: KvWriter;
  readonly reader: KvReader;
  readonly onClosed: () => void;
}

export class EngineKvBackend implements KvBackend {
  readonly capabilities: KvCapabilities = CAPABILITIES;
  readonly #parts: EngineKvBackendParts;
  readonly #keys: StoreKeys;
  readonly #byKey: KvWalk;
  readonly #byCreated: KvWalk;

  constructor(parts: EngineKvBackendParts, keys: StoreKeys) {
    this.#parts = parts;
    this.#keys = keys;
    const { host, reader, clock } = parts;
    const around = { host, reader, clock };
    this.#byKey = new KvWalk(around, keys, keyOrder(keys));
    this.#byCreated = new KvWalk(around, keys, createdOrder(keys));
  }

  get id(): string {
    return `engine:${this.#keys.name}`;
  }

  read(key: string): Promise<KvEntry | undefined> {
    const found = this.#parts.reader.read(this.#keys, key);
    // What is at hand is given without another wait.
    if (!(found instanceof Promise)) return Promise.resolve(this.#shown(key, found));
    return found.then((entry) => this.#shown(key, entry));
  }

  write(writes: readonly KvWrite[], signal: AbortSignal | undefined): Promise<readonly KvAck[]> {
    return this.#parts.writer.write(this.#keys, writes, signal);
  }

  scan(
    { from, to }: KeyInterval,
    { reverse, limit }: KvScanOptions,
  ): AsyncIterable<readonly KvEntry[]> {
    return this.#byKey.entries({ from, to, reverse }, limit);
  }

  scanCreated(
    behind: CreatedPlace | undefined,
    { reverse, limit }: KvScanOptions,
  ): AsyncIterable<readonly KvEntry[]> {
    const at = behind === undefined ? undefined : createdPosition(behind.seq, behind.key);
    const bounds = reverse
      ? { from: '', to: at, reverse }
      : { from: at === undefined ? '' : `${at}\0`, to: undefined, reverse };
    return this.#byCreated.entries(bounds, limit);
  }

  changes(since: number | undefined, signal: AbortSignal): AsyncIterable<KvChange> {
    return this.#parts.ring.watch(this.#keys.name, since, signal);
  }

  lastChange(): number {
    return this.#parts.ring.last;
  }

  highestVersion(): number {
    return this.#parts.writer.highest;
  }

  #shown(key: string, entry: ReadEntry | undefined): KvEntry | undefined {
    if (entry === undefined || isExpired(entry.facts, this.#parts.clock.now())) return undefined;
    return entryOf(key, entry);
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.#parts.onClosed();
  }
}

function keyOrder(keys: StoreKeys): WalkOrder {
  const all = prefixRange(storeRows('entry', keys.name));
  return {
    range: (from, to) => ({
      from: entryRowKey(keys.name, from),
      ...(to === undefined ? all.to && { to: all.to } : { to: entryRowKey(keys.name, to) }),
    }),
    position: ({ key }) => key,
    recent: () => keys.byKey,
    place: (most) => keys.place(most),
    whole: true,
  };
}

function createdOrder(keys: StoreKeys): WalkOrder {
  const all = prefixRange(storeRows('created', keys.name));
  const rowKey = (position: string): Buffer => {
    const { seq, key } = placeOfPosition(position);
    return createdRowKey(keys.name, seq, key);
  };
  return {
    range: (from, to) => ({
      from: from === '' ? (all.from as Buffer) : rowKey(from),
      ...(to === undefined ? all.to && { to: all.to } : { to: rowKey(to) }),
    }),
    position: ({ key, number }) => createdPosition(number, key),
    recent: () => keys.byCreated,
    place: (most) => keys.place(most),
    whole: false,
  };
}
