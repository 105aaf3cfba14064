/**
 * CRC-32C (Castagnoli), the checksum of everything at rest. Hardware-fast on whole blocks.
 * Check value: crc32c("123456789") = 0xe3069283.
 */
import { crc32c as native } from '@node-rs/crc32';

/** @param seed the CRC of what comes before, to continue it. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  return native(bytes as Buffer, seed) >>> 0;
}
