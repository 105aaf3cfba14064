/**
 * One batch in memory: records are copied into the frame they will be written as.
 *
 * Invariants
 * 1. Records stand from `FRAME_HEAD_BYTES` to `length` exactly as they go to disk.
 * 2. A record that cannot be encoded leaves the batch as it was.
 * 3. The memory is reused; nothing outside keeps a view of it past `clear`.
 *
 * Owned by the commit queue.
 */
import { LIMITS } from '@holdfast/core';
import {
  FRAME_HEAD_BYTES,
  type FrameHome,
  RECORD_HEADER_BYTES,
  encodeFrame,
  paddedLength,
} from './batch-frame.ts';
import type { CommitSink, LogRecord } from './log.ts';

const INITIAL_BYTES = 16 * LIMITS.blockBytes;

/** Bytes the records take in a frame. */
export function encodedLength(records: readonly LogRecord[]): number {
  let total = 0;
  for (let i = 0; i < records.length; i++) {
    total += RECORD_HEADER_BYTES + payloadLength(records[i] as LogRecord);
  }
  return total;
}

export function payloadLength(record: LogRecord): number {
  const parts = record.parts;
  let total = 0;
  for (let i = 0; i < parts.length; i++) total += (parts[i] as Uint8Array).length;
  return total;
}

export class BatchBuffer {
  #bytes: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #words: Int32Array = wordsOf(this.#bytes);
  #length = FRAME_HEAD_BYTES;
  #sinks: CommitSink[] = [];
  /** First LSN of each sink, in step with `#sinks`. */
  #lsns: number[] = [];
  firstLsn = 0;
  recordCount = 0;
  /** Whether any submission in it frees space. */
  reclaims = false;

  /** Bytes of the records, their headers included. */
  get recordBytes(): number {
    return this.#length - FRAME_HEAD_BYTES;
  }

  /** Bytes of the records alone. */
  get payloadBytes(): number {
    return this.recordBytes - this.recordCount * RECORD_HEADER_BYTES;
  }

  get isEmpty(): boolean {
    return this.recordCount === 0;
  }

  get lastLsn(): number {
    return this.firstLsn + this.recordCount - 1;
  }

  /** Bytes of the frame on disk, padding included. */
  get frameBytes(): number {
    return paddedLength(this.#length);
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  get sinks(): readonly CommitSink[] {
    return this.#sinks;
  }

  /** @param size `encodedLength(records)` */
  add(records: readonly LogRecord[], size: number, lsn: number): void {
    this.#reserve(this.#length + size);
    const target = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < records.length; i++) at = writeRecord(target, at, records[i] as LogRecord);
    if (this.recordCount === 0) this.firstLsn = lsn;
    this.#length = at;
    this.recordCount += records.length;
  }

  /** @param firstLsn what the sink hears when the batch is durable */
  listen(sink: CommitSink, firstLsn: number): void {
    this.#sinks.push(sink);
    this.#lsns.push(firstLsn);
  }

  lsnOf(sink: number): number {
    return this.#lsns[sink] as number;
  }

  /**
   * The frame with its padding, and its tag: views, valid until `clear`. Once only: in an encrypted
   * log the records are no longer there afterwards.
   */
  complete(
    home: FrameHome,
    position: number,
    fields: { committedAtMs: number; zeroedTo: number; previousTag: Buffer },
  ): { frame: Buffer; tag: Buffer } {
    const end = this.frameBytes;
    this.#bytes.fill(0, this.#length, end);
    const tag = encodeFrame(this.#bytes, this.#words, this.#length, home, position, {
      firstLsn: this.firstLsn,
      recordCount: this.recordCount,
      ...fields,
    });
    return { frame: this.#bytes.subarray(0, end), tag };
  }

  clear(): void {
    this.#length = FRAME_HEAD_BYTES;
    this.#sinks.length = 0;
    this.#lsns.length = 0;
    this.firstLsn = 0;
    this.recordCount = 0;
    this.reclaims = false;
  }

  #reserve(needed: number): void {
    if (paddedLength(needed) <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(paddedLength(Math.max(needed, this.#bytes.length * 2)));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
    this.#words = wordsOf(grown);
  }
}

function writeRecord(target: Buffer, start: number, record: LogRecord): number {
  const parts = record.parts;
  let at = start + RECORD_HEADER_BYTES;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as Uint8Array;
    target.set(part, at);
    at += part.length;
  }
  target.writeUInt16LE(record.type, start);
  target.writeUInt16LE(record.shard, start + 2);
  target.writeUInt32LE(record.tenant, start + 4);
  target.writeUInt32LE(at - start - RECORD_HEADER_BYTES, start + 8);
  return at;
}

function wordsOf(bytes: Buffer): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}
