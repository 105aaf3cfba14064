/**
 * How a record is named. Its `RecordId` follows from owner and schema: SHA-256 over them. It is what
 * peers see. The secret, 32 bytes, encrypts the values; it is in the whole key only, which goes from
 * person to person and never to a peer. Who creates a record chooses the secret: two secrets for one
 * id are two keys for one record, and only one of them fits its values.
 *
 * As text: `rec1` and 52 letters; with the secret another `.` and 52 letters (`base32.ts`).
 */
import { createHash } from 'node:crypto';
import { HoldfastError } from '@holdfast/core';
import { decodeBase32, encodeBase32 } from './base32.ts';
import { type PublicKey, publicKeyBytes } from './key-pair.ts';
import { encodeSchema, type RecordSchema } from './schema.ts';

declare const brand: unique symbol;
/** 64 hex digits: their order is the order of the 32 bytes. */
export type RecordId = string & { readonly [brand]: 'RecordId' };

export interface RecordKey {
  readonly id: RecordId;
  /** 32 bytes. Without it a record can be inspected and watched, not read and not written. */
  readonly secret: Buffer | undefined;
}

export const RECORD_ID_BYTES = 32;
export const SECRET_BYTES = 32;
const DOMAIN = Buffer.from('holdfast/record-id/1\0');
const PREFIX = 'rec1';

export function recordIdOf(schema: RecordSchema, owner: PublicKey): RecordId {
  const hash = createHash('sha256').update(DOMAIN).update(publicKeyBytes(owner));
  return hash.update(encodeSchema(schema)).digest('hex') as RecordId;
}

export function recordIdFromBytes(bytes: Uint8Array): RecordId {
  if (bytes.length !== RECORD_ID_BYTES) throw invalid();
  return Buffer.from(bytes).toString('hex') as RecordId;
}

export function recordIdBytes(id: RecordId): Buffer {
  return Buffer.from(id, 'hex');
}

/** Of a record, without network or store. */
export function recordKey(schema: RecordSchema, owner: PublicKey, secret?: Uint8Array): RecordKey {
  return keyOf(recordIdOf(schema, owner), secret);
}

/** @param secret copied. */
export function keyOf(id: RecordId, secret: Uint8Array | undefined): RecordKey {
  if (secret !== undefined && secret.length !== SECRET_BYTES) {
    throw new HoldfastError('INVALID_RECORD_KEY', 'the secret of a record has 32 bytes');
  }
  return { id, secret: secret === undefined ? undefined : Buffer.from(secret) };
}

export function formatRecordKey(key: RecordKey): string {
  const id = PREFIX + encodeBase32(recordIdBytes(key.id));
  return key.secret === undefined ? id : `${id}.${encodeBase32(key.secret)}`;
}

/** The text is in no message: it holds the secret. */
export function parseRecordKey(text: string): RecordKey {
  const [head = '', tail, ...more] = text.split('.');
  const id = head.startsWith(PREFIX)
    ? decodeBase32(head.slice(PREFIX.length), RECORD_ID_BYTES)
    : undefined;
  const secret = tail === undefined ? undefined : decodeBase32(tail, SECRET_BYTES);
  if (id === undefined || more.length > 0 || (tail !== undefined && secret === undefined)) {
    throw invalid();
  }
  return { id: recordIdFromBytes(id), secret };
}

function invalid(): HoldfastError {
  return new HoldfastError('INVALID_RECORD_KEY', 'this is no key of a record');
}
