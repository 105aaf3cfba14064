/**
 * Records as an application has them (`records.ts`): puts the engine, the queue of writes, the metadata
 * and transactions together, and knows what is open and who may do what at one time.
 *
 * Invariants
 * 1. Calls that make or delete a record, and the beginning of a transaction, have it for themselves; all
 *    others, also those of the queue, run beside each other (`RecordLocks`). So nothing writes to a
 *    record that is being deleted, and a transaction begins only once no set is under way.
 * 2. While a record is in a transaction of this peer, plain sets of it are `RECORD_LOCKED` at once.
 * 3. The queue leaves a subkey alone while the application sets it.
 * 4. What cannot be told from a damaged queue is queued: all that is stored of such a record.
 *
 * Owner: who opened it disposes of it. Stores, network and table of peers are somebody else's.
 */
import { type Clock, HoldfastError, type Logger, type Random } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import type { AgreementCounts } from '../engines/record-network.ts';
import type { PushedValue } from '../engines/push-value.ts';
import { RecordEngine } from '../engines/record-engine.ts';
import type { PeerId } from '../coordinate.ts';
import type { Statement } from '../messages.ts';
import { createKeyPair, type KeyPair } from '../key-pair.ts';
import { RecordMetadata } from '../metadata/record-metadata.ts';
import { OfflineWrites } from '../offline/offline-writes.ts';
import type { AskedPeers } from '../peers/asked-peers.ts';
import { createDescriptor } from '../record-descriptor.ts';
import { keyOf, type RecordId, type RecordKey, SECRET_BYTES } from '../record-key.ts';
import type { RecordStore } from '../record-store.ts';
import type {
  CancelWatchOptions,
  CreatedRecord,
  CreateOptions,
  FlushOptions,
  FlushResult,
  GetOptions,
  GetResult,
  InspectOptions,
  InspectReport,
  LocalRecord,
  OpenedRecord,
  OpenOptions,
  RecordChange,
  Records,
  RecordsEvent,
  RecordTransaction,
  SetOptions,
  SetResult,
  TransactOptions,
  WatchOptions,
  WatchState,
} from '../records.ts';
import type { Rpc, RpcSubscription } from '../rpc.ts';
import type { RecordSchema } from '../schema.ts';
import { compareValues } from '../signed-value.ts';
import { ALL_SUBKEYS, SubkeySet } from '../subkey-set.ts';
import { beginTransaction } from '../transactions/network-transaction.ts';
import type { ClientWatches } from '../watches/client-watches.ts';
import { LockedTransaction } from './locked-transaction.ts';
import { openedRecord, OpenedRecords, type OpenRecord } from './opened-records.ts';
import { openWatches } from './open-watches.ts';
import { watchRecord } from './watch-record.ts';
import { shownValue } from './shown-value.ts';
import { RecordEvents } from './record-events.ts';
import { RecordLocks } from './record-locks.ts';

export interface PeerRecordsComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly rpc: Rpc;
  readonly peers: AskedPeers;
  /** Of the records that were created or opened here. */
  readonly local: RecordStore;
  /** Durable, its own: what this peer wants of records. */
  readonly metadata: KvStore;
  readonly counts?: AgreementCounts | undefined;
  /** Told once for each row of `metadata` that cannot be read. */
  readonly onDamage?: ((key: string, error: unknown) => void) | undefined;
}

type TransactionLock = LockedTransaction | 'beginning';

export class PeerRecords implements Records {
  readonly #components: PeerRecordsComponents;
  readonly #metadata: RecordMetadata;
  readonly #engine: RecordEngine;
  readonly #queue: OfflineWrites;
  readonly #watches: ClientWatches;
  readonly #opened = new OpenedRecords();
  readonly #locks = new RecordLocks();
  /** I2 */
  readonly #transactions = new Map<RecordId, TransactionLock>();
  readonly #events: RecordEvents;
  readonly #network: RpcSubscription;
  #disposed: Promise<void> | undefined;

  private constructor(components: PeerRecordsComponents, metadata: RecordMetadata) {
    const { clock, random, logger, rpc, peers, local, counts } = components;
    this.#components = components;
    this.#metadata = metadata;
    this.#events = new RecordEvents(logger);
    this.#queue = new OfflineWrites({
      clock,
      random,
      logger,
      items: metadata.pending,
      push: (record, subkey, options) =>
        this.#locks.shared(record, () => this.#engine.push(record, subkey, options)), // I1
      onSent: (record, subkey, pushed) => this.#sent(record, subkey, pushed),
    });
    const pending = this.#queue;
    const onConflict: NonNullable<ConstructorParameters<typeof RecordEngine>[0]['onConflict']> = (
      record,
      subkey,
      sequence,
    ) => this.#events.tell({ type: 'conflict', key: this.#keyOf(record), subkey, sequence });
    this.#engine = new RecordEngine({ clock, random, peers, local, pending, onConflict }, counts);
    this.#watches = openWatches({
      ...{ clock, logger, peers, local },
      items: metadata.watches,
      engine: this.#engine,
      locks: this.#locks,
      events: this.#events,
    });
    this.#network = rpc.on((event) => {
      if (event.type === 'disconnected') this.#watches.lost(event.peer);
      if (event.type === 'online') {
        this.#queue.wake();
        this.#watches.look();
      }
      if (event.type === 'online' || event.type === 'offline') {
        this.#events.tell({ type: event.type });
      }
    });
  }

  /** Goes on with what is queued. */
  static async open(components: PeerRecordsComponents): Promise<PeerRecords> {
    const { metadata: kv, logger, onDamage, local } = components;
    const metadata = await RecordMetadata.open({ kv, logger, onDamage });
    const records = new PeerRecords(components, metadata);
    for (const record of metadata.damagedPending) {
      const head = await local.peek(record);
      for (const [subkey, stored] of head?.subkeys.entries() ?? []) {
        if (stored !== undefined) await records.#queue.add(record, subkey); // I4
      }
    }
    records.#queue.start();
    return records;
  }

  // -- which records there are here --------------------------------------------------------------

  async create(schema: RecordSchema, options: CreateOptions = {}): Promise<CreatedRecord> {
    this.#check();
    const { random, local } = this.#components;
    const ownerKeys = options.owner ?? createKeyPair(random);
    const descriptor = createDescriptor(schema, ownerKeys);
    const key = keyOf(descriptor.id, options.secret ?? random.bytes(SECRET_BYTES));
    return this.#locks.exclusive(key.id, async () => {
      await local.create(descriptor);
      this.#opened.owns(key.id, ownerKeys);
      return { ...openedRecord(this.#opened.add(key, descriptor, ownerKeys)), ownerKeys };
    });
  }

  async open(key: RecordKey, options: OpenOptions = {}): Promise<OpenedRecord> {
    this.#check();
    const { writer, signal } = options;
    return this.#locks.exclusive(key.id, async () => {
      const { local } = this.#components;
      const head = await local.head(key.id);
      if (head !== undefined) {
        const open = this.#opened.add(key, head.descriptor, writer);
        this.#watches.resume(open);
        return openedRecord(open);
      }
      const descriptor = await this.#engine.findDescriptor(key.id, { signal });
      if (descriptor === undefined) throw notFound(key.id);
      await local.create(descriptor);
      return openedRecord(this.#opened.add(key, descriptor, writer));
    });
  }

  async close(key: RecordKey): Promise<void> {
    this.#check();
    if (!this.#opened.close(key)) return;
    this.#watches.end(key.id);
    await this.#endTransaction(key.id);
  }

  async delete(key: RecordKey): Promise<void> {
    this.#check();
    return this.#locks.exclusive(key.id, async () => {
      this.#checkUnlocked(key.id);
      if (!(await this.#components.local.delete(key.id))) throw notFound(key.id);
      this.#opened.forget(key.id);
      this.#watches.end(key.id);
      this.#queue.forget(key.id);
      this.#metadata.forget(key.id);
    });
  }

  async *local(): AsyncIterable<LocalRecord> {
    this.#check();
    for await (const { descriptor } of this.#components.local.entries()) {
      const { id, owner, schema } = descriptor;
      const open = this.#opened.get(id) !== undefined;
      yield { key: this.#keyOf(id), owner, schema, open, pending: this.#queue.of(id) };
    }
  }

  // -- what is in a record -----------------------------------------------------------------------

  async get(key: RecordKey, subkey: number, options: GetOptions = {}): Promise<GetResult> {
    const open = this.#open(key);
    return this.#locks.shared(key.id, () => this.#engine.get(open.key, subkey, options));
  }

  async set(
    key: RecordKey,
    subkey: number,
    data: Uint8Array,
    options: SetOptions = {},
  ): Promise<SetResult> {
    const copy = Buffer.from(data);
    return this.#write(key, subkey, options, (whole, writer) =>
      this.#engine.set(whole, subkey, copy, { ...options, writer }),
    );
  }

  async erase(key: RecordKey, subkey: number, options: SetOptions = {}): Promise<SetResult> {
    return this.#write(key, subkey, options, (whole, writer) =>
      this.#engine.erase(whole, subkey, { ...options, writer }),
    );
  }

  async flush(key: RecordKey, options: FlushOptions = {}): Promise<FlushResult> {
    this.#open(key);
    return this.#queue.flush(key.id, options);
  }

  async inspect(key: RecordKey, options: InspectOptions = {}): Promise<InspectReport> {
    const open = this.#open(key);
    return this.#locks.shared(key.id, () => this.#engine.inspect(open.key, options));
  }

  watch(key: RecordKey, options: WatchOptions = {}): AsyncIterable<RecordChange> {
    return watchRecord(this.#watches, () => this.#open(key), options);
  }

  async cancelWatch(key: RecordKey, options: CancelWatchOptions = {}): Promise<WatchState> {
    this.#open(key);
    this.#watches.lessen(key.id, options.subkeys ?? ALL_SUBKEYS);
    const left = this.#watches.wanted(key.id);
    return Promise.resolve(
      left === undefined ? { status: 'none' } : { status: 'active', subkeys: left.subkeys },
    );
  }

  /** What a peer says that this one watches: its server passes it on. Never throws. */
  hear(from: PeerId, statement: Statement): void {
    if (this.#disposed === undefined) this.#watches.hear(from, statement);
  }

  async transact(
    keys: readonly RecordKey[],
    options: TransactOptions = {},
  ): Promise<RecordTransaction> {
    const subjects = keys.map((key) => {
      const { key: whole, descriptor, writer = options.writer } = this.#open(key);
      return { key: whole, descriptor, writer };
    });
    const ids = [...new Set(keys.map(({ id }) => id))].sort();
    const locked: RecordId[] = [];
    const unlock = (): void => {
      for (const id of locked.splice(0)) this.#transactions.delete(id);
    };
    try {
      for (const id of ids) {
        await this.#locks.exclusive(id, async () => this.#lock(id)); // I1
        locked.push(id);
      }
      const { clock, random, peers, local } = this.#components;
      const begun = await beginTransaction({ clock, random, peers, local }, subjects, options);
      const transaction = new LockedTransaction(clock, begun, unlock, (written) => {
        for (const one of written) this.#watches.known(one.record, one.subkey, one.sequence);
      });
      for (const id of ids) this.#transactions.set(id, transaction);
      if (ids.some((id) => this.#opened.get(id) === undefined) || this.#disposed !== undefined) {
        await transaction.rollback();
        this.#check();
        throw new HoldfastError('RECORD_NOT_OPEN', 'a record was closed meanwhile');
      }
      return transaction;
    } catch (error) {
      unlock();
      throw error;
    }
  }

  // -- life --------------------------------------------------------------------------------------

  on(listener: (event: RecordsEvent) => void): { cancel(): void } {
    return this.#events.on(listener);
  }

  dispose(): Promise<void> {
    return (this.#disposed ??= this.#dispose());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #dispose(): Promise<void> {
    this.#network.cancel();
    this.#events.clear();
    await Promise.all([...this.#transactions.keys()].map((id) => this.#endTransaction(id)));
    await Promise.all([this.#watches.close(), this.#queue.close(), this.#engine.close()]);
    await this.#metadata.close();
  }

  async #write(
    key: RecordKey,
    subkey: number,
    options: SetOptions,
    work: (whole: RecordKey, writer: KeyPair) => Promise<SetResult>,
  ): Promise<SetResult> {
    const open = this.#open(key);
    this.#checkUnlocked(key.id);
    const writer = options.writer ?? open.writer;
    if (writer === undefined) {
      throw new HoldfastError('NOT_A_WRITER', 'the record is open without a writer');
    }
    return this.#locks.shared(key.id, async () => {
      this.#check();
      this.#checkUnlocked(key.id);
      const done = await this.#queue.hold(key.id, subkey, () => work(open.key, writer)); // I3
      this.#watches.known(key.id, subkey, done.sequence);
      return done;
    });
  }

  async #lock(record: RecordId): Promise<void> {
    this.#check();
    this.#checkUnlocked(record);
    if (!this.#queue.of(record).isEmpty) {
      throw new HoldfastError('RECORD_LOCKED', `writes are queued: flush first record=${record}`);
    }
    this.#transactions.set(record, 'beginning');
    return Promise.resolve();
  }

  async #endTransaction(record: RecordId): Promise<void> {
    const transaction = this.#transactions.get(record);
    if (transaction instanceof LockedTransaction) await transaction[Symbol.asyncDispose]();
  }

  /** A queued write found its peers; or it met one that won, and that is here now. */
  #sent(record: RecordId, subkey: number, { sent, value }: PushedValue): void {
    const key = this.#keyOf(record);
    if (compareValues(sent, value) === 0) {
      this.#events.tell({ type: 'committed', key, subkey });
      return;
    }
    if (this.#watches.wanted(record)?.subkeys.has(subkey) === true) {
      this.#watches.look(record); // It tells the change, and counts it.
      return;
    }
    const change = { key, subkeys: SubkeySet.of(subkey), value: shownValue(value, key) };
    this.#events.tell({ type: 'change', change: { ...change, count: undefined } });
  }

  /** Without the secret where the record is not open. */
  #keyOf(record: RecordId): RecordKey {
    return this.#opened.get(record)?.key ?? keyOf(record, undefined);
  }

  #open(key: RecordKey): OpenRecord {
    this.#check();
    return this.#opened.of(key);
  }

  #check(): void {
    if (this.#disposed !== undefined) throw new HoldfastError('CLOSED', 'records are closed');
  }

  #checkUnlocked(record: RecordId): void {
    if (!this.#transactions.has(record)) return;
    throw new HoldfastError('RECORD_LOCKED', `the record is in a transaction record=${record}`);
  }
}

function notFound(record: RecordId): HoldfastError {
  const message = `neither here nor at the peers near it record=${record}`;
  return new HoldfastError('RECORD_NOT_FOUND', message);
}
