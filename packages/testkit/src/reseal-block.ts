/** Makes the checksums of a damaged block right, so that what is behind them can be tested. */
import { BLOCK_HEADER_BYTES, crc32c } from '@holdfast/core';
import type { SeededRandom } from './seeded-random.ts';

const LENGTH_AT = 8;
const TAG_AT = 32;
const HEADER_CRC_AT = 60;

/**
 * Gives the block at `at` valid checksums over what stands there now. Mostly it then reaches to
 * `end`, because a wrong length would be the end of it; a length that does not fit always does.
 */
export function resealBlock(
  databaseId: Uint8Array,
  bytes: Buffer,
  random: SeededRandom,
  at = 0,
  end: number = bytes.length,
): Buffer {
  const start = at + BLOCK_HEADER_BYTES;
  const room = end - start;
  if (at < 0 || room < 0 || end > bytes.length) return bytes;
  const seed = crc32c(databaseId);
  if (bytes.readUInt32LE(at + LENGTH_AT) > room || random.chance(0.8)) {
    bytes.writeUInt32LE(room, at + LENGTH_AT);
  }
  const length = bytes.readUInt32LE(at + LENGTH_AT);
  const head = crc32c(bytes.subarray(at, at + TAG_AT), seed);
  bytes.writeUInt32LE(crc32c(bytes.subarray(start, start + length), head), at + TAG_AT);
  bytes.writeUInt32LE(crc32c(bytes.subarray(at, at + HEADER_CRC_AT), seed), at + HEADER_CRC_AT);
  return bytes;
}

/**
 * Makes only the checksum of the header right: all that somebody who lacks the key can do to an
 * encrypted block.
 */
export function resealHeader(databaseId: Uint8Array, bytes: Buffer, at = 0): Buffer {
  if (at < 0 || bytes.length - at < BLOCK_HEADER_BYTES) return bytes;
  const seed = crc32c(databaseId);
  bytes.writeUInt32LE(crc32c(bytes.subarray(at, at + HEADER_CRC_AT), seed), at + HEADER_CRC_AT);
  return bytes;
}
