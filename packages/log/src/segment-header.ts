/**
 * A segment's file name and its first block: where it stands in the chain. FORMAT.md, "Log".
 *
 * Invariants
 * 1. The header fits in one sector and is written over synced zeros: after a crash it is
 *    there or its sector is zero. Anything else is rot.
 * 2. It is durable before the first batch of the segment is written.
 * 3. In an encrypted log it is authenticated and stays readable; its salt is part of the key that
 *    the frames are encrypted with, so that no two segments share one.
 */
import {
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  type BlockCodec,
  ByteReader,
  HoldfastError,
  LIMITS,
  type Lsn,
  type SegmentId,
  lsn,
  segmentId,
  writeU64,
} from '@holdfast/core';

/** Bytes of a segment taken by its header, padding included: where the first batch starts. */
export const SEGMENT_HEADER_BYTES: number = LIMITS.blockBytes;
export const TAG_BYTES = 16;

const PAYLOAD_BYTES = 64;
const SALT_BYTES = 16;
/** The rest of the header's block is zero. */
export const SEGMENT_HEADER_USED_BYTES: number = BLOCK_HEADER_BYTES + PAYLOAD_BYTES;

export interface SegmentHeader {
  readonly id: SegmentId;
  /** LSN the first record of the segment gets. */
  readonly firstLsn: Lsn;
  /** The segment before this one that holds batches; 0 when there never was one. */
  readonly previousId: SegmentId;
  /** Tag of that segment's last frame; zeros when there is none. */
  readonly previousTag: Buffer;
  readonly createdAtMs: number;
  /** Fresh random bytes: no two segments ever share them, not even in a copied database. */
  readonly salt: Buffer;
  /** The file is at least this long, and was synced so before the header was written. */
  readonly zeroedTo: number;
}

export interface StoredSegmentHeader extends SegmentHeader {
  /** The tag of the header itself: what the first frame chains to. */
  readonly tag: Buffer;
  /** The key of header and frames; 0 when they are not encrypted. */
  readonly keyId: number;
}

/** The part of the salt that every frame repeats. */
export function incarnationOf(salt: Buffer): number {
  return salt.readUInt32LE(0);
}

export function segmentFileName(id: SegmentId): string {
  return `${String(id).padStart(16, '0')}.seg`;
}

/** The id in a file's name; `undefined` when it is not a segment's name. */
export function parseSegmentFileName(name: string): SegmentId | undefined {
  if (!/^\d{16}\.seg$/.test(name)) return undefined;
  const id = Number(name.slice(0, 16));
  return Number.isSafeInteger(id) && id > 0 ? segmentId(id) : undefined;
}

/** The first block of the segment, padded with zeros. */
export function encodeSegmentHeader(
  codec: BlockCodec,
  header: SegmentHeader,
): { bytes: Buffer; tag: Buffer } {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  const at = BLOCK_HEADER_BYTES;
  writeU64(bytes, at, header.firstLsn);
  writeU64(bytes, at + 8, header.previousId);
  header.previousTag.copy(bytes, at + 16, 0, TAG_BYTES);
  writeU64(bytes, at + 32, header.createdAtMs);
  header.salt.copy(bytes, at + 40, 0, SALT_BYTES);
  writeU64(bytes, at + 56, header.zeroedTo);
  const tag = codec.encode(bytes, 0, {
    type: BLOCK_TYPES.segmentHeader,
    payloadLength: PAYLOAD_BYTES,
    fileId: header.id,
    position: 0,
  });
  return { bytes, tag };
}

/**
 * `undefined` when `bytes` do not start with an intact header of segment `id`. One that is intact
 * and holds a number beyond all positions throws `FORMAT_INVALID`; one of an encrypted log
 * `KEY_MISSING`, or `KEY_REQUIRED` when `codec` has no keys.
 */
export function decodeSegmentHeader(
  codec: BlockCodec,
  bytes: Buffer,
  id: SegmentId,
): StoredSegmentHeader | undefined {
  assertReadable(codec, bytes, id);
  const payload = codec.open(bytes, 0, {
    type: BLOCK_TYPES.segmentHeader,
    fileId: id,
    position: 0,
  });
  const block = codec.peekHeader(bytes, 0);
  if (payload === undefined || block === undefined) return undefined;
  if (payload.length !== PAYLOAD_BYTES) return undefined;
  const reader = new ByteReader(payload);
  return {
    id,
    firstLsn: lsn(reader.u64()),
    previousId: segmentId(reader.u64()),
    previousTag: Buffer.from(reader.raw(TAG_BYTES)),
    createdAtMs: reader.u64(),
    salt: Buffer.from(reader.raw(SALT_BYTES)),
    zeroedTo: reader.u64(),
    tag: Buffer.from(block.tag),
    keyId: block.keyId,
  };
}

/** A log that is used alone has nothing else that says that it is encrypted. */
function assertReadable(codec: BlockCodec, bytes: Buffer, id: SegmentId): void {
  const block = codec.peekHeader(bytes, 0);
  const isHeader = block?.type === BLOCK_TYPES.segmentHeader && block.fileId === id;
  if (!isHeader || block.keyId === 0 || codec.isEncrypted) return;
  throw new HoldfastError(
    'KEY_REQUIRED',
    `the log is encrypted, and no key was given segment=${id}`,
    {
      details: { keyId: block.keyId },
    },
  );
}
