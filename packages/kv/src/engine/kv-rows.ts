/**
 * Rows of the key-value engine (FORMAT.md, "Key-value rows"). Integers in keys are big-endian u64;
 * _store_ is its name behind its length as a u8; a row is in the shard that `kv:`, the name of the
 * store, `:` and the key hash to.
 *
 * | key | value |
 * | --- | --- |
 * | `e` store, key | version, facts, then the value unless an extent holds it |
 * | `o` store, 2^53 - 1 - `seq`, key | version: the order of creation, newest first |
 * | `t` expiry in ms, store, key | version: what has an expiry, soonest first |
 * | `v` store, change, key | extent ref of the value that this change wrote; version |
 * | `g` store, change, key | version: nobody needs the `v` row of that name; its extent is to be freed |
 * | `n` text | version, varint highest number given to anything, varint highest change in this shard. The text hashes to the shard |
 */
import { ByteReader, ByteWriter, HoldfastError } from '@holdfast/core';
import {
  decodeExtentRef,
  encodeExtentRef,
  EXTENT_REF_BYTES,
  type ExtentRef,
} from '@holdfast/database';
import { readFacts, writeFacts } from './kv-operation-codec.ts';
import type { StoredFacts } from './kv-operations.ts';

const VERSION = 1;
const NUMBER_BYTES = 8;
const KIND = {
  entry: 0x65,
  created: 0x6f,
  expiry: 0x74,
  value: 0x76,
  grave: 0x67,
  counter: 0x6e,
} as const;

export const ENTRY_ROWS: Buffer = Buffer.of(KIND.entry);
export const EXPIRY_ROWS: Buffer = Buffer.of(KIND.expiry);
export const GRAVE_ROWS: Buffer = Buffer.of(KIND.grave);
export const COUNTER_ROWS: Buffer = Buffer.of(KIND.counter);
/** Of rows whose key says everything. */
export const MARK: Buffer = Buffer.of(VERSION);

/** What the host places an entry by. */
export function identityOfEntry(store: string, key: string): string {
  return `kv:${store}:${key}`;
}

/** What the rows of one store in one order begin with. */
export function storeRows(order: 'entry' | 'created', store: string): Buffer {
  return head(KIND[order], store);
}

export function entryRowKey(store: string, key: string): Buffer {
  return rowKey(KIND.entry, store, undefined, key);
}

export function createdRowKey(store: string, seq: number, key: string): Buffer {
  return rowKey(KIND.created, store, inverted(seq), key);
}

export function valueRowKey(store: string, change: number, key: string): Buffer {
  return rowKey(KIND.value, store, change, key);
}

/** The grave of a value row, and back. */
export function graveRowKey(valueKey: Buffer): Buffer {
  return Buffer.concat([GRAVE_ROWS, valueKey.subarray(1)]);
}

export function valueRowKeyOfGrave(graveKey: Buffer): Buffer {
  return Buffer.concat([Buffer.of(KIND.value), graveKey.subarray(1)]);
}

export function expiryRowKey(expiresAtMs: number, store: string, key: string): Buffer {
  return Buffer.concat([
    dueRowKey(expiresAtMs),
    head(KIND.expiry, store).subarray(1),
    Buffer.from(key),
  ]);
}

/** Above every row of an earlier expiry. */
export function dueRowKey(expiresAtMs: number): Buffer {
  const start = Buffer.allocUnsafe(1 + NUMBER_BYTES);
  start[0] = KIND.expiry;
  writeNumber(start, 1, expiresAtMs);
  return start;
}

export function counterRowKey(text: string): Buffer {
  return Buffer.concat([COUNTER_ROWS, Buffer.from(text)]);
}

/** Newest first: rows are walked upward. */
function inverted(seq: number): number {
  return Number.MAX_SAFE_INTEGER - seq;
}

export interface EntryRow {
  readonly facts: StoredFacts;
  /** Empty when an extent holds it. A view. */
  readonly value: Buffer;
}

export function encodeEntryRow(facts: StoredFacts, value: Buffer): Buffer {
  const writer = new ByteWriter(64 + value.length).u8(VERSION);
  writeFacts(writer, facts);
  if (!facts.extent) writer.raw(value);
  return writer.finish();
}

export function decodeEntryRow(row: Buffer): EntryRow {
  const reader = versioned(row);
  const facts = readFacts(reader);
  const value = reader.raw(reader.remaining);
  if (facts.extent && value.length > 0) throw damaged('entry');
  return { facts, value };
}

export function encodeValueRow(ref: ExtentRef): Buffer {
  return Buffer.concat([encodeExtentRef(ref), MARK]);
}

export function extentOfValueRow(key: Buffer, row: Buffer): ExtentRef | undefined {
  if (key[0] !== KIND.value) return undefined;
  if (row[EXTENT_REF_BYTES] !== VERSION) throw damaged('value');
  return decodeExtentRef(row);
}

export interface Counter {
  readonly highest: number;
  readonly lastChange: number;
}

export function encodeCounterRow({ highest, lastChange }: Counter): Buffer {
  return new ByteWriter(24).u8(VERSION).varint(highest).varint(lastChange).finish();
}

export function decodeCounterRow(row: Buffer): Counter {
  const reader = versioned(row);
  const counter = { highest: reader.varint(), lastChange: reader.varint() };
  reader.end();
  return counter;
}

export interface RowName {
  readonly store: string;
  readonly key: string;
  /** `seq`, expiry or change; 0 in rows without one. */
  readonly number: number;
}

/** Of a row of an entry, in whatever order. */
export function nameOfRow(row: Buffer): RowName {
  let at = 1;
  let number = 0;
  if (row[0] === KIND.expiry) {
    number = readNumber(row, at);
    at += NUMBER_BYTES;
  }
  const length = row[at] ?? 0;
  const store = row.toString('latin1', at + 1, at + 1 + length);
  at += 1 + length;
  if (row[0] === KIND.created || row[0] === KIND.value || row[0] === KIND.grave) {
    number = readNumber(row, at);
    at += NUMBER_BYTES;
  }
  if (row[0] === KIND.created) number = inverted(number);
  if (length === 0 || at >= row.length) throw damaged('key');
  return { store, key: row.toString('utf8', at), number };
}

/** Of a row that is known to be of this store: of an entry, or of its creation. */
export function nameWithin(store: string, row: Buffer): Pick<RowName, 'key' | 'number'> {
  const at = 2 + store.length;
  const isCreated = row[0] === KIND.created;
  const keyAt = isCreated ? at + NUMBER_BYTES : at;
  if (keyAt >= row.length) throw damaged('key');
  return {
    key: row.toString('utf8', keyAt),
    number: isCreated ? inverted(readNumber(row, at)) : 0,
  };
}

/** `undefined` for rows of other engines. */
export function identityOfRow(row: Buffer): string | undefined {
  switch (row[0]) {
    case KIND.counter:
      return row.toString('utf8', 1);
    case KIND.entry:
    case KIND.created:
    case KIND.expiry:
    case KIND.value:
    case KIND.grave: {
      const { store, key } = nameOfRow(row);
      return identityOfEntry(store, key);
    }
    default:
      return undefined;
  }
}

function head(kind: number, store: string): Buffer {
  return rowKey(kind, store, undefined, '');
}

function rowKey(kind: number, store: string, number: number | undefined, key: string): Buffer {
  const keyAt = 2 + store.length + (number === undefined ? 0 : NUMBER_BYTES);
  const bytes = Buffer.allocUnsafe(keyAt + Buffer.byteLength(key));
  bytes[0] = kind;
  bytes[1] = store.length;
  bytes.write(store, 2, 'latin1');
  if (number !== undefined) writeNumber(bytes, 2 + store.length, number);
  if (key !== '') bytes.write(key, keyAt, 'utf8');
  return bytes;
}

function writeNumber(buffer: Buffer, at: number, value: number): void {
  buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  buffer.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}

function readNumber(buffer: Buffer, at: number): number {
  if (buffer.length < at + NUMBER_BYTES) throw damaged('key');
  const value = buffer.readUInt32BE(at) * 0x1_0000_0000 + buffer.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(value)) throw damaged('key');
  return value;
}

function versioned(row: Buffer): ByteReader {
  const reader = new ByteReader(row);
  const format = reader.u8();
  if (format !== VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `key-value row was written by another format version, upgrade holdfast version=${format}`,
    );
  }
  return reader;
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `key-value row cannot be decoded: ${what}`);
}
