/**
 * A host of one engine without a disk: commits wait until a test settles or refuses them,
 * checkpoints and crashes happen when it says so. Durable state is the rows and extents of the
 * last checkpoint and the records after it, encoded, as a real database keeps them.
 */
import { assert, crc32c, HoldfastError, type Lsn, type ShardId } from '@holdfast/core';
import {
  type CollectingShard,
  decodeExtentRef,
  type Engine,
  encodeExtentRef,
  type EngineHost,
  type ExtentRef,
  EXTENT_REF_BYTES,
  type KeyRange,
  type Operation,
  type OperationSink,
} from '@holdfast/database';

interface LogRecord {
  readonly type: number;
  readonly shard: ShardId;
  readonly payload: Buffer;
}

/** What survives a crash. */
export interface Durable {
  readonly rows: Map<string, Buffer>[];
  readonly extents: Map<number, Buffer>;
  readonly records: LogRecord[][];
  readonly clean: boolean;
}

interface Pending {
  readonly operations: readonly Operation[];
  readonly records: LogRecord[];
  readonly sink: OperationSink;
}

export class FakeShard implements CollectingShard {
  readonly id: ShardId;
  readonly rows: Map<string, Buffer>;
  readonly extents: Map<number, Buffer>;
  readonly #claim: () => number;
  #sorted: string[] | undefined;
  /** Reads of extents that a test holds back or makes fail. */
  onRead: (() => Promise<void>) | undefined;

  constructor(
    id: ShardId,
    rows: Map<string, Buffer>,
    extents: Map<number, Buffer>,
    claim: () => number,
  ) {
    this.id = id;
    this.rows = rows;
    this.extents = extents;
    this.#claim = claim;
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    return this.rows.get(key.toString('latin1'));
  }

  getAtHand(key: Buffer): { readonly value: Buffer | undefined } {
    return { value: this.rows.get(key.toString('latin1')) };
  }

  async *scanBatches(
    range: KeyRange,
  ): AsyncGenerator<readonly { key: Buffer; value: Buffer }[], void, undefined> {
    for await (const row of this.scan(range)) yield [row];
  }

  async *scan(range: {
    from?: Buffer;
    to?: Buffer;
  }): AsyncGenerator<{ key: Buffer; value: Buffer }> {
    this.#sorted ??= [...this.rows.keys()].sort();
    const keys = this.#sorted;
    const from = range.from?.toString('latin1') ?? '';
    const to = range.to?.toString('latin1');
    let [low, high] = [0, keys.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((keys[middle] as string) < from) low = middle + 1;
      else high = middle;
    }
    const found: { key: Buffer; value: Buffer }[] = [];
    for (; low < keys.length && (to === undefined || (keys[low] as string) < to); low++) {
      const key = keys[low] as string;
      found.push({ key: Buffer.from(key, 'latin1'), value: this.rows.get(key) as Buffer });
    }
    for (const row of found) {
      await Promise.resolve();
      yield row;
    }
  }

  async readExtent(ref: ExtentRef, offset: number, length: number): Promise<Buffer[]> {
    await this.onRead?.();
    const bytes = this.extents.get(ref.fileId);
    if (bytes === undefined) throw new HoldfastError('FILE_MISSING', 'extent was freed');
    assert(length > 0 && offset + length <= ref.length, 'read outside of an extent');
    const middle = offset + Math.ceil(length / 2);
    const parts = [bytes.subarray(offset, middle), bytes.subarray(middle, offset + length)];
    return parts.filter((part) => part.length > 0);
  }

  put(key: Buffer, value: Buffer): void {
    this.#sorted = undefined;
    this.rows.set(key.toString('latin1'), value);
  }

  delete(key: Buffer): void {
    this.#sorted = undefined;
    this.rows.delete(key.toString('latin1'));
  }

  writeExtent(_owner: Buffer, parts: readonly Uint8Array[]): ExtentRef {
    const bytes = Buffer.concat(parts);
    const fileId = this.#claim();
    this.extents.set(fileId, bytes);
    return { fileId, position: 0, length: bytes.length };
  }

  freeExtent(ref: ExtentRef): void {
    assert(this.extents.delete(ref.fileId), 'an extent was freed twice');
  }
}

export class FakeHost implements EngineHost {
  readonly shardCount: number;
  readonly cleanStart: boolean;
  readonly shards: FakeShard[] = [];
  /** Records since the last checkpoint, one list per commit. */
  readonly #records: LogRecord[][];
  readonly #engine: Engine;
  #checkpoint: Durable;
  #pending: Pending[] = [];
  #nextFile: number;
  #lsn = 0;
  /** Thrown by the next commits. */
  refuse: HoldfastError | undefined;

  private constructor(engine: Engine, durable: Durable) {
    this.#engine = engine;
    this.#checkpoint = durable;
    this.#records = [...durable.records];
    this.cleanStart = durable.clean;
    this.shardCount = durable.rows.length;
    this.#nextFile = 1 + Math.max(0, ...durable.extents.keys());
    const extents = new Map(durable.extents);
    for (const [id, rows] of durable.rows.entries()) {
      this.shards.push(
        new FakeShard(id as ShardId, new Map(rows), extents, () => this.#nextFile++),
      );
    }
  }

  static async open(engine: Engine, durable: Durable | number = 4): Promise<FakeHost> {
    const state =
      typeof durable === 'number'
        ? {
            rows: Array.from({ length: durable }, () => new Map<string, Buffer>()),
            extents: new Map<number, Buffer>(),
            records: [],
            clean: true,
          }
        : durable;
    const host = new FakeHost(engine, state);
    engine.attach(host);
    for (const shard of host.shards) await engine.load(shard);
    for (const commit of state.records) for (const record of commit) host.#apply(record);
    engine.opened();
    return host;
  }

  get pending(): number {
    return this.#pending.length;
  }

  shardOf(identity: string): ShardId {
    return (crc32c(Buffer.from(identity)) & (this.shardCount - 1)) as ShardId;
  }

  shard(id: ShardId): FakeShard {
    return this.shards[id] as FakeShard;
  }

  commit(operations: readonly Operation[], sink: OperationSink): void {
    if (this.refuse !== undefined) throw this.refuse;
    const records = operations.map((operation) => ({
      type: operation.type,
      shard: operation.shard,
      payload: Buffer.concat(this.#engine.encode(operation)),
    }));
    this.#pending.push({ operations, records, sink });
  }

  /** Makes waiting commits durable and visible, as one batch. */
  settle(count: number = this.#pending.length): void {
    const batch = this.#pending.splice(0, count);
    for (const { operations, records, sink } of batch) {
      this.#records.push(records);
      for (const operation of operations) this.#engine.apply(operation, ++this.#lsn as Lsn);
      sink.visible(this.#lsn as Lsn);
    }
    if (batch.length > 0) this.#engine.settled();
  }

  /** All waiting commits are refused with effect `none`. */
  discard(error: HoldfastError = new HoldfastError('DISK_FULL', 'no space')): void {
    const refused = this.#pending;
    this.#pending = [];
    this.#engine.discardPlanned();
    for (const { sink } of refused) sink.failed(error);
  }

  /** Waiting commits may or may not have happened; nothing more is accepted. */
  fail(): void {
    const error = new HoldfastError('STORAGE_UNAVAILABLE', 'sync failed', { effect: 'unknown' });
    const failed = this.#pending;
    this.#pending = [];
    this.refuse = new HoldfastError('NODE_FAILED', 'failed before');
    for (const { sink } of failed) sink.failed(error);
  }

  collect(): void {
    for (const shard of this.shards) this.#engine.collect(shard);
    this.#checkpoint = {
      rows: this.shards.map(({ rows }) => new Map(rows)),
      extents: new Map((this.shards[0] as FakeShard).extents),
      records: [],
      clean: false,
    };
    this.#records.length = 0;
  }

  checkpoint(): void {
    this.collect();
    for (const shard of this.shards) this.#engine.checkpointed(shard);
  }

  /** What a new engine can be opened from. Waiting commits are lost, or kept up to `kept`. */
  durable(options: { clean?: boolean; kept?: number } = {}): Durable {
    const { clean = false, kept = 0 } = options;
    const tail = this.#pending.slice(0, kept).map(({ records }) => records);
    return { ...this.#checkpoint, clean, records: [...this.#records, ...tail] };
  }

  /** Rewrites every extent to another place, as the database does with sparse files. */
  moveExtents(): void {
    for (const shard of this.shards) {
      const moves: { owner: Buffer; to: ExtentRef }[] = [];
      for (const [text, value] of shard.rows) {
        if (!text.startsWith('x')) continue;
        const from = decodeExtentRef(value);
        const bytes = shard.extents.get(from.fileId) as Buffer;
        const to = { ...from, fileId: this.#nextFile++ };
        shard.extents.set(to.fileId, bytes);
        shard.extents.delete(from.fileId);
        const owner = Buffer.from(text, 'latin1');
        shard.rows.set(
          text,
          Buffer.concat([encodeExtentRef(to), value.subarray(EXTENT_REF_BYTES)]),
        );
        moves.push({ owner, to });
      }
      if (moves.length > 0) this.#engine.extentsMoved(shard, moves);
    }
  }

  /** Every extent has exactly one row, and every row an extent and an owner. */
  assertNoLeaks(): void {
    const named = new Set<number>();
    for (const shard of this.shards) {
      for (const [text, value] of shard.rows) {
        const key = Buffer.from(text, 'latin1');
        const identity = this.#engine.identityOf(key);
        assert(identity !== undefined, 'a row has no owner');
        assert(this.shardOf(identity) === shard.id, 'a row is in the wrong shard');
        if (!text.startsWith('x')) continue;
        const { fileId } = decodeExtentRef(value);
        assert(shard.extents.has(fileId) && !named.has(fileId), 'a row names no extent');
        named.add(fileId);
      }
    }
    assert(named.size === this.shards[0]?.extents.size, 'an extent has no row');
  }

  #apply(record: LogRecord): void {
    const { type, shard, payload } = record;
    this.#engine.apply(this.#engine.decode(type, shard, payload), ++this.#lsn as Lsn);
  }
}
