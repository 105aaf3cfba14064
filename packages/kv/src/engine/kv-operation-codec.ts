/**
 * Payloads of key-value records (FORMAT.md, "Key-value records"). Encoding copies no value.
 *
 * | field | what |
 * | --- | --- |
 * | u8 | format version, 1 |
 * | string | store |
 * | string | key |
 * | varint | number of the change |
 * | u8 | flags: 1 there was an entry before |
 * | facts | of the entry before, if flagged |
 * | facts | of a put: of the entry |
 * | rest | of a put: its value |
 *
 * Facts: u8 flags (1 extent, 2 expiry, 4 epoch); varint `change`; varint `seq`; varint version less
 * `seq`; varint expiry in ms since 1970 and varint epoch, if flagged.
 */
import { ByteReader, ByteWriter, HoldfastError, type ShardId } from '@holdfast/core';
import { KV_RECORDS, type KvRecord, type StoredFacts } from './kv-operations.ts';

const VERSION = 1;
const BEFORE = 1;
const FACTS = { extent: 1, expiry: 2, epoch: 4 } as const;

export function encodeKvRecord(record: KvRecord): readonly Uint8Array[] {
  const writer = new ByteWriter(96 + record.store.length + 3 * record.key.length).u8(VERSION);
  writer.string(record.store).string(record.key).varint(record.change);
  writer.u8(record.before === undefined ? 0 : BEFORE);
  if (record.before !== undefined) writeFacts(writer, record.before);
  if (record.type !== KV_RECORDS.put) return [writer.finish()];
  writeFacts(writer, record.entry);
  return [writer.finish(), record.value];
}

export function decodeKvRecord(type: number, shard: ShardId, payload: Buffer): KvRecord {
  const reader = new ByteReader(payload);
  const format = reader.u8();
  if (format !== VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `key-value record was written by another format version, upgrade holdfast version=${format}`,
    );
  }
  const about = { shard, store: reader.string(), key: reader.string(), change: reader.varint() };
  const flags = reader.u8();
  if ((flags & ~BEFORE) !== 0) throw damaged(`flags=${flags}`);
  const before = (flags & BEFORE) === 0 ? undefined : readFacts(reader);
  switch (type) {
    case KV_RECORDS.put: {
      const entry = readFacts(reader);
      return { type, ...about, before, entry, value: reader.raw(reader.remaining) };
    }
    case KV_RECORDS.delete:
    case KV_RECORDS.expire:
      reader.end();
      if (before === undefined) throw damaged('nothing to remove');
      return { type, ...about, before };
    default:
      throw new HoldfastError('UNKNOWN_RECORD_TYPE', `not a key-value record type=${type}`);
  }
}

export function writeFacts(writer: ByteWriter, facts: StoredFacts): void {
  const { extent, expiresAtMs, epoch, change, seq, version } = facts;
  writer.u8(
    (extent ? FACTS.extent : 0) |
      (expiresAtMs === undefined ? 0 : FACTS.expiry) |
      (epoch === 0 ? 0 : FACTS.epoch),
  );
  writer
    .varint(change)
    .varint(seq)
    .varint(version - seq);
  if (expiresAtMs !== undefined) writer.varint(expiresAtMs);
  if (epoch !== 0) writer.varint(epoch);
}

export function readFacts(reader: ByteReader): StoredFacts {
  const flags = reader.u8();
  if ((flags & ~(FACTS.extent | FACTS.expiry | FACTS.epoch)) !== 0) throw damaged(`facts=${flags}`);
  const change = reader.varint();
  const seq = reader.varint();
  const version = seq + reader.varint();
  if (!Number.isSafeInteger(version)) throw damaged('version above 2^53 - 1');
  const expiresAtMs = (flags & FACTS.expiry) === 0 ? undefined : reader.varint();
  const epoch = (flags & FACTS.epoch) === 0 ? 0 : reader.varint();
  return { extent: (flags & FACTS.extent) !== 0, change, seq, version, expiresAtMs, epoch };
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `key-value record cannot be decoded: ${what}`);
}
