/**
 * What stands in the index blocks and the footer of a table. FORMAT.md, "Table".
 *
 * A table is: groups, root block, footer block. A group is a run of data blocks, then its
 * filter block, then its index block. The root has one row per group. All of it is found
 * from the footer, whose size is fixed.
 */
import { HoldfastError, type Lsn, readU64, writeU64 } from '@holdfast/core';

const TABLE_FORMAT_VERSION = 1;
export const TABLE_FOOTER_PAYLOAD_BYTES = 64;

/** A block within the file. */
export interface BlockPlace {
  /** Of the block's header. */
  readonly position: number;
  readonly payloadLength: number;
}

const BLOCK_PLACE_BYTES = 12;

export function encodeBlockPlaces(places: readonly BlockPlace[]): Buffer {
  const bytes = Buffer.allocUnsafe(places.length * BLOCK_PLACE_BYTES);
  places.forEach((place, index) => {
    writeU64(bytes, index * BLOCK_PLACE_BYTES, place.position);
    bytes.writeUInt32LE(place.payloadLength, index * BLOCK_PLACE_BYTES + 8);
  });
  return bytes;
}

/** @param index which of the places that stand behind each other in `bytes`. */
export function decodeBlockPlace(bytes: Buffer | undefined, index: number): BlockPlace {
  const at = index * BLOCK_PLACE_BYTES;
  if (bytes === undefined || bytes.length < at + BLOCK_PLACE_BYTES) {
    throw new HoldfastError('FORMAT_INVALID', 'index row of a table is short');
  }
  return { position: readU64(bytes, at), payloadLength: bytes.readUInt32LE(at + 8) };
}

export interface TableFooter {
  readonly root: BlockPlace;
  readonly rows: number;
  readonly tombstones: number;
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
}

export function encodeTableFooter(footer: TableFooter): Buffer {
  const bytes = Buffer.alloc(TABLE_FOOTER_PAYLOAD_BYTES);
  bytes.writeUInt32LE(TABLE_FORMAT_VERSION, 0);
  bytes.writeUInt32LE(footer.root.payloadLength, 4);
  writeU64(bytes, 8, footer.root.position);
  writeU64(bytes, 16, footer.rows);
  writeU64(bytes, 24, footer.tombstones);
  writeU64(bytes, 32, footer.firstLsn);
  writeU64(bytes, 40, footer.lastLsn);
  return bytes;
}

export function decodeTableFooter(bytes: Buffer, path: string): TableFooter {
  if (bytes.length !== TABLE_FOOTER_PAYLOAD_BYTES) {
    throw new HoldfastError('FORMAT_INVALID', `table footer has a wrong size path=${path}`);
  }
  const version = bytes.readUInt32LE(0);
  if (version !== TABLE_FORMAT_VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `table was written by another format version path=${path} version=${version}`,
    );
  }
  return {
    root: { position: readU64(bytes, 8), payloadLength: bytes.readUInt32LE(4) },
    rows: readU64(bytes, 16),
    tombstones: readU64(bytes, 24),
    firstLsn: readU64(bytes, 32) as Lsn,
    lastLsn: readU64(bytes, 40) as Lsn,
  };
}

/** The root payload: u16 length and bytes of the table's first key, then a block of rows. */
export function encodeTableRoot(firstKey: Buffer, groups: Buffer): Buffer {
  const length = Buffer.allocUnsafe(2);
  length.writeUInt16LE(firstKey.length, 0);
  return Buffer.concat([length, firstKey, groups]);
}

export function decodeTableRoot(payload: Buffer): { firstKey: Buffer; groups: Buffer } {
  const end = payload.length < 2 ? Infinity : 2 + payload.readUInt16LE(0);
  if (end > payload.length) throw new HoldfastError('FORMAT_INVALID', 'table root is short');
  return { firstKey: payload.subarray(2, end), groups: payload.subarray(end) };
}
