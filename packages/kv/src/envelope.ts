/**
 * What rests with a value: its order, its version, its writer, its expiry, and a checksum over all of
 * that, the key and the value. So order and age go wherever the value goes. FORMAT.md, "Envelope".
 *
 * | size | field |
 * | --- | --- |
 * | u8 | format version, 1 |
 * | u8 | flags: 1 epoch, 2 expiry |
 * | varint | `seq` |
 * | varint | version less `seq` |
 * | varint | epoch, if flagged |
 * | varint | expiry, ms since 1970, if flagged |
 * | u32 | CRC-32C over the key, the fields above and the value |
 * | rest | the value |
 */
import { ByteReader, ByteWriter, crc32c, HoldfastError } from '@holdfast/core';
import type { EntryFacts } from './decide-write.ts';

const VERSION = 1;
const FLAG = { epoch: 1, expiry: 2 } as const;

/** The head alone: the value may rest elsewhere. */
export function encodeEnvelope(key: string, facts: EntryFacts, value: Uint8Array): Buffer {
  const { seq, version, epoch, expiresAtMs } = facts;
  const writer = new ByteWriter(48).u8(VERSION);
  writer.u8((epoch === 0 ? 0 : FLAG.epoch) | (expiresAtMs === undefined ? 0 : FLAG.expiry));
  writer.varint(seq).varint(version - seq);
  if (epoch !== 0) writer.varint(epoch);
  if (expiresAtMs !== undefined) writer.varint(expiresAtMs);
  const fields = writer.length;
  const head = writer.u32(0).finish();
  head.writeUInt32LE(checksum(key, head.subarray(0, fields), value), fields);
  return head;
}

export interface Envelope extends EntryFacts {
  readonly checksum: number;
}

/** Reads the head; what follows it is the value. Says nothing about the checksum. */
export function readEnvelope(reader: ByteReader): Envelope {
  const format = reader.u8();
  if (format !== VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `entry was written by another format version, upgrade holdfast version=${format}`,
    );
  }
  const flags = reader.u8();
  if ((flags & ~(FLAG.epoch | FLAG.expiry)) !== 0) {
    throw new HoldfastError('FORMAT_INVALID', `entry has unknown flags flags=${flags}`);
  }
  const seq = reader.varint();
  const version = seq + reader.varint();
  const epoch = (flags & FLAG.epoch) === 0 ? 0 : reader.varint();
  const expiresAtMs = (flags & FLAG.expiry) === 0 ? undefined : reader.varint();
  if (!Number.isSafeInteger(version)) {
    throw new HoldfastError('FORMAT_INVALID', 'entry has a version above 2^53 - 1');
  }
  return { seq, version, epoch, expiresAtMs, checksum: reader.u32() };
}

/** An entry as it rests somewhere; `CHECKSUM_MISMATCH` when it is not what was written under the key. */
export function openEnvelope(key: string, bytes: Buffer): { facts: EntryFacts; value: Buffer } {
  const reader = new ByteReader(bytes);
  const { checksum: expected, ...facts } = readEnvelope(reader);
  const fields = bytes.subarray(0, reader.position - 4);
  const value = reader.raw(reader.remaining);
  if (checksum(key, fields, value) !== expected) {
    throw new HoldfastError('CHECKSUM_MISMATCH', 'an entry is not the one that was written');
  }
  return { facts, value };
}

function checksum(key: string, fields: Uint8Array, value: Uint8Array): number {
  return crc32c(value, crc32c(fields, crc32c(Buffer.from(key))));
}
