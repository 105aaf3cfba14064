/**
 * What was accepted and is not durable yet, in LSN order.
 *
 * Invariants
 * 1. Records of one submission are in one batch; LSNs are consecutive over all batches.
 * 2. At most `maxQueuedBytes` wait, the batch in flight included.
 * 3. LSNs are given back only by `takeAll`, which empties the whole queue.
 *
 * Owned by the committer.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { BatchBuffer, encodedLength, payloadLength } from './batch-buffer.ts';
import { RECORD_HEADER_BYTES } from './batch-frame.ts';
import type { CommitSink, LogRecord } from './log.ts';

/** Buffers kept for reuse: one fills while the other is written. */
const KEPT_BUFFERS = 2;

export interface CommitQueueBounds {
  readonly maxBatchBytes: number;
  readonly maxQueuedBytes: number;
}

export class CommitQueue {
  readonly #bounds: CommitQueueBounds;
  readonly #spare: BatchBuffer[] = [];
  /** Batches that take no more records, oldest first. */
  #filled: BatchBuffer[] = [];
  #open: BatchBuffer;
  #nextLsn: number;
  #queuedBytes = 0;

  constructor(bounds: CommitQueueBounds, nextLsn: number) {
    this.#bounds = bounds;
    this.#nextLsn = nextLsn;
    this.#open = new BatchBuffer();
  }

  get nextLsn(): number {
    return this.#nextLsn;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get isEmpty(): boolean {
    return this.#open.isEmpty && this.#filled.length === 0;
  }

  /** Whether a submission that waits frees space. */
  get reclaims(): boolean {
    return this.#open.reclaims || this.#filled.some((batch) => batch.reclaims);
  }

  /** The newest batch that waits, if any. */
  get newest(): BatchBuffer | undefined {
    return this.#open.isEmpty ? this.#filled.at(-1) : this.#open;
  }

  add(records: readonly LogRecord[], sink: CommitSink, reclaims: boolean): void {
    const size = encodedLength(records);
    if (size > LIMITS.maxRecordBytes) this.#assertRecords(records, size);
    if (size > this.#bounds.maxQueuedBytes - this.#queuedBytes) throw this.#overflow(size);
    let batch = this.#open;
    if (!batch.isEmpty && batch.recordBytes + size > this.#bounds.maxBatchBytes) {
      this.#filled.push(batch);
      batch = this.#open = this.#spare.pop() ?? new BatchBuffer();
    }
    batch.add(records, size, this.#nextLsn);
    batch.listen(sink, this.#nextLsn);
    if (reclaims) batch.reclaims = true;
    this.#nextLsn += records.length;
    this.#queuedBytes += size;
  }

  /** The oldest batch; what comes later goes into another. */
  take(): BatchBuffer | undefined {
    const filled = this.#filled.shift();
    if (filled !== undefined) return filled;
    if (this.#open.isEmpty) return undefined;
    const batch = this.#open;
    this.#open = this.#spare.pop() ?? new BatchBuffer();
    return batch;
  }

  /** Empties the queue. The next record gets `nextLsn`. */
  takeAll(nextLsn: number): BatchBuffer[] {
    const all = this.#filled;
    this.#filled = [];
    if (!this.#open.isEmpty) {
      all.push(this.#open);
      this.#open = this.#spare.pop() ?? new BatchBuffer();
    }
    this.#nextLsn = nextLsn;
    return all;
  }

  /** The batch no longer counts as waiting; its memory may be used again. */
  release(batch: BatchBuffer): void {
    this.#queuedBytes -= batch.recordBytes;
    batch.clear();
    const keep = batch.capacity <= 2 * this.#bounds.maxBatchBytes;
    if (keep && this.#spare.length < KEPT_BUFFERS) this.#spare.push(batch);
  }

  #assertRecords(records: readonly LogRecord[], size: number): void {
    for (const record of records) {
      const length = payloadLength(record);
      if (length > LIMITS.maxRecordBytes) throw tooLarge(length, LIMITS.maxRecordBytes);
    }
    const most = this.#bounds.maxQueuedBytes;
    if (size > most) throw tooLarge(size - RECORD_HEADER_BYTES, most);
  }

  #overflow(size: number): HoldfastError {
    if (size > this.#bounds.maxQueuedBytes) return tooLarge(size, this.#bounds.maxQueuedBytes);
    return new HoldfastError(
      'COMMIT_QUEUE_FULL',
      `too much waits for the disk, retry later queuedBytes=${this.#queuedBytes}`,
    );
  }
}

function tooLarge(size: number, limit: number): HoldfastError {
  return new HoldfastError('RECORD_TOO_LARGE', `record is too large bytes=${size} limit=${limit}`, {
    details: { bytes: size, limit },
  });
}
