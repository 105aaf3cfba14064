/**
 * A batch on disk: one sealed block that starts on a 4 KiB boundary. FORMAT.md, "Log".
 *
 * Invariants
 * 1. The head (block header and batch header, 128 bytes) lies in one sector and has its own
 *    checksums, so it can be believed when the rest of the frame is damaged.
 * 2. `zeroSectors` is what tells a torn frame from a rotten one: a sector that never reached
 *    the disk reads as zeros, because every frame is written over synced zeros.
 * 3. A head is valid at one position of one incarnation of one segment of one database:
 *    user data can never pose as one.
 * 4. The head is readable in an encrypted log too, and authenticated with the records. There no
 *    sector is zero but a missing one, so `zeroSectors` is 0.
 */
import {
  BATCH_CLEAR_BYTES,
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  type BlockCodec,
  HoldfastError,
  LIMITS,
  type Lsn,
  type SegmentId,
  crc32c,
  readU64,
  writeU64,
} from '@holdfast/core';
import type { StoredRecord } from './log.ts';
import { TAG_BYTES } from './segment-header.ts';

const BATCH_HEADER_BYTES = BATCH_CLEAR_BYTES;
const BATCH_CRC_AT = 60;
/** Block header and batch header: where the records start. */
export const FRAME_HEAD_BYTES: number = BLOCK_HEADER_BYTES + BATCH_HEADER_BYTES;
export const RECORD_HEADER_BYTES = 12;

const SECTOR_WORDS = LIMITS.sectorBytes / 4;

/** What binds a frame to the life of one segment file. */
export interface FrameHome {
  readonly id: SegmentId;
  readonly incarnation: number;
  /** With the key of this segment, if there are keys. */
  readonly codec: BlockCodec;
}

export interface FrameFields {
  readonly firstLsn: number;
  readonly recordCount: number;
  readonly committedAtMs: number;
  /** The file is at least this long, synced, when the frame is written. */
  readonly zeroedTo: number;
  /** Tag of the frame before, or of the segment header. */
  readonly previousTag: Buffer;
}

export interface FrameHead {
  readonly position: number;
  /** Header and payload, without padding. */
  readonly length: number;
  readonly firstLsn: Lsn;
  /** `firstLsn - 1` in a frame without records. */
  readonly lastLsn: Lsn;
  readonly recordCount: number;
  readonly zeroSectors: number;
  /** Its last byte is not zero: it is of a ciphertext. */
  readonly endsInCiphertext: boolean;
  readonly committedAtMs: number;
  readonly zeroedTo: number;
  /** Views into the source. */
  readonly previousTag: Buffer;
  readonly tag: Buffer;
}

/** `length` rounded up to whole blocks. */
export function paddedLength(length: number): number {
  return Math.ceil(length / LIMITS.blockBytes) * LIMITS.blockBytes;
}

/** All-zero sectors of the first `length` bytes; a sector cut short by `length` counts. */
export function countZeroSectors(words: Int32Array, length: number): number {
  const sectors = Math.ceil(length / LIMITS.sectorBytes);
  let zero = 0;
  for (let sector = 0; sector < sectors; sector++) {
    let at = sector * SECTOR_WORDS;
    const end = at + SECTOR_WORDS;
    while (at < end && words[at] === 0) at++;
    if (at === end) zero++;
  }
  return zero;
}

/**
 * Completes the frame that stands at the start of `target`: the records are there from
 * `FRAME_HEAD_BYTES` to `length`, zeros from `length` to the end of the padding.
 * Returns the tag as a view into `target`.
 */
export function encodeFrame(
  target: Buffer,
  words: Int32Array,
  length: number,
  home: FrameHome,
  position: number,
  fields: FrameFields,
): Buffer {
  // The head's sector is never zero, so its fields do not matter for the count.
  target.writeUInt32LE(1, 0);
  const at = BLOCK_HEADER_BYTES;
  writeU64(target, at, fields.firstLsn);
  writeU64(target, at + 8, fields.firstLsn + fields.recordCount - 1);
  target.writeUInt32LE(fields.recordCount, at + 16);
  target.writeUInt32LE(home.codec.isEncrypted ? 0 : countZeroSectors(words, length), at + 20);
  writeU64(target, at + 24, fields.committedAtMs);
  writeU64(target, at + 32, fields.zeroedTo);
  fields.previousTag.copy(target, at + 40, 0, TAG_BYTES);
  target.writeUInt32LE(home.incarnation, at + 56);
  target.writeUInt32LE(crc32c(target.subarray(at, at + BATCH_CRC_AT)), at + BATCH_CRC_AT);
  return home.codec.encode(target, 0, {
    type: BLOCK_TYPES.batch,
    payloadLength: length - BLOCK_HEADER_BYTES,
    fileId: home.id,
    position,
  });
}

/**
 * The head at `at` of `source`, if it is intact and belongs at `position` of `home`. Throws
 * `KEY_MISSING` when it does and the key of its records is not there.
 */
export function readFrameHead(
  source: Buffer,
  at: number,
  home: FrameHome,
  position: number,
): FrameHead | undefined {
  if (source.length - at < FRAME_HEAD_BYTES) return undefined;
  const block = home.codec.peekHeader(source, at);
  if (
    block === undefined ||
    block.type !== BLOCK_TYPES.batch ||
    block.fileId !== home.id ||
    block.position !== position ||
    block.payloadLength < BATCH_HEADER_BYTES
  ) {
    return undefined;
  }
  const body = at + BLOCK_HEADER_BYTES;
  const crc = source.readUInt32LE(body + BATCH_CRC_AT);
  if (crc32c(source.subarray(body, body + BATCH_CRC_AT)) !== crc) return undefined;
  if (source.readUInt32LE(body + 56) !== home.incarnation) return undefined;
  if (!home.codec.accepts(block.keyId)) return undefined;
  const firstLsn = readU64(source, body);
  const lastLsn = readU64(source, body + 8);
  const recordCount = source.readUInt32LE(body + 16);
  if (lastLsn - firstLsn + 1 !== recordCount) return undefined;
  const committedAtMs = readU64(source, body + 24);
  const zeroedTo = readU64(source, body + 32);
  if (![firstLsn, lastLsn, committedAtMs, zeroedTo].every(Number.isSafeInteger)) return undefined;
  return {
    position,
    length: BLOCK_HEADER_BYTES + block.payloadLength,
    firstLsn: firstLsn as Lsn,
    lastLsn: lastLsn as Lsn,
    recordCount,
    zeroSectors: source.readUInt32LE(body + 20),
    endsInCiphertext: block.keyId !== 0 && block.payloadLength > BATCH_HEADER_BYTES,
    committedAtMs,
    zeroedTo,
    previousTag: source.subarray(body + 40, body + 40 + TAG_BYTES),
    tag: block.tag,
  };
}

/**
 * The records of the frame at `at`, whose head was read, if all of it is as it was written: a view
 * of `source`, or in an encrypted log memory of their own.
 */
export function openFrame(
  source: Buffer,
  at: number,
  home: FrameHome,
  position: number,
): Buffer | undefined {
  const place = { type: BLOCK_TYPES.batch, fileId: home.id, position };
  return home.codec.open(source, at, place)?.subarray(BATCH_HEADER_BYTES);
}

/** Which records of a frame are wanted. */
export interface RecordFilter {
  readonly from: number;
  readonly to: number;
  readonly types?: ReadonlySet<number>;
  readonly shard?: number;
  readonly tenant?: number;
}

/** The records, as `openFrame` gave them, that `filter` lets through; payloads are views. */
export function decodeRecords(
  source: Buffer,
  head: FrameHead,
  filter: RecordFilter,
): StoredRecord[] {
  const records: StoredRecord[] = [];
  const end = source.length;
  let cursor = 0;
  for (let i = 0; i < head.recordCount; i++) {
    if (end - cursor < RECORD_HEADER_BYTES) throw misshapen(head);
    const start = cursor + RECORD_HEADER_BYTES;
    const length = source.readUInt32LE(cursor + 8);
    if (length > end - start) throw misshapen(head);
    const type = source.readUInt16LE(cursor);
    const shard = source.readUInt16LE(cursor + 2);
    const tenant = source.readUInt32LE(cursor + 4);
    cursor = start + length;
    const lsn = (head.firstLsn + i) as Lsn;
    if (
      lsn < filter.from ||
      lsn > filter.to ||
      (filter.types !== undefined && !filter.types.has(type)) ||
      (filter.shard !== undefined && filter.shard !== shard) ||
      (filter.tenant !== undefined && filter.tenant !== tenant)
    ) {
      continue;
    }
    const payload = source.subarray(start, cursor);
    records.push({ lsn, type, shard, tenant, payload, committedAtMs: head.committedAtMs });
  }
  if (cursor !== end) throw misshapen(head);
  return records;
}

function misshapen(head: FrameHead): HoldfastError {
  return new HoldfastError(
    'FORMAT_INVALID',
    `records do not fill their batch first=${head.firstLsn} last=${head.lastLsn}`,
  );
}
