/**
 * The commit loop: takes batches from the queue to the disk, one at a time, and tells.
 *
 * Invariants
 * 1. One frame is under way; the next starts only after its sync succeeded. So at most one
 *    batch on disk is not acknowledged, and it is the last one.
 * 2. Sinks hear in LSN order, after `durableLsn` moved.
 * 3. The first failed write or sync ends everything: nothing is written afterwards.
 *
 * Owned by the log.
 */
import {
  type Clock,
  HoldfastError,
  type Logger,
  type Lsn,
  cut,
  isHoldfastError,
} from '@holdfast/core';
import { BatchBuffer } from './batch-buffer.ts';
import type { CommitQueue } from './commit-queue.ts';
import type { LiveSegments } from './live-segments.ts';
import type { CommitSink, LogRecord } from './log.ts';
import type { SegmentSupply } from './segment-supply.ts';
import type { SegmentWriter } from './segment-writer.ts';

export interface CommitterParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly queue: CommitQueue;
  readonly segments: LiveSegments;
}

export interface CommitCounters {
  batches: number;
  records: number;
  payloadBytes: number;
  writtenBytes: number;
  syncs: number;
  syncMsTotal: number;
}

export class Committer {
  readonly #parts: CommitterParts;
  readonly counters: CommitCounters = {
    batches: 0,
    records: 0,
    payloadBytes: 0,
    writtenBytes: 0,
    syncs: 0,
    syncMsTotal: 0,
  };
  readonly #supply: SegmentSupply;
  #durableLsn: Lsn;
  #lastCommittedAtMs: number;
  #failure: HoldfastError | undefined;
  #scheduled = false;
  #working = false;
  /** The batch that is being written, while it is. */
  #current: BatchBuffer | undefined;
  /** Whether bytes of the current batch may be on disk. */
  #handedOver = false;
  /** Work that must not overlap with a batch: rolls, closing. */
  #tasks: (() => Promise<void>)[] = [];
  #onIdle: (() => void)[] = [];
  #onBatch: ((lastLsn: Lsn) => void) | undefined;
  #onFailed: ((error: HoldfastError) => void) | undefined;

  /** @param createSupply gets the way to report failures in the background */
  constructor(
    parts: CommitterParts,
    durableLsn: Lsn,
    lastCommittedAtMs: number,
    createSupply: (onFailure: (error: unknown) => void) => SegmentSupply,
  ) {
    this.#parts = parts;
    this.#supply = createSupply((error) => this.poison(error));
    this.#durableLsn = durableLsn;
    this.#lastCommittedAtMs = lastCommittedAtMs;
  }

  get isFull(): boolean {
    return this.#supply.isFull;
  }

  get durableLsn(): Lsn {
    return this.#durableLsn;
  }

  get failure(): HoldfastError | undefined {
    return this.#failure;
  }

  /** What a submission after the failure gets: nothing of it was written. */
  refusal(): HoldfastError {
    return failed('none', this.#failure?.cause);
  }

  diskFull(): HoldfastError {
    return this.#supply.diskFull();
  }

  onBatch(listener: (lastLsn: Lsn) => void): void {
    this.#onBatch = listener;
  }

  onFailed(listener: (error: HoldfastError) => void): void {
    this.#onFailed = listener;
    if (this.#failure !== undefined) listener(this.#failure);
  }

  submit(records: readonly LogRecord[], sink: CommitSink, reclaims: boolean): void {
    this.#parts.queue.add(records, sink, reclaims);
    if (!this.#working && !this.#scheduled) this.#schedule();
  }

  /** Hears when everything accepted so far is durable. */
  barrier(sink: CommitSink): void {
    const last = this.#parts.queue.newest ?? this.#current;
    if (last === undefined) sink.durable(this.#durableLsn);
    else last.listen(sink, this.#durableLsn);
  }

  /** Runs `task` between two batches. */
  between(task: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#tasks.push(() => task().then(resolve, reject));
      if (!this.#working && !this.#scheduled) this.#schedule();
    });
  }

  /** Resolves once nothing waits and nothing is under way. */
  idle(): Promise<void> {
    if (!this.#working && !this.#scheduled) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Begins a new segment. Only within `between` or before the first batch. */
  async roll(): Promise<void> {
    if (this.#failure !== undefined) throw this.refusal();
    try {
      await this.#supply.roll(this.#nextLsn(), this.#now(), false);
    } catch (error) {
      throw this.#refusedOrPoisoned(error);
    }
  }

  /** Begins a new segment if new frames would be under another key than the active one would give. */
  async rotateKey(): Promise<void> {
    if (this.#supply.isUnderActiveKey) return;
    await this.roll();
  }

  /** Ends the active segment with a frame without records. Only within `between`. */
  async writeClosingFrame(): Promise<void> {
    const active = this.#supply.active;
    if (this.#failure !== undefined || active === undefined || !active.hasFrames) return;
    const batch = new BatchBuffer();
    batch.firstLsn = this.#nextLsn();
    try {
      this.#writeFrame(active, batch);
      await cut('log.closeWritten');
      await active.datasync();
      this.#parts.segments.grow(batch.frameBytes, this.#durableLsn);
    } catch (error) {
      throw this.poison(error);
    }
  }

  /** I3. Returns the error that ended the log. */
  poison(cause: unknown): HoldfastError {
    if (this.#failure !== undefined) return this.#failure;
    const failure = failed('unknown', cause);
    this.#failure = failure;
    this.#parts.logger.error('log.failed', { error: String(cause) });
    const current = this.#current;
    this.#current = undefined;
    const waiting = this.#parts.queue.takeAll(this.#nextLsn());
    if (current !== undefined) {
      this.#reject(current, this.#handedOver ? failure : this.refusal());
    }
    for (const batch of waiting) this.#reject(batch, this.refusal());
    this.#onFailed?.(failure);
    return failure;
  }

  /** Nothing may be accepted any more, and `idle` has resolved. */
  async close(): Promise<void> {
    await this.#supply.close();
  }

  #schedule(): void {
    this.#scheduled = true;
    this.#parts.clock.immediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    if (this.#working) return;
    const task = this.#tasks.shift();
    if (task !== undefined) {
      this.#working = true;
      void task().then(this.#next);
      return;
    }
    const batch = this.#failure === undefined ? this.#parts.queue.take() : undefined;
    if (batch === undefined) {
      for (const resolve of this.#onIdle.splice(0)) resolve();
      return;
    }
    this.#working = true;
    this.#current = batch;
    this.#handedOver = false;
    const writer = this.#supply.ready(batch.frameBytes);
    if (writer !== undefined) this.#commit(writer, batch);
    else void this.#makeRoom(batch);
  };

  /** After the I/O of this turn: callers woken by a batch get into the next one. */
  readonly #next = (): void => {
    this.#working = false;
    if (!this.#scheduled) this.#schedule();
  };

  async #makeRoom(batch: BatchBuffer): Promise<void> {
    let writer: SegmentWriter;
    try {
      const useReserve = batch.reclaims || this.#parts.queue.reclaims;
      writer = await this.#supply.makeRoom(
        batch.frameBytes,
        this.#nextLsn(),
        this.#now(),
        useReserve,
      );
    } catch (error) {
      const refusal = this.#refusedOrPoisoned(error);
      if (this.#failure === undefined) this.#refuseAll(batch, refusal);
      this.#next();
      return;
    }
    if (this.#failure === undefined) this.#commit(writer, batch);
    else this.#next();
  }

  #commit(writer: SegmentWriter, batch: BatchBuffer): void {
    const { clock } = this.#parts;
    let startedMs: number;
    try {
      this.#writeFrame(writer, batch);
      startedMs = clock.monotonicMs();
      writer.datasync().then(
        () => this.#synced(batch, startedMs),
        (error: unknown) => {
          this.poison(error);
          this.#next();
        },
      );
    } catch (error) {
      this.poison(error);
      this.#next();
    }
  }

  #writeFrame(writer: SegmentWriter, batch: BatchBuffer): void {
    const { frame, tag } = batch.complete(writer, writer.tail, {
      committedAtMs: this.#now(),
      zeroedTo: writer.zeroedTo,
      previousTag: writer.lastTag,
    });
    void cut('log.beforeWrite');
    this.#handedOver = true;
    writer.write(frame, tag);
    void cut('log.afterWrite');
  }

  #synced(batch: BatchBuffer, startedMs: number): void {
    // Something else failed meanwhile: its sinks have heard already. I3.
    if (this.#failure !== undefined) return this.#next();
    try {
      void cut('log.afterSync');
    } catch (error) {
      this.poison(error);
      return this.#next();
    }
    this.#count(batch, startedMs);
    this.#current = undefined;
    const lastLsn = batch.lastLsn as Lsn;
    this.#parts.segments.grow(batch.frameBytes, lastLsn);
    this.#durableLsn = lastLsn;
    const sinks = batch.sinks;
    for (let i = 0; i < sinks.length; i++) {
      (sinks[i] as CommitSink).durable(batch.lsnOf(i) as Lsn);
    }
    this.#parts.queue.release(batch);
    this.#onBatch?.(lastLsn);
    this.#supply.lookAhead();
    this.#next();
  }

  #count(batch: BatchBuffer, startedMs: number): void {
    const counters = this.counters;
    counters.batches++;
    counters.records += batch.recordCount;
    counters.payloadBytes += batch.payloadBytes;
    counters.writtenBytes += batch.frameBytes;
    counters.syncs++;
    counters.syncMsTotal += this.#parts.clock.monotonicMs() - startedMs;
  }

  /** Everything accepted fails, together: their LSNs were never on disk and are given again. */
  #refuseAll(first: BatchBuffer, error: HoldfastError): void {
    this.#current = undefined;
    const rest = this.#parts.queue.takeAll(this.#nextLsn());
    this.#reject(first, error);
    for (const batch of rest) this.#reject(batch, error);
  }

  #reject(batch: BatchBuffer, error: HoldfastError): void {
    for (const sink of batch.sinks) sink.failed(error);
    this.#parts.queue.release(batch);
  }

  #refusedOrPoisoned(error: unknown): HoldfastError {
    if (isHoldfastError(error) && error.code === 'DISK_FULL') return error;
    return this.poison(error);
  }

  #nextLsn(): Lsn {
    return (this.#durableLsn + 1) as Lsn;
  }

  /** Wall clock that never falls. */
  #now(): number {
    this.#lastCommittedAtMs = Math.max(this.#lastCommittedAtMs, this.#parts.clock.now());
    return this.#lastCommittedAtMs;
  }
}

function failed(effect: 'none' | 'unknown', cause: unknown): HoldfastError {
  return new HoldfastError(
    'STORAGE_UNAVAILABLE',
    'the log could not be written and stopped, restart to recover from disk',
    { effect, cause },
  );
}
