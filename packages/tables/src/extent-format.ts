/**
 * The layout of an extent file. FORMAT.md, "Extent file".
 *
 * Data blocks come first, every one but the last with a full payload, so that a position in
 * the payload space is found by division. Then directory blocks, then the footer block.
 */
import { BLOCK_HEADER_BYTES, HoldfastError, readU64, writeU64 } from '@holdfast/core';

const EXTENT_FORMAT_VERSION = 1;
const EXTENT_FOOTER_PAYLOAD_BYTES = 64;
export const EXTENT_FOOTER_BYTES: number = BLOCK_HEADER_BYTES + EXTENT_FOOTER_PAYLOAD_BYTES;

export interface ExtentFooter {
  /** Payload of each data block but the last; also the most a directory block holds. */
  readonly blockBytes: number;
  readonly payloadBytes: number;
  readonly extents: number;
  /** Where the directory begins: behind the last data block. */
  readonly directoryPosition: number;
}

export function encodeExtentFooter(footer: ExtentFooter): Buffer {
  const bytes = Buffer.alloc(EXTENT_FOOTER_PAYLOAD_BYTES);
  bytes.writeUInt32LE(EXTENT_FORMAT_VERSION, 0);
  bytes.writeUInt32LE(footer.blockBytes, 4);
  writeU64(bytes, 8, footer.payloadBytes);
  writeU64(bytes, 16, footer.extents);
  writeU64(bytes, 24, footer.directoryPosition);
  return bytes;
}

export function decodeExtentFooter(bytes: Buffer, path: string): ExtentFooter {
  if (bytes.length !== EXTENT_FOOTER_PAYLOAD_BYTES) {
    throw new HoldfastError('FORMAT_INVALID', `extent footer has a wrong size path=${path}`);
  }
  const version = bytes.readUInt32LE(0);
  if (version !== EXTENT_FORMAT_VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `extent file was written by another format version path=${path} version=${version}`,
    );
  }
  return {
    blockBytes: bytes.readUInt32LE(4),
    payloadBytes: readU64(bytes, 8),
    extents: readU64(bytes, 16),
    directoryPosition: readU64(bytes, 24),
  };
}

/** Whether the footer is of the file that the manifest speaks of. */
export function isFooterOf(
  footer: ExtentFooter,
  info: { readonly bytes: number; readonly payloadBytes: number; readonly extents: number },
): boolean {
  return (
    footer.payloadBytes === info.payloadBytes &&
    footer.extents === info.extents &&
    footer.blockBytes > 0 &&
    footer.directoryPosition === dataBytesOf(footer.payloadBytes, footer.blockBytes) &&
    footer.directoryPosition <= info.bytes - EXTENT_FOOTER_BYTES
  );
}

/** Bytes of the data blocks on disk. */
export function dataBytesOf(payloadBytes: number, blockBytes: number): number {
  return payloadBytes + Math.ceil(payloadBytes / blockBytes) * BLOCK_HEADER_BYTES;
}
