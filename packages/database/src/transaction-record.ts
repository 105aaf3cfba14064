/**
 * The transaction record: an ordered list of typed sub-records under one checksum, applied
 * all or none. FORMAT.md, "Transaction".
 *
 * | size | field |
 * | --- | --- |
 * | varint | number of sub-records |
 * | each: 2 | type |
 * | 2 | shard |
 * | 4 | payload length |
 * | n | payload |
 */
import { ByteReader, ByteWriter, HoldfastError, LIMITS } from '@holdfast/core';

export interface SubRecord {
  readonly type: number;
  readonly shard: number;
  readonly parts: readonly Uint8Array[];
}

export interface StoredSubRecord {
  readonly type: number;
  readonly shard: number;
  readonly payload: Buffer;
}

export function encodeTransaction(records: readonly SubRecord[]): Uint8Array[] {
  if (records.length > LIMITS.maxTransactionOperations) {
    throw new HoldfastError(
      'RECORD_TOO_LARGE',
      `too many operations in one commit count=${records.length} limit=${LIMITS.maxTransactionOperations}`,
    );
  }
  const parts: Uint8Array[] = [new ByteWriter(8).varint(records.length).finish()];
  for (const record of records) {
    let length = 0;
    for (const part of record.parts) length += part.length;
    parts.push(new ByteWriter(8).u16(record.type).u16(record.shard).u32(length).finish());
    parts.push(...record.parts);
  }
  return parts;
}

export function decodeTransaction(payload: Buffer): StoredSubRecord[] {
  const reader = new ByteReader(payload);
  const count = reader.varint();
  if (count > LIMITS.maxTransactionOperations) {
    throw new HoldfastError('FORMAT_INVALID', `transaction has too many records count=${count}`);
  }
  const records: StoredSubRecord[] = [];
  for (let i = 0; i < count; i++) {
    const type = reader.u16();
    const shard = reader.u16();
    records.push({ type, shard, payload: reader.raw(reader.u32()) });
  }
  reader.end();
  return records;
}
