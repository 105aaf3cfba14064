/**
 * The key-value engine: any number of independent stores, each a `KvStore`, in the log, the rows and
 * the extents of one database. Wires the parts; rules live in the writer, the reader, the walk, the
 * collector and the purger.
 *
 * Invariants
 * 1. Applied state changes only in `apply`; the rows only in `collect`.
 * 2. Reads see what is applied, so what is durable; conditions see what is planned.
 * 3. Memory holds what changed since the checkpoint, and caches within bounds; never all.
 * 4. Numbers (versions, places of creation, changes) are given once over all stores, in log order.
 *
 * Owner: who opened the database; `close` before it.
 */
import {
  assert,
  type Clock,
  cut,
  HoldfastError,
  LIMITS,
  type Logger,
  type ShardId,
  SILENT,
} from '@holdfast/core';
import {
  type CollectingShard,
  type DamagedRow,
  type Engine,
  type EngineHost,
  type ExtentRef,
  type MovedExtent,
  type Operation,
  prefixRange,
  type Shard,
} from '@holdfast/database';
import { BackedKvStore } from '../backed-kv-store.ts';
import { ChangeRing } from '../change-ring.ts';
import { closedError } from '../kv-errors.ts';
import { invalidKey } from '../kv-key.ts';
import type { KvStore } from '../kv-store.ts';
import { EngineKvBackend } from './engine-kv-backend.ts';
import type { KeyState } from './key-state.ts';
import { collectEntry } from './kv-collector.ts';
import { KvGraves } from './kv-graves.ts';
import { decodeKvRecord, encodeKvRecord } from './kv-operation-codec.ts';
import { KV_RECORDS, type KvRecord } from './kv-operations.ts';
import { KvPurger } from './kv-purger.ts';
import { KvReader } from './kv-reader.ts';
import {
  type Counter,
  COUNTER_ROWS,
  counterRowKey,
  decodeCounterRow,
  encodeCounterRow,
  extentOfValueRow,
  identityOfRow,
} from './kv-rows.ts';
import { KvWriter } from './kv-writer.ts';
import { restoreValues } from './restore-values.ts';
import { StoreKeys } from './store-keys.ts';
import { storeNames } from './store-names.ts';

export interface KvEngineComponents {
  readonly clock: Clock;
  readonly logger?: Logger;
}

export interface KvEngineSettings {
  /** Entries read last, kept in memory. Larger: more reads without the disk. */
  readonly entryCacheBytes: number;
  /** Pause between rounds that remove what is past its expiry. Longer: its space comes back later. */
  readonly purgeIntervalMs: number;
  /** Shorter: a wrong clock at the start costs more. */
  readonly purgeStartGraceMs: number;
}

export interface KvStoresRange {
  readonly after?: string | undefined;
}

export interface KvEngineStats {
  /** Stores that somebody has open, counted as often as they are. */
  readonly handles: number;
  /** Changed since the last checkpoint: what is in memory. */
  readonly dirtyEntries: number;
  /** Of entries that rest in rows. */
  readonly cachedBytes: number;
  readonly lastChange: number;
}

const STORE_NAME = /^[A-Za-z0-9_.-]+$/;
const NO_COUNTER: Counter = { highest: 0, lastChange: 0 };

/** What changed in one shard, and what is kept about it. */
class ShardLedger {
  readonly dirty = new Set<KeyState>();
  readonly graves: KvGraves;
  /** A text that the host places in this shard. */
  readonly identity: string;
  counter = NO_COUNTER;
  saved = NO_COUNTER;

  constructor(logger: Logger, identity: string) {
    this.graves = new KvGraves(logger);
    this.identity = identity;
  }
}

export class KvEngine implements Engine<KvRecord> {
  readonly name = 'kv';
  readonly recordTypes: readonly number[] = Object.values(KV_RECORDS);
  readonly #components: Required<KvEngineComponents>;
  readonly #settings: KvEngineSettings;
  readonly #stores = new Map<string, StoreKeys>();
  readonly #handles = new Set<KvStore>();
  readonly #ring = new ChangeRing();
  #shards: readonly ShardLedger[] = [];
  #host: EngineHost | undefined;
  #writer: KvWriter | undefined;
  #reader: KvReader | undefined;
  #purger: KvPurger | undefined;
  /** The newest change that watchers were woken for. */
  #toldChange = 0;
  #open = false;
  #closed = false;

  constructor(components: KvEngineComponents, settings: Partial<KvEngineSettings> = {}) {
    this.#components = { logger: SILENT, ...components };
    this.#settings = {
      entryCacheBytes: LIMITS.entryCacheBytes,
      purgeIntervalMs: LIMITS.purgeIntervalMs,
      purgeStartGraceMs: LIMITS.purgeStartGraceMs,
      ...settings,
    };
  }

  /** The store of this name: empty until something is put. Several handles are one store. */
  store(name: string): KvStore {
    assertStoreName(name);
    if (this.#closed) throw closedError();
    assert(this.#open && this.#host !== undefined, 'key-value engine is not open');
    const keys = this.#keysOf(name);
    const handle = new BackedKvStore(
      this.#components,
      new EngineKvBackend(
        {
          host: this.#host,
          clock: this.#components.clock,
          ring: this.#ring,
          writer: this.#parts.writer,
          reader: this.#parts.reader,
          onClosed: () => {
            if (this.#handles.delete(handle)) keys.handles--;
          },
        },
        keys,
      ),
    );
    this.#handles.add(handle);
    keys.handles++;
    return handle;
  }

  /** Names of stores that hold an entry, shorter ones first; behind `after`, if that is given. */
  async *stores({ after }: KvStoresRange = {}): AsyncGenerator<{ readonly name: string }> {
    if (after !== undefined) assertStoreName(after);
    assert(this.#open && this.#host !== undefined, 'key-value engine is not open');
    const now = (): number => this.#components.clock.now();
    for await (const name of storeNames({ host: this.#host, stores: this.#stores, now }, after)) {
      if (this.#closed) throw closedError();
      yield { name };
    }
  }

  get stats(): KvEngineStats {
    let dirtyEntries = 0;
    for (const { dirty } of this.#shards) dirtyEntries += dirty.size;
    return {
      handles: this.#handles.size,
      dirtyEntries,
      cachedBytes: this.#reader?.keptBytes ?? 0,
      lastChange: this.#ring.last,
    };
  }

  /** Stores end, expiry stops. The database closes by itself. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#purger?.stop();
    await Promise.all([...this.#handles].map((handle) => handle.close()));
  }

  // -- Engine --------------------------------------------------------------------------------

  attach(host: EngineHost): void {
    assert(this.#host === undefined, 'key-value engine is attached twice');
    this.#host = host;
    const { clock, logger } = this.#components;
    this.#reader = new KvReader(host, this.#settings.entryCacheBytes);
    this.#writer = new KvWriter(host, clock, (name) => this.#keysOf(name));
    this.#purger = new KvPurger(
      { clock, logger },
      host,
      { intervalMs: this.#settings.purgeIntervalMs, graceMs: this.#settings.purgeStartGraceMs },
      (store, key) =>
        this.#parts.writer.write(this.#keysOf(store), [{ type: 'expire', key }], undefined),
    );
    this.#shards = Array.from({ length: host.shardCount }, (_, id) => {
      let n = 0;
      while (host.shardOf(`kv-counter-${n}`) !== id) n++;
      return new ShardLedger(logger, `kv-counter-${n}`);
    });
  }

  encode(record: KvRecord): readonly Uint8Array[] {
    return encodeKvRecord(record);
  }

  decode(type: number, shard: ShardId, payload: Buffer): KvRecord {
    return decodeKvRecord(type, shard, payload);
  }

  apply(record: KvRecord): void {
    const { store, key, change, before } = record;
    const keys = this.#keysOf(store);
    const state = keys.stateOf(key);
    const ledger = this.#ledger(state.shard);
    if (!state.dirty) {
      state.dirty = true;
      state.known = true;
      state.resting = before;
      ledger.dirty.add(state);
    }
    this.#parts.reader.changed(store, key);
    this.#due(state, 'remove');
    const put = record.type === KV_RECORDS.put ? record : undefined;
    keys.setApplied(state, put && { facts: put.entry, value: put.value });
    this.#due(state, 'add');
    ledger.counter = {
      highest: Math.max(ledger.counter.highest, change, put?.entry.version ?? 0),
      lastChange: Math.max(ledger.counter.lastChange, change),
    };
    const type = put !== undefined ? 'put' : record.type === KV_RECORDS.delete ? 'del' : 'expire';
    const version = put?.entry.version ?? before?.version ?? 0;
    this.#ring.push(store, { seq: change, type, key, version, value: put?.value });
    void cut('kv.applied');
  }

  /** Most batches of a database change no entry. */
  settled(): void {
    const { last } = this.#ring;
    if (last === this.#toldChange) return;
    this.#toldChange = last;
    this.#ring.wake();
  }

  discardPlanned(): void {
    this.#parts.writer.discardPlanned();
  }

  async load(shard: Shard): Promise<void> {
    const ledger = this.#ledger(shard.id);
    for await (const { value } of shard.scan(prefixRange(COUNTER_ROWS))) {
      const { highest, lastChange } = decodeCounterRow(value);
      ledger.counter = {
        highest: Math.max(ledger.counter.highest, highest),
        lastChange: Math.max(ledger.counter.lastChange, lastChange),
      };
    }
    ledger.saved = ledger.counter;
    await ledger.graves.load(shard);
    this.#ring.begin(ledger.counter.lastChange);
    void cut('kv.shardLoaded');
  }

  opened(): void {
    this.#open = true;
    for (const { counter } of this.#shards) this.#parts.writer.begin(counter.highest);
    this.#findGraves();
    this.#purger?.start();
  }

  collect(shard: CollectingShard): void {
    const ledger = this.#ledger(shard.id);
    const { counter, saved, identity, graves } = ledger;
    this.#parts.reader.collected();
    graves.free(shard);
    if (counter.highest !== saved.highest || counter.lastChange !== saved.lastChange) {
      ledger.saved = counter;
      shard.put(counterRowKey(identity), encodeCounterRow(counter));
    }
    const collected = new Map<string, KeyState[]>();
    for (const state of ledger.dirty) {
      collectEntry(shard, graves, state);
      this.#due(state, 'remove');
      const ofStore = collected.get(state.store);
      if (ofStore === undefined) collected.set(state.store, [state]);
      else ofStore.push(state);
    }
    for (const [store, states] of collected) this.#keysOf(store).setCollected(states);
    ledger.dirty.clear();
    void cut('kv.collected');
    if (this.#open) this.#findGraves();
  }

  checkpointed(): void {
    // Memory was given up by `collect`: the rows are readable from then on.
  }

  extentsMoved(shard: Shard, moves: readonly MovedExtent[]): void {
    this.#parts.reader.collected();
    for (const move of moves) this.#ledger(shard.id).graves.moved(move);
  }

  identityOf(key: Buffer): string | undefined {
    return identityOfRow(key);
  }

  extentOf(key: Buffer, value: Buffer): ExtentRef | undefined {
    return extentOfValueRow(key, value);
  }

  restoreExtents(
    rows: readonly DamagedRow[],
    history: () => AsyncIterable<Operation>,
  ): Promise<readonly (readonly Buffer[] | undefined)[]> {
    return restoreValues(rows, history);
  }

  // -- inside --------------------------------------------------------------------------------

  get #parts(): { readonly writer: KvWriter; readonly reader: KvReader } {
    assert(this.#writer !== undefined && this.#reader !== undefined, 'engine is not attached');
    return { writer: this.#writer, reader: this.#reader };
  }

  #ledger(id: ShardId): ShardLedger {
    const ledger = this.#shards[id];
    assert(ledger !== undefined, `there is no such shard shard=${id}`);
    return ledger;
  }

  #keysOf(name: string): StoreKeys {
    let keys = this.#stores.get(name);
    if (keys !== undefined) return keys;
    assert(this.#host !== undefined, 'engine is not attached');
    if (this.#open && this.#stores.size >= LIMITS.maxEngineStores) this.#forgetIdle();
    if (this.#open && this.#stores.size >= LIMITS.maxEngineStores) {
      throw new HoldfastError('QUOTA_EXCEEDED', `too many stores limit=${LIMITS.maxEngineStores}`);
    }
    keys = new StoreKeys(name, this.#host);
    this.#stores.set(name, keys);
    return keys;
  }

  #forgetIdle(): void {
    for (const [name, keys] of this.#stores) if (keys.isIdle) this.#stores.delete(name);
  }

  /** What is dirty and has an expiry is known to the purger. */
  #due(state: KeyState, what: 'add' | 'remove'): void {
    const expiresAtMs = state.applied?.facts.expiresAtMs;
    if (expiresAtMs !== undefined) this.#purger?.[what](expiresAtMs, state);
  }

  #findGraves(): void {
    for (const [id, { graves }] of this.#shards.entries()) {
      graves.find(this.#host?.shard(id as ShardId) as Shard);
    }
  }
}

function assertStoreName(name: string): void {
  if (typeof name === 'string' && name.length <= LIMITS.maxStoreNameBytes && STORE_NAME.test(name))
    return;
  throw invalidKey(`name of a store is 1 to ${LIMITS.maxStoreNameBytes} of A-Z a-z 0-9 _ . -`);
}
