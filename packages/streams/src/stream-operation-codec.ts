/**
 * Payloads of stream records (FORMAT.md, "Stream records"). Encoding copies no data: a record
 * is a header and the bytes behind it. Decoding checks everything a later step relies on.
 */
import { ByteReader, ByteWriter, HoldfastError, type ShardId } from '@holdfast/core';
import type { Position } from './position.ts';
import {
  type AppendData,
  type AppendOperation,
  type CreateOperation,
  type ForkOrigin,
  STREAM_RECORDS,
  type StreamOperation,
} from './stream-operations.ts';
import type { ProducerTag } from './stream-store.ts';

const VERSION = 1;

const APPEND = { data: 1, single: 2, producer: 4, streamSeq: 8, close: 16 } as const;
const CREATE = { ttl: 1, expiresAt: 2, closed: 4, fork: 8, data: 16 } as const;
const FORK = { requestedAt: 1, inheritsExpiry: 2 } as const;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function encodeStreamOperation(operation: StreamOperation): readonly Uint8Array[] {
  switch (operation.type) {
    case STREAM_RECORDS.append:
      return encodeAppend(operation);
    case STREAM_RECORDS.create:
      return encodeCreate(operation);
    case STREAM_RECORDS.setForks:
      return [header(operation.id).varint(operation.forks).finish()];
    case STREAM_RECORDS.softDelete:
    case STREAM_RECORDS.remove:
      return [header(operation.id).finish()];
  }
}

export function decodeStreamOperation(
  type: number,
  shard: ShardId,
  payload: Buffer,
): StreamOperation {
  const reader = new ByteReader(payload);
  const version = reader.u8();
  if (version !== VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `stream record was written by another format version, upgrade holdfast version=${version}`,
    );
  }
  const decoded = decodeBody(type, shard, reader);
  reader.end();
  return decoded;
}

function decodeBody(type: number, shard: ShardId, reader: ByteReader): StreamOperation {
  const id = reader.varint();
  switch (type) {
    case STREAM_RECORDS.append:
      return decodeAppend(shard, id, reader);
    case STREAM_RECORDS.create:
      return decodeCreate(shard, id, reader);
    case STREAM_RECORDS.setForks:
      return { type, shard, id, forks: reader.varint() };
    case STREAM_RECORDS.softDelete:
    case STREAM_RECORDS.remove:
      return { type, shard, id };
    default:
      throw new HoldfastError('UNKNOWN_RECORD_TYPE', `not a stream record type=${type}`);
  }
}

function encodeAppend(operation: AppendOperation): readonly Uint8Array[] {
  const { data, producer, streamSeq } = operation;
  const writer = header(operation.id);
  writePosition(writer, operation.first);
  writer.u8(
    (data === undefined ? 0 : APPEND.data | (data.lengths.length === 1 ? APPEND.single : 0)) |
      (producer === undefined ? 0 : APPEND.producer) |
      (streamSeq === undefined ? 0 : APPEND.streamSeq) |
      (operation.close ? APPEND.close : 0),
  );
  writer.varint(operation.atMs);
  if (producer !== undefined) {
    writer.string(producer.id).varint(producer.epoch).varint(producer.seq);
  }
  if (streamSeq !== undefined) writer.string(streamSeq);
  if (data === undefined) return [writer.finish()];
  if (data.lengths.length !== 1) writeLengths(writer, data.lengths);
  return [writer.finish(), data.bytes];
}

function decodeAppend(shard: ShardId, id: number, reader: ByteReader): AppendOperation {
  const first = readPosition(reader);
  const flags = reader.u8();
  const decoded: Mutable<AppendOperation> = {
    type: STREAM_RECORDS.append,
    shard,
    id,
    first,
    close: (flags & APPEND.close) !== 0,
    atMs: reader.varint(),
  };
  if ((flags & APPEND.producer) !== 0) decoded.producer = readProducer(reader);
  if ((flags & APPEND.streamSeq) !== 0) decoded.streamSeq = reader.string();
  if ((flags & APPEND.data) !== 0) {
    decoded.data = readData(reader, (flags & APPEND.single) !== 0);
  }
  return decoded;
}

function encodeCreate(operation: CreateOperation): readonly Uint8Array[] {
  const { ttlSeconds, expiresAtMs, expiresAtText, fork, initial } = operation;
  const writer = header(operation.id);
  writer.u8(
    (ttlSeconds === undefined ? 0 : CREATE.ttl) |
      (expiresAtMs === undefined ? 0 : CREATE.expiresAt) |
      (operation.closed ? CREATE.closed : 0) |
      (fork === undefined ? 0 : CREATE.fork) |
      (initial === undefined ? 0 : CREATE.data),
  );
  writer.string(operation.path).string(operation.contentType).varint(operation.createdAtMs);
  if (ttlSeconds !== undefined) writer.varint(ttlSeconds);
  if (expiresAtMs !== undefined) writer.u64(expiresAtMs).string(expiresAtText ?? '');
  if (fork !== undefined) writeFork(writer, fork);
  if (initial === undefined) return [writer.finish()];
  writeLengths(writer, initial.lengths);
  return [writer.finish(), initial.bytes];
}

function decodeCreate(shard: ShardId, id: number, reader: ByteReader): CreateOperation {
  const flags = reader.u8();
  const decoded: Mutable<CreateOperation> = {
    type: STREAM_RECORDS.create,
    shard,
    id,
    path: reader.string(),
    contentType: reader.string(),
    createdAtMs: reader.varint(),
    closed: (flags & CREATE.closed) !== 0,
  };
  if ((flags & CREATE.ttl) !== 0) decoded.ttlSeconds = reader.varint();
  if ((flags & CREATE.expiresAt) !== 0) {
    decoded.expiresAtMs = reader.u64();
    const text = reader.string();
    if (text !== '') decoded.expiresAtText = text;
  }
  if ((flags & CREATE.fork) !== 0) decoded.fork = readFork(reader);
  if ((flags & CREATE.data) !== 0) decoded.initial = readData(reader, false);
  return decoded;
}

export function writeFork(writer: ByteWriter, fork: ForkOrigin): void {
  writer.varint(fork.sourceId).string(fork.sourcePath);
  writePosition(writer, fork.base);
  writer.varint(fork.subOffset);
  writer.u8(
    (fork.requestedAt === undefined ? 0 : FORK.requestedAt) |
      (fork.inheritsExpiry ? FORK.inheritsExpiry : 0),
  );
  if (fork.requestedAt !== undefined) writePosition(writer, fork.requestedAt);
}

export function readFork(reader: ByteReader): ForkOrigin {
  const sourceId = reader.varint();
  const sourcePath = reader.string();
  const base = readPosition(reader);
  const subOffset = reader.varint();
  const flags = reader.u8();
  const fork: Mutable<ForkOrigin> = {
    sourceId,
    sourcePath,
    base,
    subOffset,
    inheritsExpiry: (flags & FORK.inheritsExpiry) !== 0,
  };
  if ((flags & FORK.requestedAt) !== 0) fork.requestedAt = readPosition(reader);
  return fork;
}

export function writePosition(writer: ByteWriter, position: Position): void {
  writer.varint(position.messages).varint(position.bytes);
}

export function readPosition(reader: ByteReader): Position {
  return { messages: reader.varint(), bytes: reader.varint() };
}

function header(id: number): ByteWriter {
  return new ByteWriter(64).u8(VERSION).varint(id);
}

function readProducer(reader: ByteReader): ProducerTag {
  return { id: reader.string(), epoch: reader.varint(), seq: reader.varint() };
}

function writeLengths(writer: ByteWriter, lengths: readonly number[]): void {
  writer.varint(lengths.length);
  for (const length of lengths) writer.varint(length);
}

/** The rest of the payload is the data. */
function readData(reader: ByteReader, single: boolean): AppendData {
  if (single) {
    const bytes = reader.raw(reader.remaining);
    if (bytes.length === 0) throw damaged('a message without bytes');
    return { bytes, lengths: [bytes.length] };
  }
  const count = reader.varint();
  if (count === 0 || count > reader.remaining) throw damaged(`message count ${count}`);
  const lengths: number[] = [];
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const length = reader.varint();
    if (length === 0) throw damaged('a message without bytes');
    lengths.push(length);
    sum += length;
  }
  if (sum !== reader.remaining) throw damaged(`lengths sum to ${sum}, have ${reader.remaining}`);
  return { bytes: reader.raw(sum), lengths };
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `stream record cannot be decoded: ${what}`);
}
