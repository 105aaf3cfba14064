/**
 * The rows of a record store: their keys, and their bytes. FORMAT.md, "Record stores".
 *
 * | key | row |
 * | --- | --- |
 * | `h-` record | head: everything of a record but its values |
 * | `v-` record `-` subkey | the value of one subkey |
 * | `f-` record | floors of subkeys whose values went |
 * | `numbers` | above every revision and age that was ever given out |
 *
 * The record is its id, 64 hex digits; the subkey 4 hex digits. So every `KvStore` takes the keys.
 *
 * Every row is a version, u8 = 1, its fields, and at its end a CRC-32C, u32, over its key and all
 * that is before it. That much is the same in every version: a row of another version whose checksum
 * is right is `FORMAT_UNSUPPORTED`, and no damage.
 *
 * Invariants
 * 1. A row that was decoded was written under this key; a head is of the record that its key names.
 * 2. Subkeys rise, and are those of the schema of the head.
 */
import { ByteReader, ByteWriter, crc32c, HoldfastError, isHoldfastError } from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import { SIGNATURE_BYTES } from '../ed25519.ts';
import { encodeDescriptor, type RecordDescriptor, storedDescriptor } from '../record-descriptor.ts';
import type { RecordId } from '../record-key.ts';
import type { RecordHead, SequenceFloor, SubkeyHead } from '../record-store.ts';
import { subkeyCount } from '../schema.ts';
import { isSequence, type Sequence } from '../sequence.ts';
import { encodeSignedValue, storedValue, type VerifiedValue } from '../signed-value.ts';

export const HEAD_PREFIX = 'h-';
export const FLOOR_PREFIX = 'f-';
export const NUMBERS_KEY = 'numbers';

/** What a head says of a value: so much of it is left when the value is gone. */
export interface StoredSubkey extends SubkeyHead, SequenceFloor {}

export interface StoredHead extends RecordHead {
  readonly subkeys: readonly (StoredSubkey | undefined)[];
}

/** What the index keeps of a head. */
export interface HeadSummary {
  readonly revision: number;
  readonly touchedAtMs: number;
  readonly origin: PeerId | undefined;
  /** Of all rows of the record, with their keys. */
  readonly bytes: number;
}

export type FloorMap = ReadonlyMap<number, SequenceFloor>;

export interface FloorRow {
  /** Older floors have lower ages. */
  readonly age: number;
  readonly floors: FloorMap;
}

const VERSION = 1;
const CHECKSUM_BYTES = 4;
const DIGEST_BYTES = 32;
const ID_DIGITS = 64;
const SUBKEY_DIGITS = 4;
const FLAG = { origin: 1, detail: 2 } as const;
/** Of a value's row, beside its blob. */
const VALUE_ROW_BYTES =
  'v-'.length + ID_DIGITS + 1 + SUBKEY_DIGITS + 1 + SIGNATURE_BYTES + CHECKSUM_BYTES;
const HEAD_KEY_BYTES = HEAD_PREFIX.length + ID_DIGITS;

export function headKey(record: RecordId): string {
  return HEAD_PREFIX + record;
}

export function floorKey(record: RecordId): string {
  return FLOOR_PREFIX + record;
}

export function valuePrefix(record: RecordId): string {
  return `v-${record}-`;
}

export function valueKey(record: RecordId, subkey: number): string {
  return valuePrefix(record) + subkey.toString(16).padStart(SUBKEY_DIGITS, '0');
}

/** Of a key that begins with `valuePrefix`; `undefined` where no such key was written. */
export function subkeyOfKey(key: string): number | undefined {
  const digits = key.slice(-SUBKEY_DIGITS);
  return /^[0-9a-f]{4}$/.test(digits) ? Number.parseInt(digits, 16) : undefined;
}

/** Of the key of a head or of floors; `undefined` where no such key was written. */
export function recordOfKey(key: string): RecordId | undefined {
  const id = key.slice(HEAD_PREFIX.length);
  return /^[0-9a-f]{64}$/.test(id) ? (id as RecordId) : undefined;
}

// -- heads -------------------------------------------------------------------------------------

export function encodeHead(head: StoredHead): Buffer {
  const { origin, detail, descriptor } = head;
  const to = new ByteWriter().u8(VERSION);
  to.u8((origin === undefined ? 0 : FLAG.origin) | (detail === undefined ? 0 : FLAG.detail));
  to.u64(head.revision).u64(head.touchedAtMs);
  const stored = storedOf(head.subkeys);
  to.varint(head.storedBytes).varint(stored.length);
  if (origin !== undefined) to.string(origin);
  to.bytes(encodeDescriptor(descriptor));
  if (detail !== undefined) to.bytes(detail);
  let next = 0;
  for (const [subkey, { sequence, bytes, digest }] of stored) {
    to.varint(subkey - next)
      .varint(sequence)
      .varint(bytes)
      .raw(digest);
    next = subkey + 1;
  }
  return withChecksum(headKey(descriptor.id), to);
}

/** Says nothing about what follows the fields that it reads, but that the checksum is right. */
export function readHeadSummary(key: string, row: Uint8Array): HeadSummary {
  return readRow(key, row, (from) => {
    const fields = readHeadFields(from);
    return { ...fields, bytes: accounted(row.length, fields.storedBytes, fields.stored) };
  });
}

export function decodeHead(record: RecordId, row: Uint8Array): StoredHead {
  return readRow(headKey(record), row, (from) => {
    const { flags, stored, ...fields } = readHeadFields(from);
    const descriptor = storedDescriptor(from.bytes());
    if (descriptor.id !== record) throw invalid('the descriptor is of another record');
    const detail = (flags & FLAG.detail) === 0 ? undefined : Buffer.from(from.bytes());
    const subkeys = noSubkeys(descriptor);
    let next = 0;
    let sum = 0;
    for (let i = 0; i < stored; i++) {
      const subkey = next + from.varint();
      if (subkey >= subkeys.length) throw invalid(`subkey=${subkey}`);
      const sequence = readSequence(from);
      const bytes = from.varint();
      subkeys[subkey] = { sequence, bytes, digest: Buffer.from(from.raw(DIGEST_BYTES)) };
      next = subkey + 1;
      sum += bytes;
    }
    from.end();
    if (sum !== fields.storedBytes) throw invalid('the bytes of its values are not their sum');
    return { ...fields, descriptor, detail, subkeys };
  });
}

/** Of a record to which nothing was written. */
export function noSubkeys({ schema }: RecordDescriptor): (StoredSubkey | undefined)[] {
  return Array.from({ length: subkeyCount(schema) }, () => undefined);
}

/** Bytes of all rows of a record, with their keys: what bounds count. */
export function bytesOfRecord(head: StoredHead, headRow: Uint8Array): number {
  return accounted(headRow.length, head.storedBytes, storedOf(head.subkeys).length);
}

export function storedOf(
  subkeys: readonly (StoredSubkey | undefined)[],
): (readonly [subkey: number, stored: StoredSubkey])[] {
  const stored: (readonly [number, StoredSubkey])[] = [];
  for (const [subkey, one] of subkeys.entries()) if (one !== undefined) stored.push([subkey, one]);
  return stored;
}

function accounted(headRowBytes: number, blobBytes: number, values: number): number {
  return HEAD_KEY_BYTES + headRowBytes + blobBytes + values * VALUE_ROW_BYTES;
}

function readHeadFields(from: ByteReader): {
  flags: number;
  revision: number;
  touchedAtMs: number;
  storedBytes: number;
  stored: number;
  origin: PeerId | undefined;
} {
  const flags = from.u8();
  if ((flags & ~(FLAG.origin | FLAG.detail)) !== 0) throw invalid(`flags=${flags}`);
  const times = { revision: from.u64(), touchedAtMs: from.u64() };
  const counts = { storedBytes: from.varint(), stored: from.varint() };
  const origin = (flags & FLAG.origin) === 0 ? undefined : (from.string() as PeerId);
  return { flags, ...times, ...counts, origin };
}

// -- values ------------------------------------------------------------------------------------

export function encodeValueRow(value: VerifiedValue): Buffer {
  const to = new ByteWriter(VALUE_ROW_BYTES + value.blob.length).u8(VERSION);
  to.raw(encodeSignedValue(value));
  return withChecksum(valueKey(value.record, value.subkey), to);
}

export function decodeValueRow(record: RecordId, subkey: number, row: Uint8Array): VerifiedValue {
  return readRow(valueKey(record, subkey), row, (from) =>
    storedValue(from.raw(from.remaining), { record, subkey }),
  );
}

// -- floors and numbers ------------------------------------------------------------------------

export function encodeFloors(record: RecordId, { age, floors }: FloorRow): Buffer {
  const to = new ByteWriter().u8(VERSION).u64(age).varint(floors.size);
  let next = 0;
  for (const [subkey, { sequence, digest }] of [...floors].sort(([a], [b]) => a - b)) {
    to.varint(subkey - next)
      .varint(sequence)
      .raw(digest);
    next = subkey + 1;
  }
  return withChecksum(floorKey(record), to);
}

export function decodeFloors(record: RecordId, row: Uint8Array): FloorRow {
  return readRow(floorKey(record), row, (from) => {
    const { age, count } = readFloorFields(from);
    const floors = new Map<number, SequenceFloor>();
    let next = 0;
    for (let i = 0; i < count; i++) {
      const subkey = next + from.varint();
      const sequence = readSequence(from);
      floors.set(subkey, { sequence, digest: Buffer.from(from.raw(DIGEST_BYTES)) });
      next = subkey + 1;
    }
    from.end();
    return { age, floors };
  });
}

export function readFloorSummary(key: string, row: Uint8Array): { age: number; count: number } {
  return readRow(key, row, readFloorFields);
}

export function encodeNumbers(next: number): Buffer {
  return withChecksum(NUMBERS_KEY, new ByteWriter().u8(VERSION).u64(next));
}

export function decodeNumbers(row: Uint8Array): number {
  return readRow(NUMBERS_KEY, row, (from) => {
    const next = from.u64();
    from.end();
    return next;
  });
}

function readFloorFields(from: ByteReader): { age: number; count: number } {
  return { age: from.u64(), count: from.varint() };
}

// -- all rows ----------------------------------------------------------------------------------

/** Rows of other stores of this package have the same frame. */
export function withChecksum(key: string, to: ByteWriter): Buffer {
  const at = to.length;
  const row = to.u32(0).finish();
  row.writeUInt32LE(checksum(key, row.subarray(0, at)), at);
  return row;
}

export function readRow<Row>(key: string, bytes: Uint8Array, read: (from: ByteReader) => Row): Row {
  const row = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = row.length - CHECKSUM_BYTES;
  if (at < 1) throw invalid(`length=${row.length}`);
  const body = row.subarray(0, at);
  if (checksum(key, body) !== row.readUInt32LE(at)) {
    throw new HoldfastError('CHECKSUM_MISMATCH', 'a row is not the one that was written');
  }
  if (body[0] !== VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `a row was written by another format version, upgrade holdfast version=${body[0]}`,
    );
  }
  try {
    return read(new ByteReader(body.subarray(1)));
  } catch (cause) {
    if (isHoldfastError(cause) && cause.kind === 'corrupt') throw cause;
    // Bytes of descriptors and values have errors of their own; in a row they are damage.
    throw new HoldfastError('FORMAT_INVALID', 'a row holds what was never written', { cause });
  }
}

function checksum(key: string, body: Uint8Array): number {
  return crc32c(body, crc32c(Buffer.from(key)));
}

function readSequence(from: ByteReader): Sequence {
  const sequence = from.varint();
  if (!isSequence(sequence)) throw invalid('the sequence number is above 2^53 - 2');
  return sequence;
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `a row makes no sense: ${what}`);
}
