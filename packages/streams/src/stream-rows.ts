/**
 * Rows of the stream engine (FORMAT.md, "Stream rows"). Integers in keys are big-endian, so
 * that rows of one stream are neighbours and extents are in order.
 *
 * | key | value |
 * | --- | --- |
 * | `c` text | highest stream id ever created in this shard; whether all touches are saved |
 * | `s` id | metadata |
 * | `p` id producer | epoch, seq |
 * | `x` id first-message | extent ref, first byte, messages, bytes |
 */
import { ByteReader, ByteWriter, HoldfastError, type ShardId } from '@holdfast/core';
import {
  decodeExtentRef,
  encodeExtentRef,
  EXTENT_REF_BYTES,
  type ExtentRef,
} from '@holdfast/database';
import { readFork, readPosition, writeFork, writePosition } from './stream-operation-codec.ts';
import { type ProducerState, Stream, type StreamOrigin } from './stream.ts';

const VERSION = 1;
const KIND = { counter: 0x63, stream: 0x73, producer: 0x70, extent: 0x78 } as const;
const ID_BYTES = 8;

const FLAG = {
  ttl: 1,
  expiresAt: 2,
  closed: 4,
  fork: 8,
  streamSeq: 16,
  softDeleted: 32,
  /** Removed; its extents are still to be freed. */
  grave: 64,
} as const;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export const COUNTER_ROWS: Buffer = Buffer.of(KIND.counter);
export const STREAM_ROWS: Buffer = Buffer.of(KIND.stream);
export const PRODUCER_ROWS: Buffer = Buffer.of(KIND.producer);

/** One extent: `bytes` of data, then its index. */
export interface StreamExtent {
  readonly firstMessage: number;
  readonly firstByte: number;
  readonly messages: number;
  readonly bytes: number;
  readonly ref: ExtentRef;
}

export function streamRowKey(id: number): Buffer {
  return keyOf(KIND.stream, id, 0);
}

export function producerRowKey(id: number, producer: string): Buffer {
  const text = Buffer.from(producer, 'utf8');
  const key = keyOf(KIND.producer, id, text.length);
  key.set(text, 1 + ID_BYTES);
  return key;
}

export function extentRowPrefix(id: number): Buffer {
  return keyOf(KIND.extent, id, 0);
}

export function extentRowKey(id: number, firstMessage: number): Buffer {
  const key = keyOf(KIND.extent, id, ID_BYTES);
  writeU64BigEndian(key, 1 + ID_BYTES, firstMessage);
  return key;
}

/** The first message of an extent row's extent. */
export function firstMessageOf(key: Buffer): number {
  return readU64BigEndian(key, 1 + ID_BYTES);
}

/** The stream a row belongs to, or `undefined` for other rows. */
export function streamOfRow(key: Buffer): number | undefined {
  const [kind] = key;
  const known = kind === KIND.stream || kind === KIND.producer || kind === KIND.extent;
  return known ? streamIdOf(key) : undefined;
}

/** The extent of an extent row; `undefined` for other rows. */
export function extentOfRow(key: Buffer, value: Buffer): ExtentRef | undefined {
  return key[0] === KIND.extent ? decodeExtentRef(value) : undefined;
}

/**
 * A counter belongs to a shard, not to a stream. Its key ends in a text that the host places
 * in that shard, so that a row finds a shard by its identity like every other one.
 */
export interface CounterRow {
  readonly highestId: number;
  readonly touchesSaved: boolean;
}

export function counterRowKey(identity: string): Buffer {
  return Buffer.concat([COUNTER_ROWS, Buffer.from(identity)]);
}

export function identityOfCounter(key: Buffer): string | undefined {
  return key[0] === KIND.counter ? key.toString('utf8', 1) : undefined;
}

export function encodeCounterRow(row: CounterRow): Buffer {
  const writer = new ByteWriter(16).u8(VERSION).varint(row.highestId);
  return writer.u8(row.touchesSaved ? 1 : 0).finish();
}

export function decodeCounterRow(value: Buffer): CounterRow {
  const reader = versioned(value);
  const row = { highestId: reader.varint(), touchesSaved: reader.u8() === 1 };
  reader.end();
  return row;
}

export function encodeProducerRow(state: ProducerState): Buffer {
  return new ByteWriter(24).u8(VERSION).varint(state.epoch).varint(state.seq).finish();
}

export function decodeProducerRow(
  key: Buffer,
  value: Buffer,
): { streamId: number; producer: string; state: ProducerState } {
  const reader = versioned(value);
  const state = { epoch: reader.varint(), seq: reader.varint() };
  reader.end();
  return { streamId: streamIdOf(key), producer: key.toString('utf8', 1 + ID_BYTES), state };
}

export function encodeExtentRow(extent: StreamExtent): Buffer {
  const writer = new ByteWriter(EXTENT_REF_BYTES + 24).raw(encodeExtentRef(extent.ref)).u8(VERSION);
  return writer.varint(extent.firstByte).varint(extent.messages).varint(extent.bytes).finish();
}

export function decodeExtentRow(key: Buffer, value: Buffer): StreamExtent {
  const ref: ExtentRef = decodeExtentRef(value);
  const reader = versioned(value.subarray(EXTENT_REF_BYTES));
  const extent = {
    firstMessage: readU64BigEndian(key, 1 + ID_BYTES),
    firstByte: reader.varint(),
    messages: reader.varint(),
    bytes: reader.varint(),
    ref,
  };
  reader.end();
  if (extent.bytes > ref.length || extent.messages === 0) throw damaged('extent');
  return extent;
}

/** The applied state, as of now. */
export function encodeStreamRow(stream: Stream): Buffer {
  const { applied, config, fork } = stream;
  const writer = new ByteWriter(256).u8(VERSION);
  writer.u8(
    (config.ttlSeconds === undefined ? 0 : FLAG.ttl) |
      (config.expiresAtMs === undefined ? 0 : FLAG.expiresAt) |
      (applied.closed ? FLAG.closed : 0) |
      (fork === undefined ? 0 : FLAG.fork) |
      (applied.streamSeq === undefined ? 0 : FLAG.streamSeq) |
      (applied.state === 'softDeleted' ? FLAG.softDeleted : 0) |
      (applied.state === 'removed' ? FLAG.grave : 0),
  );
  writer.string(stream.path).string(config.contentType);
  writer.varint(stream.createdAtMs).varint(stream.updatedAtMs).varint(stream.touchedAtMs);
  writePosition(writer, applied.tail);
  writer.varint(applied.forks);
  if (config.ttlSeconds !== undefined) writer.varint(config.ttlSeconds);
  if (config.expiresAtMs !== undefined) {
    writer.u64(config.expiresAtMs).string(config.expiresAtText ?? '');
  }
  if (fork !== undefined) writeFork(writer, fork);
  if (applied.streamSeq !== undefined) writer.string(applied.streamSeq);
  return writer.finish();
}

/** Its state is `removed` for a grave. */
export function decodeStreamRow(shard: ShardId, key: Buffer, value: Buffer): Stream {
  const reader = versioned(value);
  const flags = reader.u8();
  const path = reader.string();
  const contentType = reader.string();
  const createdAtMs = reader.varint();
  const origin: Mutable<StreamOrigin> = {
    id: streamIdOf(key),
    shard,
    path,
    contentType,
    createdAtMs,
  };
  const updatedAtMs = reader.varint();
  const touchedAtMs = reader.varint();
  const tail = readPosition(reader);
  const forks = reader.varint();
  if ((flags & FLAG.ttl) !== 0) origin.ttlSeconds = reader.varint();
  if ((flags & FLAG.expiresAt) !== 0) {
    origin.expiresAtMs = reader.u64();
    const text = reader.string();
    if (text !== '') origin.expiresAtText = text;
  }
  if ((flags & FLAG.fork) !== 0) origin.fork = readFork(reader);
  const streamSeq = (flags & FLAG.streamSeq) !== 0 ? reader.string() : undefined;
  reader.end();
  if (tail.bytes < (origin.fork?.base.bytes ?? 0)) throw damaged('stream');

  const stream = new Stream(origin, tail);
  stream.applied.state =
    (flags & FLAG.grave) !== 0
      ? 'removed'
      : (flags & FLAG.softDeleted) !== 0
        ? 'softDeleted'
        : 'active';
  stream.applied.closed = (flags & FLAG.closed) !== 0;
  stream.applied.streamSeq = streamSeq;
  stream.applied.forks = forks;
  stream.updatedAtMs = updatedAtMs;
  stream.touchedAtMs = touchedAtMs;
  stream.savedTouchMs = touchedAtMs;
  return stream;
}

function keyOf(kind: number, id: number, extraBytes: number): Buffer {
  const key = Buffer.allocUnsafe(1 + ID_BYTES + extraBytes);
  key[0] = kind;
  writeU64BigEndian(key, 1, id);
  return key;
}

function streamIdOf(key: Buffer): number {
  if (key.length < 1 + ID_BYTES) throw damaged('key');
  return readU64BigEndian(key, 1);
}

function writeU64BigEndian(buffer: Buffer, at: number, value: number): void {
  buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  buffer.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}

function readU64BigEndian(buffer: Buffer, at: number): number {
  if (buffer.length < at + 8) throw damaged('key');
  const value = buffer.readUInt32BE(at) * 0x1_0000_0000 + buffer.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(value)) throw damaged('key');
  return value;
}

function versioned(value: Buffer): ByteReader {
  const reader = new ByteReader(value);
  const version = reader.u8();
  if (version !== VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `stream row was written by another format version, upgrade holdfast version=${version}`,
    );
  }
  return reader;
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `stream row cannot be decoded: ${what}`);
}
