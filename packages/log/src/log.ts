/**
 * The contract of the log. Prose first; `log.conformance` holds an implementation to it.
 *
 * 1. **Acknowledged means durable.** `durable(firstLsn)` is called, and `append` resolves,
 *    after one `datasync` covered the whole batch the records are in. Records become durable
 *    in LSN order; sinks hear of it in that order, and `onBatch` after all sinks of a batch.
 * 2. **Group commit by natural batching.** What is submitted while a sync is under way
 *    shares the next one. No timer adds latency. One write and one sync are in flight.
 * 3. **A failed write or sync is terminal.** The log is poisoned: everything pending and later
 *    fails with `STORAGE_UNAVAILABLE`, `effect: 'unknown'` for what had been handed to the
 *    disk and `effect: 'none'` for what had not. Only opening again helps.
 * 4. **The unit is the batch**: written whole or not at all. Records of one `submit` are in
 *    one batch, consecutive, and get consecutive LSNs. LSNs are never used twice.
 * 5. **Torn or rotten is decided, not guessed** (FORMAT.md, "Recovery"). A torn last batch is
 *    cut, zeroed, synced, counted and reported. Damage in acknowledged data makes `openLog`
 *    reject with `CHECKSUM_MISMATCH` or `LSN_GAP` naming the lost LSN range.
 * 6. **Disk full is a state.** While space is short `submit` throws `DISK_FULL`, effect
 *    `none`; submissions that `reclaim` space may use what is kept in reserve. The log looks
 *    again by itself and resumes. Submissions already accepted are failed with `DISK_FULL`,
 *    effect `none`, only all together: never one and not a later one.
 * 7. **Truncation is derived.** Segments go only when every registered floor has passed them;
 *    a floor that was never raised blocks it. Open replays are floors.
 * 8. **Bounded.** At most `maxQueuedBytes` wait; beyond it `submit` throws
 *    `COMMIT_QUEUE_FULL`, effect `none`. Replay holds one batch in memory.
 * 9. **One key a segment.** With a key ring every batch is encrypted, under a key of its segment
 *    alone that is derived from the key that was active when the segment began. A key that is
 *    missing is `KEY_MISSING`, never damage, and nothing was changed.
 */
import type { HoldfastError, Lsn, SegmentId } from '@holdfast/core';

/** A record to be appended. */
export interface LogRecord {
  /** See `record-types.ts`. */
  readonly type: number;
  /** 0 to 65 535. */
  readonly shard: number;
  /** 0 to 2^32 - 1; 0 is the default tenant. */
  readonly tenant: number;
  /** The payload as consecutive parts, copied before `submit` returns. */
  readonly parts: readonly Uint8Array[];
}

/** A record read back. The payload's memory is never reused, so it may be kept. */
export interface StoredRecord {
  readonly lsn: Lsn;
  readonly type: number;
  readonly shard: number;
  readonly tenant: number;
  readonly payload: Buffer;
  /** Wall clock of the batch, ms; never falls from one batch to the next. */
  readonly committedAtMs: number;
}

/** Hears exactly one of the two, once. Must not throw. */
export interface CommitSink {
  durable(firstLsn: Lsn): void;
  failed(error: HoldfastError): void;
}

export interface SubmitOptions {
  /** These records free space (delete, close, checkpoint): they may use the disk reserve. */
  readonly reclaims?: boolean;
}

export interface ReplayRange {
  /** First LSN wanted; default: the oldest there is. */
  readonly from?: Lsn;
  /** Last LSN wanted; default: the last durable one when replay starts. */
  readonly to?: Lsn;
  readonly types?: readonly number[];
  readonly shard?: number;
  readonly tenant?: number;
}

export interface SegmentInfo {
  readonly id: SegmentId;
  readonly path: string;
  readonly state: 'active' | 'sealed';
  readonly firstLsn: Lsn;
  /** `firstLsn - 1` while the segment is empty. */
  readonly lastLsn: Lsn;
  /** Bytes up to the end of the last batch. */
  readonly bytes: number;
  /** The key of all its batches; 0 when they are not encrypted. */
  readonly keyId: number;
}

export interface RecoveryReport {
  readonly segments: number;
  readonly records: number;
  /** Bytes of a torn, never acknowledged tail that were cut; 0 after a clean stop. */
  readonly tornBytes: number;
  readonly lastLsn: Lsn;
}

export interface VerifyReport {
  readonly segments: number;
  readonly batches: number;
  readonly records: number;
  readonly bytes: number;
  /** Empty when everything is whole. */
  readonly problems: readonly VerifyProblem[];
}

export interface VerifyProblem {
  readonly path: string;
  readonly position: number;
  readonly message: string;
  /** The acknowledged records that are lost, when known. */
  readonly firstLsn?: Lsn;
  readonly lastLsn?: Lsn;
}

/** A reason to keep segments. Starts at 0: keep everything. */
export interface LogFloor {
  /** Records up to and including `lsn` are no longer needed here. Only rises. */
  raise(lsn: Lsn): void;
  /** This reason is gone. */
  release(): void;
}

export type LogState = 'open' | 'full' | 'failed' | 'closed';

export interface LogStats {
  readonly batches: number;
  readonly records: number;
  readonly payloadBytes: number;
  /** Bytes written to disk, padding included. */
  readonly writtenBytes: number;
  readonly syncs: number;
  readonly syncMsTotal: number;
  readonly queuedBytes: number;
}

export interface Log extends AsyncDisposable {
  /** The LSN the next accepted record will get. */
  readonly nextLsn: Lsn;
  readonly durableLsn: Lsn;
  readonly state: LogState;
  readonly recovery: RecoveryReport;
  /** Resolves with the LSN of the (first) record once it is durable. */
  append(records: LogRecord | readonly LogRecord[], options?: SubmitOptions): Promise<Lsn>;
  /** `append` without a promise: the hot path. Throws when not accepted. */
  submit(records: readonly LogRecord[], sink: CommitSink, options?: SubmitOptions): void;
  /** Called after the sinks of each durable batch; replaces an earlier listener. */
  onBatch(listener: (lastLsn: Lsn) => void): void;
  /** Called once when the state turns `failed`; at once if it already has. */
  onFailed(listener: (error: HoldfastError) => void): void;
  /** Resolves once everything accepted before is durable. */
  sync(): Promise<void>;
  replay(range?: ReplayRange): AsyncIterable<StoredRecord>;
  floor(name: string): LogFloor;
  /** Deletes sealed segments below every floor and, if given, below `lsn`. */
  truncateBefore(lsn?: Lsn): Promise<{ segmentsDeleted: number; bytesReclaimed: number }>;
  /** Seals the active segment and begins a new one. */
  roll(): Promise<void>;
  /**
   * What is appended from now on is under the key that is active in the key ring now; resolves once
   * a segment is begun under it, which may be the one there is. Older segments stay as they are
   * until truncation.
   */
  rotateKey(): Promise<void>;
  segments(): readonly SegmentInfo[];
  totalBytes(): number;
  /** Bytes written since the log was opened, padding included; cheap to ask on every commit. */
  readonly writtenBytes: number;
  /** Called after a segment was sealed (for the archive). */
  onSealed(listener: (segment: SegmentInfo) => void): void;
  stats(): LogStats;
  /**
   * Re-reads and checks every byte; never changes anything.
   *
   * @param pace awaited after every piece, with its bytes; what it rejects with ends the work.
   */
  verify(pace?: (bytes: number) => Promise<void> | undefined): Promise<VerifyReport>;
  /** Makes what is accepted durable, then seals. Idempotent. */
  close(): Promise<void>;
}
