/**
 * The sealed block: the one envelope of everything at rest (log batches, tables, extents,
 * manifests). FORMAT.md, "Sealed block".
 *
 * | at | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | magic `HFBK` |
 * | 4 | 1 | format version, 1 |
 * | 5 | 1 | block type |
 * | 6 | 2 | flags, 0 |
 * | 8 | 4 | payload length in bytes |
 * | 12 | 4 | key id, 0 = not encrypted |
 * | 16 | 8 | file id: the segment, table or extent file it belongs to |
 * | 24 | 8 | position: byte offset of this block in its file |
 * | 32 | 16 | tag: CRC-32C of identity, bytes 0-31 and payload in the first four bytes, rest 0 |
 * | 48 | 12 | reserved, 0 |
 * | 60 | 4 | CRC-32C of identity and bytes 0-59 |
 *
 * Invariants
 * 1. All-zero bytes never decode (the magic is not zero).
 * 2. A block decodes only in its own database, file and position: moved, swapped or foreign
 *    blocks are found out. The identity of the database (16 random bytes, never shown to
 *    users) seeds both checksums, so that a payload cannot pose as a block.
 * 3. The length is believed only after the header's checksum held.
 */
import { readU64, writeU64 } from './bytes.ts';
import { crc32c } from './crc32c.ts';
import { HoldfastError } from './errors.ts';

export const BLOCK_HEADER_BYTES = 64;
export const BLOCK_FORMAT_VERSION = 1;

const MAGIC = 0x4b424648; // "HFBK", little-endian
const TAG_AT = 32;
const TAG_BYTES = 16;
const HEADER_CRC_AT = 60;

/** Numbers on disk: never reused for another meaning. */
export const BLOCK_TYPES = {
  segmentHeader: 1,
  batch: 2,
  tableData: 3,
  tableIndex: 4,
  tableFilter: 5,
  tableFooter: 6,
  extentData: 7,
  extentDirectory: 8,
  extentFooter: 9,
  manifest: 10,
  writerClaim: 11,
  archivePiece: 12,
  snapshotManifest: 13,
  restorePoint: 14,
  archiveState: 15,
} as const;
export type BlockType = (typeof BLOCK_TYPES)[keyof typeof BLOCK_TYPES];

export interface BlockHeader {
  readonly type: number;
  readonly payloadLength: number;
  readonly keyId: number;
  readonly fileId: number;
  readonly position: number;
  /** A view of the 16 tag bytes. */
  readonly tag: Buffer;
}

export class BlockCodec {
  readonly #seed: number;

  /** @param databaseId 16 bytes; owned by the caller, not kept. */
  constructor(databaseId: Uint8Array) {
    if (databaseId.length !== 16) throw new TypeError('database id must be 16 bytes');
    this.#seed = crc32c(databaseId);
  }

  /**
   * Completes a block in place: the payload already stands at `at + BLOCK_HEADER_BYTES`.
   * Returns the tag as a view into `target`.
   */
  encode(
    target: Buffer,
    at: number,
    block: { type: BlockType; payloadLength: number; fileId: number; position: number },
  ): Buffer {
    target.writeUInt32LE(MAGIC, at);
    target[at + 4] = BLOCK_FORMAT_VERSION;
    target[at + 5] = block.type;
    target.writeUInt16LE(0, at + 6);
    target.writeUInt32LE(block.payloadLength, at + 8);
    target.writeUInt32LE(0, at + 12);
    writeU64(target, at + 16, block.fileId);
    writeU64(target, at + 24, block.position);
    target.fill(0, at + TAG_AT, at + HEADER_CRC_AT);
    target.writeUInt32LE(this.#tag(target, at, block.payloadLength), at + TAG_AT);
    target.writeUInt32LE(
      crc32c(target.subarray(at, at + HEADER_CRC_AT), this.#seed),
      at + HEADER_CRC_AT,
    );
    return target.subarray(at + TAG_AT, at + TAG_AT + TAG_BYTES);
  }

  /** A whole block in a buffer of its own. */
  encodeNew(
    payload: Uint8Array,
    block: { type: BlockType; fileId: number; position: number },
  ): Buffer {
    const target = Buffer.allocUnsafe(BLOCK_HEADER_BYTES + payload.length);
    target.set(payload, BLOCK_HEADER_BYTES);
    this.encode(target, 0, { ...block, payloadLength: payload.length });
    return target;
  }

  /**
   * The header at `at`, if its own checksum holds; `undefined` otherwise. Says nothing about
   * the payload, nor whether the block belongs here.
   */
  peekHeader(source: Buffer, at: number): BlockHeader | undefined {
    if (source.length - at < BLOCK_HEADER_BYTES) return undefined;
    if (source.readUInt32LE(at) !== MAGIC) return undefined;
    const expected = source.readUInt32LE(at + HEADER_CRC_AT);
    if (crc32c(source.subarray(at, at + HEADER_CRC_AT), this.#seed) !== expected) return undefined;
    if (source[at + 4] !== BLOCK_FORMAT_VERSION) {
      throw new HoldfastError(
        'FORMAT_UNSUPPORTED',
        `block was written by another format version, upgrade holdfast version=${source[at + 4]}`,
      );
    }
    return {
      type: source[at + 5] as number,
      payloadLength: source.readUInt32LE(at + 8),
      keyId: source.readUInt32LE(at + 12),
      fileId: readU64(source, at + 16),
      position: readU64(source, at + 24),
      tag: source.subarray(at + TAG_AT, at + TAG_AT + TAG_BYTES),
    };
  }

  /**
   * The payload of the block at `at`, as a view, after every check held; `undefined` when
   * anything is wrong. Callers that must say what is wrong use `decode`.
   */
  open(
    source: Buffer,
    at: number,
    expected: { type: BlockType; fileId: number; position: number },
  ): Buffer | undefined {
    const header = this.peekHeader(source, at);
    if (
      header === undefined ||
      header.type !== expected.type ||
      header.keyId !== 0 ||
      header.fileId !== expected.fileId ||
      header.position !== expected.position ||
      header.payloadLength > source.length - at - BLOCK_HEADER_BYTES
    ) {
      return undefined;
    }
    if (this.#tag(source, at, header.payloadLength) !== header.tag.readUInt32LE(0)) {
      return undefined;
    }
    const start = at + BLOCK_HEADER_BYTES;
    return source.subarray(start, start + header.payloadLength);
  }

  /** Like `open`, but damage throws `CHECKSUM_MISMATCH` naming the file and position. */
  decode(
    source: Buffer,
    at: number,
    expected: { type: BlockType; fileId: number; position: number; path: string },
  ): Buffer {
    const payload = this.open(source, at, expected);
    if (payload === undefined) {
      throw new HoldfastError(
        'CHECKSUM_MISMATCH',
        `block is damaged path=${expected.path} position=${expected.position}`,
        { details: { path: expected.path, position: expected.position } },
      );
    }
    return payload;
  }

  #tag(buffer: Buffer, at: number, payloadLength: number): number {
    const header = crc32c(buffer.subarray(at, at + TAG_AT), this.#seed);
    const start = at + BLOCK_HEADER_BYTES;
    return crc32c(buffer.subarray(start, start + payloadLength), header);
  }
}
