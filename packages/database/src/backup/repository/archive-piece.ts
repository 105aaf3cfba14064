/**
 * One archive piece: a run of consecutive records of the log, with the wall clock of their batches.
 * FORMAT.md, "Archive piece".
 *
 * | at | size | field |
 * | --- | --- | --- |
 * | 0 | 1 | version, 1 |
 * | 1 | 8 | epoch of the writer |
 * | 9 | 8 | LSN of the first record |
 * | 17 | 8 | LSN of the last record |
 * | 25 | 8 | wall clock of the first record's batch, ms since 1970 |
 * | 33 | 8 | wall clock of the last record's batch |
 * | 41 | 16 | tag of the piece before it of this epoch; zeros in the first |
 * | 57 | n | runs of records of one wall clock |
 *
 * | size | field of a run |
 * | --- | --- |
 * | 8 | wall clock, above that of the run before |
 * | 4 | number of records, at least 1 |
 * | each: 2 | type |
 * | 2 | shard |
 * | 4 | tenant |
 * | 4 | payload length |
 * | n | payload |
 *
 * Invariants
 * 1. Everything the name of a piece says stands in it too: a piece under another name is found out.
 * 2. What is decoded was checked whole: its LSNs are consecutive, its wall clock never falls.
 */
import {
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  type BlockCodec,
  ByteReader,
  ByteWriter,
  HoldfastError,
  isHoldfastError,
  type Lsn,
  writeU64,
} from '@holdfast/core';
import type { StoredRecord } from '@holdfast/log';
import type { ArchivePieceName, RepositoryNames } from './repository-names.ts';
import { damagedObject, type ObjectPlace } from './sealed-object.ts';

export interface ArchivePieceContent {
  readonly epoch: number;
  /** Of the piece before it of this epoch; 16 zeros for none. */
  readonly previousTag: Buffer;
  /** At least one; LSNs consecutive. Their memory is only read. */
  readonly records: readonly StoredRecord[];
}

export interface EncodedArchivePiece {
  readonly key: string;
  readonly name: ArchivePieceName;
  readonly bytes: Buffer;
  /** What the next piece of the epoch has as `previousTag`; memory of its own. */
  readonly tag: Buffer;
}

export interface DecodedArchivePiece {
  readonly previousTag: Buffer;
  readonly tag: Buffer;
  readonly records: readonly StoredRecord[];
}

/** What the first piece of an epoch has as `previousTag`. */
export const NO_TAG: Buffer = Buffer.alloc(16);

const VERSION = 1;
const HEAD_BYTES = 57;
const RUN_HEAD_BYTES = 12;
/** Bytes of one record besides its payload. */
export const ARCHIVED_RECORD_BYTES = 12;

export function encodeArchivePiece(
  codec: BlockCodec,
  names: RepositoryNames,
  content: ArchivePieceContent,
): EncodedArchivePiece {
  const { epoch, previousTag, records } = content;
  const [first, last] = [records[0], records.at(-1)];
  if (first === undefined || last === undefined) throw new TypeError('a piece needs a record');
  const pinned = codec.pinned(); // its key id is in the name, which is made before the block
  const name: ArchivePieceName = {
    epoch,
    firstLsn: first.lsn,
    lastLsn: last.lsn,
    fromMs: first.committedAtMs,
    toMs: last.committedAtMs,
    keyId: pinned.keyId,
  };
  const bytes = Buffer.allocUnsafeSlow(BLOCK_HEADER_BYTES + HEAD_BYTES + sizeOf(records));
  writeRecords(bytes, writeHead(bytes, name, previousTag), records);
  const key = names.piece(name);
  const payloadLength = bytes.length - BLOCK_HEADER_BYTES;
  const tag = pinned.encode(bytes, 0, { ...placeOf(key, name), payloadLength });
  return { key, name, bytes, tag: Buffer.from(tag) };
}

function writeHead(bytes: Buffer, name: ArchivePieceName, previousTag: Buffer): number {
  const head = new ByteWriter(HEAD_BYTES).u8(VERSION).u64(name.epoch);
  head.u64(name.firstLsn).u64(name.lastLsn).u64(name.fromMs).u64(name.toMs).raw(previousTag);
  bytes.set(head.finish(), BLOCK_HEADER_BYTES);
  return BLOCK_HEADER_BYTES + HEAD_BYTES;
}

/** All of them within one turn, so without a detour over a writer. */
function writeRecords(bytes: Buffer, start: number, records: readonly StoredRecord[]): void {
  let at = start;
  let countAt = 0;
  let count = 0;
  let clock = -1;
  for (const { type, shard, tenant, payload, committedAtMs } of records) {
    if (committedAtMs !== clock) {
      if (count > 0) bytes.writeUInt32LE(count, countAt);
      writeU64(bytes, at, committedAtMs);
      countAt = at + 8;
      at += RUN_HEAD_BYTES;
      count = 0;
      clock = committedAtMs;
    }
    count++;
    bytes.writeUInt16LE(type, at);
    bytes.writeUInt16LE(shard, at + 2);
    bytes.writeUInt32LE(tenant, at + 4);
    bytes.writeUInt32LE(payload.length, at + 8);
    bytes.set(payload, at + ARCHIVED_RECORD_BYTES);
    at += ARCHIVED_RECORD_BYTES + payload.length;
  }
  bytes.writeUInt32LE(count, countAt);
}

/**
 * @param name as `names.pieceOf(key)` says.
 * @throws `CHECKSUM_MISMATCH`, `FORMAT_INVALID`, `FORMAT_UNSUPPORTED`, `KEY_MISSING`; each names
 * the key.
 */
export function decodeArchivePiece(
  codec: BlockCodec,
  key: string,
  name: ArchivePieceName,
  bytes: Buffer,
): DecodedArchivePiece {
  const payload = codec.decode(bytes, 0, { ...placeOf(key, name), path: key });
  const header = codec.peekHeader(bytes, 0);
  if (header === undefined || bytes.length !== BLOCK_HEADER_BYTES + payload.length) {
    throw damagedObject(key, 'its length is wrong');
  }
  if (header.keyId !== name.keyId) throw nonsense(key, 'key id');
  try {
    const reader = new ByteReader(payload);
    const previousTag = Buffer.from(decodeHead(reader, key, name));
    const records = decodeRuns(reader, key, name);
    return { previousTag, tag: Buffer.from(header.tag), records };
  } catch (error) {
    if (!isHoldfastError(error) || error.details['path'] === key) throw error;
    throw nonsense(key, 'bytes', error);
  }
}

function decodeHead(reader: ByteReader, key: string, name: ArchivePieceName): Buffer {
  const version = reader.u8();
  if (version !== VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `archive piece was written by another format version, use the holdfast that wrote it key=${key} version=${version} supported=${VERSION}`,
      { details: { path: key } },
    );
  }
  const { epoch, firstLsn, lastLsn, fromMs, toMs } = name;
  for (const wanted of [epoch, firstLsn, lastLsn, fromMs, toMs]) {
    if (reader.u64() !== wanted) throw nonsense(key, 'name'); // I1
  }
  return reader.raw(NO_TAG.length);
}

function decodeRuns(reader: ByteReader, key: string, name: ArchivePieceName): StoredRecord[] {
  const records: StoredRecord[] = [];
  let lsn: number = name.firstLsn;
  let clock = -1;
  while (reader.remaining > 0) {
    const committedAtMs = reader.u64();
    const count = reader.u32();
    if (committedAtMs <= clock) throw nonsense(key, 'wall clock');
    if (count === 0 || count > name.lastLsn - lsn + 1) throw nonsense(key, 'number of records');
    clock = committedAtMs;
    for (let i = 0; i < count; i++) {
      const [type, shard, tenant] = [reader.u16(), reader.u16(), reader.u32()];
      const payload = reader.raw(reader.u32());
      records.push({ lsn: lsn as Lsn, type, shard, tenant, payload, committedAtMs });
      lsn++;
    }
  }
  if (lsn !== name.lastLsn + 1) throw nonsense(key, 'number of records');
  if (records[0]?.committedAtMs !== name.fromMs || clock !== name.toMs) {
    throw nonsense(key, 'wall clock');
  }
  return records;
}

/** Bytes of the runs; checks what a decoder would refuse. */
function sizeOf(records: readonly StoredRecord[]): number {
  let bytes = 0;
  let before: StoredRecord | undefined;
  for (const record of records) {
    if (before !== undefined && record.lsn !== before.lsn + 1) {
      throw new TypeError(`records of a piece must be consecutive: ${before.lsn}, ${record.lsn}`);
    }
    if (before !== undefined && record.committedAtMs < before.committedAtMs) {
      throw new TypeError(`wall clock of a piece falls at ${record.lsn}`);
    }
    if (before?.committedAtMs !== record.committedAtMs) bytes += RUN_HEAD_BYTES;
    bytes += ARCHIVED_RECORD_BYTES + record.payload.length;
    before = record;
  }
  return bytes;
}

function placeOf(key: string, name: ArchivePieceName): ObjectPlace {
  return { key, type: BLOCK_TYPES.archivePiece, fileId: name.firstLsn, position: name.epoch };
}

function nonsense(key: string, what: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'FORMAT_INVALID',
    `archive piece makes no sense key=${key} what=${what}`,
    { cause, details: { path: key } },
  );
}
