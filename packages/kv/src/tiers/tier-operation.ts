/**
 * What one key comes to: the entry as it shall be in every tier it belongs to, or that there shall be
 * none. In the local store it rests as FORMAT.md, "Intents of tiers", says:
 *
 * | size | field |
 * | --- | --- |
 * | u8 | format version, 1 |
 * | u8 | flags: 1 put, 2 expiry, 4 ephemeral |
 * | string | key |
 * | varint | of a put: `seq` |
 * | varint | of a put: version less `seq` |
 * | varint | of a put: epoch |
 * | varint | expiry, if flagged |
 * | varint, rest | of a put: length of the value, and the value |
 * | u32 | CRC-32C over the number, as decimal text, and all before |
 */
import { ByteReader, ByteWriter, crc32c, HoldfastError } from '@holdfast/core';
import type { EntryFacts } from '../decide-write.ts';

export interface TierOperation {
  /** Above that of every earlier operation, and above every version that was there before. */
  readonly number: number;
  readonly key: string;
  readonly ephemeral: boolean;
  /** `undefined`: the entry is deleted. */
  readonly entry: (EntryFacts & { readonly value: Uint8Array }) | undefined;
}

const VERSION = 1;
const FLAG = { put: 1, expiry: 2, ephemeral: 4 } as const;
const CRC_BYTES = 4;
const NUMBER_DIGITS = 16;
/** More than the record has beside the key and the value. */
export const OPERATION_OVERHEAD_BYTES = 96;

export const OPERATIONS_PREFIX = 'op-';

export function operationKey(number: number): string {
  return OPERATIONS_PREFIX + String(number).padStart(NUMBER_DIGITS, '0');
}

export function operationNumber(key: string): number {
  return Number(key.slice(OPERATIONS_PREFIX.length));
}

export function encodeOperation({ number, key, ephemeral, entry }: TierOperation): Buffer {
  const expires = entry?.expiresAtMs;
  const flags =
    (entry === undefined ? 0 : FLAG.put) |
    (expires === undefined ? 0 : FLAG.expiry) |
    (ephemeral ? FLAG.ephemeral : 0);
  const writer = new ByteWriter(OPERATION_OVERHEAD_BYTES + (entry?.value.length ?? 0));
  writer.u8(VERSION).u8(flags).string(key);
  if (entry !== undefined) {
    writer
      .varint(entry.seq)
      .varint(entry.version - entry.seq)
      .varint(entry.epoch);
    if (expires !== undefined) writer.varint(expires);
    writer.bytes(entry.value);
  }
  const crc = checksum(number, writer.finish());
  return writer.u32(crc).finish();
}

/** `CHECKSUM_MISMATCH` when it is not what was written under this number. */
export function decodeOperation(number: number, bytes: Uint8Array): TierOperation {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const body = buffer.subarray(0, Math.max(0, buffer.length - CRC_BYTES));
  if (buffer.length < CRC_BYTES || buffer.readUInt32LE(body.length) !== checksum(number, body)) {
    throw new HoldfastError(
      'CHECKSUM_MISMATCH',
      'an intent of tiers is not the one that was written',
    );
  }
  const reader = new ByteReader(body);
  const format = reader.u8();
  if (format !== VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `intent was written by another format version, upgrade holdfast version=${format}`,
    );
  }
  const flags = reader.u8();
  const key = reader.string();
  const ephemeral = (flags & FLAG.ephemeral) !== 0;
  if ((flags & FLAG.put) === 0) return { number, key, ephemeral, entry: undefined };
  const seq = reader.varint();
  const version = seq + reader.varint();
  const epoch = reader.varint();
  const expiresAtMs = (flags & FLAG.expiry) === 0 ? undefined : reader.varint();
  const value = reader.bytes();
  return { number, key, ephemeral, entry: { seq, version, epoch, expiresAtMs, value } };
}

function checksum(number: number, body: Uint8Array): number {
  return crc32c(body, crc32c(Buffer.from(String(number))));
}
