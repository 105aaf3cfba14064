/**
 * Where a run of bytes rests: a place in the payload space of an extent file. FORMAT.md,
 * "Extent file". The encoding has a fixed size so that a row can be pointed elsewhere by
 * replacing its first bytes.
 */
import { HoldfastError, readU64, writeU64 } from '@holdfast/core';

export interface ExtentRef {
  readonly fileId: number;
  /** Position in the payload space of the file, bytes. */
  readonly position: number;
  readonly length: number;
}

export const EXTENT_REF_BYTES = 24;

export function encodeExtentRef(ref: ExtentRef): Buffer {
  const bytes = Buffer.allocUnsafe(EXTENT_REF_BYTES);
  writeU64(bytes, 0, ref.fileId);
  writeU64(bytes, 8, ref.position);
  writeU64(bytes, 16, ref.length);
  return bytes;
}

/** Reads the first 24 bytes; what follows belongs to the row. */
export function decodeExtentRef(bytes: Buffer): ExtentRef {
  if (bytes.length < EXTENT_REF_BYTES) {
    throw new HoldfastError('FORMAT_INVALID', `extent ref is short bytes=${bytes.length}`);
  }
  const fileId = readU64(bytes, 0);
  const position = readU64(bytes, 8);
  const length = readU64(bytes, 16);
  if (!Number.isSafeInteger(fileId) || !Number.isSafeInteger(position + length)) {
    throw new HoldfastError('FORMAT_INVALID', 'extent ref holds an integer above 2^53 - 1');
  }
  return { fileId, position, length };
}
