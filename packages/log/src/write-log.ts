/**
 * Writes a log anew that holds exactly the records it is given: how a restored database gets its
 * log. FORMAT.md, "Log".
 *
 * Invariants
 * 1. `openLog` finds these records under these LSNs, with their times, and goes on behind them;
 *    without a record it finds a log whose next LSN is the one given.
 * 2. Nothing counts before `writeLog` resolved: then every byte and every name is synced. What an
 *    earlier end leaves is nobody's log; whoever asked removes it.
 * 3. The last batch is proved to be whole by a closing frame behind it, as after a clean stop:
 *    damage to it is told from a torn end (decision 0003).
 * 4. One batch is held in memory.
 */
import {
  type BlockCodec,
  type FileSystem,
  HoldfastError,
  LIMITS,
  type Lsn,
  type Random,
  type SegmentId,
  assert,
  systemErrorCode,
} from '@holdfast/core';
import { BatchBuffer, encodedLength } from './batch-buffer.ts';
import type { StoredRecord } from './log.ts';
import { SEGMENT_HEADER_BYTES, TAG_BYTES, parseSegmentFileName } from './segment-header.ts';
import type { ChainTail } from './segment-supply.ts';
import { CLOSING_FRAME_BYTES, SegmentWriter } from './segment-writer.ts';

const SALT_BYTES = 16;

export interface WriteLogComponents {
  readonly fileSystem: FileSystem;
  readonly random: Random;
  readonly codec: BlockCodec;
}

export interface NewLog {
  /** Made when it is not there; holds no segment. */
  readonly dir: string;
  /** The LSN of the first record, or of the first one that will ever be appended. */
  readonly firstLsn: Lsn;
  /** Wall clock of what comes before the first record, ms: no time in the log falls below it. */
  readonly committedAtMs: number;
  readonly segmentTargetBytes?: number;
  /** Records of one time share a batch up to this. */
  readonly maxBatchBytes?: number;
}

export interface WrittenLog {
  readonly segments: number;
  readonly records: number;
  /** Of the records, their headers included. */
  readonly bytes: number;
  /** `firstLsn - 1` without records. */
  readonly lastLsn: Lsn;
  /** Of the last record; what was given without one. */
  readonly committedAtMs: number;
}

/**
 * Rejects with what `records` rejects with, `DISK_FULL` or `STORAGE_UNAVAILABLE`.
 *
 * @param records their LSNs go on without a gap from `firstLsn`; their times do not fall.
 */
export async function writeLog(
  components: WriteLogComponents,
  log: NewLog,
  records: AsyncIterable<StoredRecord>,
): Promise<WrittenLog> {
  const { fileSystem } = components;
  await fileSystem.makeDirectory(log.dir);
  const names = await fileSystem.list(log.dir);
  const there = names.find((name) => parseSegmentFileName(name) !== undefined);
  if (there !== undefined) throw new TypeError(`there is a log already: ${log.dir}/${there}`);
  const writing = new LogWriting(components, log);
  try {
    for await (const record of records) {
      const writes = writing.add(record);
      if (writes !== undefined) await writes;
    }
    return await writing.finish();
  } catch (error) {
    throw storageError(error, log.dir);
  } finally {
    await writing.release();
  }
}

class LogWriting {
  readonly #components: WriteLogComponents;
  readonly #dir: string;
  readonly #targetBytes: number;
  readonly #maxBatchBytes: number;
  readonly #batch = new BatchBuffer();
  /** Of the records in the batch. */
  #batchTimeMs: number;
  #writer: SegmentWriter | undefined;
  #tail: ChainTail = { segmentId: 0 as SegmentId, tag: Buffer.alloc(TAG_BYTES) };
  #segments = 0;
  #records = 0;
  #bytes = 0;
  #nextLsn: number;

  constructor(components: WriteLogComponents, log: NewLog) {
    this.#components = components;
    this.#dir = log.dir;
    this.#targetBytes = log.segmentTargetBytes ?? LIMITS.segmentTargetBytes;
    this.#maxBatchBytes = log.maxBatchBytes ?? LIMITS.maxBatchBytes;
    this.#batchTimeMs = log.committedAtMs;
    this.#nextLsn = log.firstLsn;
  }

  /** Takes a record; `undefined` when that needed no writing. */
  add(record: StoredRecord): Promise<void> | undefined {
    assert(record.lsn === this.#nextLsn, 'records of a new log leave no gap');
    const { type, shard, tenant, payload } = record;
    const encoded = [{ type, shard, tenant, parts: [payload] }];
    const size = encodedLength(encoded);
    const batch = this.#batch;
    const fits = batch.recordBytes + size <= this.#maxBatchBytes;
    const sameTime = record.committedAtMs === this.#batchTimeMs;
    const take = (): void => {
      batch.add(encoded, size, this.#nextLsn);
      this.#batchTimeMs = Math.max(this.#batchTimeMs, record.committedAtMs);
      this.#nextLsn++;
      this.#records++;
      this.#bytes += size;
    };
    if (batch.isEmpty || (fits && sameTime)) {
      take();
      return undefined;
    }
    return this.#writeBatch().then(take);
  }

  async finish(): Promise<WrittenLog> {
    if (this.#batch.isEmpty) this.#writer ??= await this.#begin();
    else await this.#writeBatch();
    await this.#seal(true);
    return {
      segments: this.#segments,
      records: this.#records,
      bytes: this.#bytes,
      lastLsn: (this.#nextLsn - 1) as Lsn,
      committedAtMs: this.#batchTimeMs,
    };
  }

  /** Gives back what an interrupted writing holds. */
  async release(): Promise<void> {
    await this.#writer?.close().catch(() => undefined);
    this.#writer = undefined;
  }

  async #writeBatch(): Promise<void> {
    const bytes = this.#batch.frameBytes;
    const open = this.#writer;
    if (open?.hasFrames === true && open.tail + bytes > this.#targetBytes) await this.#seal(false);
    const writer = (this.#writer ??= await this.#begin());
    await writer.reserve(writer.tail + bytes + CLOSING_FRAME_BYTES);
    this.#writeFrame(writer, this.#batch);
    this.#batch.clear();
  }

  #writeFrame(writer: SegmentWriter, batch: BatchBuffer): void {
    const { frame, tag } = batch.complete(writer, writer.tail, {
      committedAtMs: this.#batchTimeMs,
      zeroedTo: writer.zeroedTo,
      previousTag: writer.lastTag,
    });
    writer.write(frame, tag);
  }

  async #begin(): Promise<SegmentWriter> {
    const { fileSystem, random, codec } = this.#components;
    const id = ++this.#segments as SegmentId;
    const writer = await SegmentWriter.prepare(fileSystem, this.#dir, id, CLOSING_FRAME_BYTES);
    this.#writer = writer;
    const isEmpty = this.#batch.isEmpty;
    await writer.begin(codec, {
      firstLsn: (isEmpty ? this.#nextLsn : this.#batch.firstLsn) as Lsn,
      previousId: this.#tail.segmentId,
      previousTag: this.#tail.tag,
      createdAtMs: this.#batchTimeMs,
      salt: random.bytes(SALT_BYTES),
    });
    return writer;
  }

  /** The next segment names the last frame of this one; behind the last there is none. I3. */
  async #seal(isLast: boolean): Promise<void> {
    const writer = this.#writer as SegmentWriter;
    if (isLast && writer.tail > SEGMENT_HEADER_BYTES) {
      const closing = new BatchBuffer();
      closing.firstLsn = this.#nextLsn;
      this.#writeFrame(writer, closing);
    }
    await writer.datasync();
    this.#tail = { segmentId: writer.id, tag: writer.lastTag };
    this.#writer = undefined;
    await writer.close();
  }
}

function storageError(error: unknown, path: string): unknown {
  const systemCode = systemErrorCode(error);
  if (systemCode === undefined) return error;
  const isFull = systemCode === 'ENOSPC' || systemCode === 'EDQUOT';
  return new HoldfastError(
    isFull ? 'DISK_FULL' : 'STORAGE_UNAVAILABLE',
    isFull ? `no space left to write a log path=${path}` : `a log cannot be written path=${path}`,
    { cause: error, details: { path, systemCode } },
  );
}
