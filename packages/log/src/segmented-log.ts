/**
 * The log: one folder of segments behind the contract of `log.ts`.
 *
 * Invariants
 * 1. A submission is accepted whole or refused by a throw; an accepted one hears once.
 * 2. After `close` began nothing is accepted, and what was accepted has been settled when it
 *    resolves.
 *
 * Owned by whoever opened it.
 */
import {
  type BlockCodec,
  type DirectoryLock,
  type FileSystem,
  HoldfastError,
  type Lsn,
} from '@holdfast/core';
import type { CommitQueue } from './commit-queue.ts';
import type { Committer } from './committer.ts';
import type { Floors } from './floors.ts';
import type { LiveSegment, LiveSegments } from './live-segments.ts';
import type {
  CommitSink,
  Log,
  LogFloor,
  LogRecord,
  LogState,
  LogStats,
  RecoveryReport,
  ReplayRange,
  SegmentInfo,
  StoredRecord,
  SubmitOptions,
  VerifyReport,
} from './log.ts';
import { Replay } from './replay.ts';
import type { Truncated, Truncation } from './truncation.ts';
import { Verification } from './verify.ts';

export interface SegmentedLogParts {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly queue: CommitQueue;
  readonly committer: Committer;
  readonly segments: LiveSegments;
  readonly floors: Floors;
  readonly truncation: Truncation;
  readonly recovery: RecoveryReport;
  readonly lock: DirectoryLock | undefined;
}

export class SegmentedLog implements Log {
  readonly #parts: SegmentedLogParts;
  readonly #queue: CommitQueue;
  readonly #committer: Committer;
  readonly #floors: Floors;
  readonly #truncation: Truncation;
  #closing: Promise<void> | undefined;

  constructor(parts: SegmentedLogParts) {
    this.#parts = parts;
    this.#queue = parts.queue;
    this.#committer = parts.committer;
    this.#floors = parts.floors;
    this.#truncation = parts.truncation;
  }

  get nextLsn(): Lsn {
    return this.#queue.nextLsn as Lsn;
  }

  get durableLsn(): Lsn {
    return this.#committer.durableLsn;
  }

  get state(): LogState {
    if (this.#closing !== undefined) return 'closed';
    if (this.#committer.failure !== undefined) return 'failed';
    return this.#committer.isFull ? 'full' : 'open';
  }

  get recovery(): RecoveryReport {
    return this.#parts.recovery;
  }

  append(records: LogRecord | readonly LogRecord[], options?: SubmitOptions): Promise<Lsn> {
    return new Promise((resolve, reject) => {
      const list = isList(records) ? records : [records];
      this.submit(list, { durable: resolve, failed: reject }, options);
    });
  }

  submit(records: readonly LogRecord[], sink: CommitSink, options?: SubmitOptions): void {
    if (records.length === 0) throw new TypeError('a submission needs at least one record');
    const reclaims = options?.reclaims === true;
    if (this.#closing !== undefined) throw closed();
    if (this.#committer.failure !== undefined) throw this.#committer.refusal();
    if (!reclaims && this.#committer.isFull) throw this.#committer.diskFull();
    this.#committer.submit(records, sink, reclaims);
  }

  onBatch(listener: (lastLsn: Lsn) => void): void {
    this.#committer.onBatch(listener);
  }

  onFailed(listener: (error: HoldfastError) => void): void {
    this.#committer.onFailed(listener);
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#committer.failure !== undefined) throw this.#committer.refusal();
      this.#committer.barrier({ durable: () => resolve(), failed: reject });
    });
  }

  replay(range: ReplayRange = {}): AsyncIterable<StoredRecord> {
    return {
      [Symbol.asyncIterator]: () => {
        if (this.#closing !== undefined) throw closed();
        const { fileSystem, codec, segments } = this.#parts;
        const parts = { fileSystem, codec, segments, floors: this.#floors };
        return new Replay(parts, range, this.durableLsn);
      },
    };
  }

  floor(name: string): LogFloor {
    return this.#floors.add(name);
  }

  async truncateBefore(lsn?: Lsn): Promise<Truncated> {
    if (this.#closing !== undefined) throw closed();
    return this.#truncation.truncateBefore(lsn);
  }

  async roll(): Promise<void> {
    if (this.#closing !== undefined) throw closed();
    await this.#committer.between(async () => {
      const active = this.#parts.segments.active;
      if (active !== undefined && active.lastLsn < active.firstLsn) return;
      await this.#committer.roll();
    });
  }

  async rotateKey(): Promise<void> {
    if (this.#closing !== undefined) throw closed();
    await this.#committer.between(() => this.#committer.rotateKey());
  }

  segments(): readonly SegmentInfo[] {
    return this.#parts.segments.infos();
  }

  totalBytes(): number {
    return this.#parts.segments.totalBytes();
  }

  onSealed(listener: (segment: SegmentInfo) => void): void {
    this.#parts.segments.onSealed(listener);
  }

  get writtenBytes(): number {
    return this.#committer.counters.writtenBytes;
  }

  stats(): LogStats {
    return { ...this.#committer.counters, queuedBytes: this.#queue.queuedBytes };
  }

  async verify(pace?: (bytes: number) => Promise<void> | undefined): Promise<VerifyReport> {
    if (this.#closing !== undefined) throw closed();
    const { fileSystem, codec, segments } = this.#parts;
    const isNeeded = (segment: LiveSegment): boolean => segments.all().includes(segment);
    const verification = new Verification(fileSystem, codec, pace, isNeeded);
    return verification.run(segments.all(), segments.active);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    // A microtask later `#closing` is set: from then on nothing is accepted.
    await Promise.resolve();
    try {
      await this.#committer.idle();
      await this.#committer.between(() => this.#committer.writeClosingFrame());
      await this.#truncation.settled();
    } finally {
      try {
        await this.#committer.close();
      } finally {
        await this.#parts.lock?.release();
      }
    }
  }
}

function isList(records: LogRecord | readonly LogRecord[]): records is readonly LogRecord[] {
  return Array.isArray(records);
}

function closed(): HoldfastError {
  return new HoldfastError('CLOSED', 'log is closed');
}
