/**
 * The contract between the database and an engine (streams, kv, ...). An engine keeps its
 * state in memory, says what a request changes as *operations*, and learns from the database
 * when those are durable.
 *
 * The life of a change
 *   plan    the engine checks the request against its planned state and makes operations
 *   commit  `database.commit(operations, sink)` hands their records to the log
 *   apply   once durable, in log order: `engine.apply(operation)` makes each visible, then
 *           the sink hears of it; after all of a batch, `engine.settled()`
 *   collect at a checkpoint the engine writes what changed as rows and extents, within a turn
 *
 * Contract
 * 1. `apply` is synchronous and a deterministic function of the operation and the state: no
 *    clock, no chance, no I/O. Effects are absolute, so that applying twice is applying once.
 * 2. `decode(type, encode(op))` equals `op`: replay and live commits take the same path.
 * 3. Planned state is what commits in flight will make true. When a commit is refused with
 *    effect `none`, the database calls `discardPlanned()` once for all refused commits, with
 *    nothing in flight, and only then tells the sinks: planned state falls back to applied state.
 *    Once the database has failed, sinks hear only `unknown`, and planned state stays as it is.
 * 4. `collect` runs between two applies, so everything it writes is one cut of the log. What
 *    it wrote stays readable (`shard.get`, `shard.readExtent`) from then on, also before it is on disk.
 * 5. `load` rebuilds the state from the rows of a shard; records after the shard's
 *    checkpoint follow through `apply`.
 * 6. Operations of one commit that span shards stay atomic: all of a commit is applied in
 *    one turn, and a checkpoint cuts every shard at one LSN.
 */
import type { HoldfastError, Lsn, ShardId } from '@holdfast/core';
import type { ExtentRef, KeyRange, Row } from '@holdfast/tables';

/** One absolute effect. Engines extend it with their fields. */
export interface Operation {
  /** Record type; see the log's `record-types.ts`. */
  readonly type: number;
  readonly shard: ShardId;
}

export interface Engine<Op extends Operation = Operation> {
  readonly name: string;
  /** The record types this engine owns. */
  readonly recordTypes: readonly number[];
  /** Called once, before anything else. */
  attach(host: EngineHost): void;
  /** The payload as consecutive parts; copied before the commit returns. */
  encode(operation: Op): readonly Uint8Array[];
  /** @param payload may be kept: its memory is not reused. */
  decode(type: number, shard: ShardId, payload: Buffer): Op;
  apply(operation: Op, lsn: Lsn): void;
  /** All records of one durable batch have been applied: wake readers now. */
  settled(): void;
  discardPlanned(): void;
  load(shard: Shard): Promise<void>;
  /** Everything is loaded and replayed; the engine may plan from now on. */
  opened(): void;
  collect(shard: CollectingShard): void;
  /** What the last `collect` of this shard wrote is on disk: memory it used may go. */
  checkpointed(shard: Shard): void;
  /** These extents now live elsewhere: their rows were rewritten, cached refs are stale. */
  extentsMoved(shard: Shard, moves: readonly MovedExtent[]): void;
  /** The identity whose hash places this row's shard; `undefined` when its owner is gone. */
  identityOf(key: Buffer): string | undefined;
  /** The extent that a row of this engine owns, if it owns one. Absent: it has no extents. */
  extentOf?(key: Buffer, value: Buffer): ExtentRef | undefined;
  /**
   * Bytes of damaged extents from what memory still holds or the log still says. For each row one
   * buffer for each hole, exactly as long, or `undefined` when any byte of them is lost.
   *
   * @param history what the log still has of the records up to the last checkpoint, in order; rejects
   * where the log is damaged, and what came before counts. To be read once: it may be long.
   */
  restoreExtents?(
    rows: readonly DamagedRow[],
    history: () => AsyncIterable<Operation>,
  ): Promise<readonly (readonly Buffer[] | undefined)[]>;
}

/** A row whose extent cannot be read everywhere. */
export interface DamagedRow {
  readonly key: Buffer;
  readonly value: Buffer;
  /** What is missing, in order; bytes from the start of the extent. */
  readonly holes: readonly ByteHole[];
}

export interface ByteHole {
  readonly from: number;
  readonly to: number;
}

/** The extent whose row is `owner` rests at `to` now. */
export interface MovedExtent {
  readonly owner: Buffer;
  readonly to: ExtentRef;
}

/** A row that is there: no tombstone. */
export type StoredRow = Row & { readonly value: Buffer };

/** Read access to one shard's rows and extents. */
export interface Shard {
  readonly id: ShardId;
  get(key: Buffer): Promise<Buffer | undefined>;
  /** What `get` would give, where memory tells; `undefined`: it has to be read. The value is a view. */
  getAtHand(key: Buffer): { readonly value: Buffer | undefined } | undefined;
  /** In key order; a stable view of the moment of its first step. */
  scan(range: KeyRange): AsyncIterable<StoredRow>;
  /** The same, as many at a time as are at hand: a promise for each of them would cost more than they do. */
  scanBatches(range: KeyRange): AsyncGenerator<readonly StoredRow[], void, undefined>;
  /**
   * Bytes `offset` to `offset + length` of an extent as checked, consecutive views, in
   * memory or read from disk. Damage rejects with `CHECKSUM_MISMATCH`.
   *
   * @param into memory of the caller that the views may lie in; they are gone with its next use.
   */
  readExtent(ref: ExtentRef, offset: number, length: number, into?: Buffer): Promise<Buffer[]>;
}

/** What `collect` may do besides reading. */
export interface CollectingShard extends Shard {
  put(key: Buffer, value: Buffer): void;
  delete(key: Buffer): void;
  /**
   * Lays bytes down in the shard's next extent file. The row at `owner` must hold the
   * encoded ref in its first bytes (`encodeExtentRef`), so that the file can be rewritten.
   * The parts are kept until they are on disk and must not change.
   */
  writeExtent(owner: Buffer, parts: readonly Uint8Array[]): ExtentRef;
  /** The owner's row is being deleted or replaced: its bytes may be reclaimed. */
  freeExtent(ref: ExtentRef): void;
}

/** Hears exactly one of the two, once. Must not throw. */
export interface OperationSink {
  /** Durable and applied. */
  visible(lsn: Lsn): void;
  failed(error: HoldfastError): void;
}

export interface CommitOptions {
  /** The operations free space: they may use the disk reserve. */
  readonly reclaims?: boolean;
}

/** What an engine sees of the database. */
export interface EngineHost {
  readonly shardCount: number;
  /** The database was closed in good order before: what was kept in memory only is in the rows. */
  readonly cleanStart: boolean;
  /** Stable hash of an identity; see FORMAT.md, "Layout". */
  shardOf(identity: string): ShardId;
  shard(id: ShardId): Shard;
  /** Throws, with effect `none`, when not accepted; then nothing was planned. */
  commit(operations: readonly Operation[], sink: OperationSink, options?: CommitOptions): void;
}
