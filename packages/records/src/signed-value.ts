/**
 * One write of one subkey: made once, by its writer, and from then on stored, hashed and sent as the
 * bytes it was made with.
 *
 * Bytes of the blob, little-endian (FORMAT.md, "Signed records"):
 *
 *   version u8 = 1 | kind u8 | sequence u64 | writer 32 | nonce 24 | encrypted value + tag 16
 *
 * Kind 1 is a value. Kind 2 erases: it ends behind the writer. Where the two are kept or sent, the
 * 64 bytes of the signature come before the blob. The signature is the writer's, over domain,
 * id of the record, subkey (u32) and SHA-256 of the blob; so no value fits another place.
 *
 * Invariants
 * 1. Fields of a `SignedValue` are those of its blob, which is never changed.
 * 2. Of two values of one subkey exactly one wins, the same everywhere: the higher sequence number;
 *    among equals the lower hash of the blob (`compareValues`). Equal blobs are equal values.
 * 3. A `VerifiedValue` is signed by the writer that the schema names for its subkey, and within its
 *    bounds. Stores take no other, and it carries the place it was verified for.
 */
import { createHash } from 'node:crypto';
import { ByteWriter, HoldfastError, type Random } from '@holdfast/core';
import { SIGNATURE_BYTES, signWith, verifyWith } from './ed25519.ts';
import {
  type KeyPair,
  PUBLIC_KEY_BYTES,
  type PublicKey,
  publicKeyBytes,
  publicKeyOf,
} from './key-pair.ts';
import type { VerifiedDescriptor } from './record-descriptor.ts';
import { type RecordId, recordIdBytes } from './record-key.ts';
import { maxStoredBytes, maxValueBytes, subkeyCount, VALUE_TAG_BYTES, writerOf } from './schema.ts';
import { isSequence, type Sequence } from './sequence.ts';
import { decryptValue, encryptValue, VALUE_NONCE_BYTES } from './value-cipher.ts';

export type ValueKind = 'value' | 'erased';

export interface SignedValue {
  readonly kind: ValueKind;
  readonly sequence: Sequence;
  readonly writer: PublicKey;
  /** As it is stored and signed. */
  readonly blob: Buffer;
  readonly signature: Buffer;
  /** SHA-256 of the blob. */
  readonly digest: Buffer;
}

export interface ValuePlace {
  readonly record: RecordId;
  readonly subkey: number;
}

declare const verified: unique symbol;
export type VerifiedValue = SignedValue & ValuePlace & { readonly [verified]: true };

const VERSION = 1;
const KINDS: Readonly<Record<ValueKind, number>> = { value: 1, erased: 2 };
const WRITER_AT = 10;
const NONCE_AT = WRITER_AT + PUBLIC_KEY_BYTES;
const DATA_AT = NONCE_AT + VALUE_NONCE_BYTES;

/** Bytes of a blob beside those of the value. */
export const VALUE_OVERHEAD_BYTES: number = DATA_AT + VALUE_TAG_BYTES;

export interface ValueToSign extends ValuePlace {
  readonly sequence: Sequence;
  readonly writer: KeyPair;
}

/** Checks nothing but the form: `verifyValue` tells whether the writer may. */
export function createValue(
  about: ValueToSign,
  secret: Uint8Array,
  data: Uint8Array,
  random: Random,
): SignedValue {
  const head = headOf('value', about);
  const nonce = random.bytes(VALUE_NONCE_BYTES);
  const encrypted = encryptValue(secret, nonce, associated(about, head), data);
  return signed(about, Buffer.concat([head, nonce, encrypted]));
}

/** Takes the place of a value, and says that there is none any more. */
export function createErasure(about: ValueToSign): SignedValue {
  return signed(about, headOf('erased', about));
}

/** What the application wrote; empty for an erasure. */
export function openValue(value: SignedValue, place: ValuePlace, secret: Uint8Array): Buffer {
  if (value.kind === 'erased') return Buffer.of();
  const { blob } = value;
  const head = blob.subarray(0, NONCE_AT);
  const nonce = blob.subarray(NONCE_AT, DATA_AT);
  return decryptValue(secret, nonce, associated(place, head), blob.subarray(DATA_AT));
}

/** I3: everything that is checked before a value of somebody else changes anything. */
export function verifyValue(
  value: SignedValue,
  descriptor: VerifiedDescriptor,
  subkey: number,
): VerifiedValue {
  const { owner, schema, id: record } = descriptor;
  const writer = writerOf(schema, owner, subkey);
  if (writer === undefined) {
    const count = subkeyCount(schema);
    throw new HoldfastError('INVALID_SUBKEY', `no such subkey subkey=${subkey} count=${count}`);
  }
  if (writer !== value.writer) {
    throw new HoldfastError('NOT_A_WRITER', `the subkey has another writer subkey=${subkey}`);
  }
  const stored = value.kind === 'value' ? value.blob.length - DATA_AT : 0;
  if (stored > maxStoredBytes(schema)) {
    const bytes = stored - VALUE_TAG_BYTES;
    const limit = maxValueBytes(schema);
    throw new HoldfastError('RECORD_TOO_LARGE', `value too large bytes=${bytes} limit=${limit}`);
  }
  const place = { record, subkey };
  if (!verifyWith(writer, value.signature, 'value', ...signedParts(place, value.digest))) {
    throw new HoldfastError('SIGNATURE_REJECTED', 'the value is not signed by its writer');
  }
  return { ...value, ...place } as VerifiedValue;
}

/** What decides which of two values of one subkey wins; all that is left of one that is gone. */
export type ValueRank = Pick<SignedValue, 'sequence' | 'digest'>;

/** I2: above 0 where `a` wins, 0 where they are the same value. Of values of one subkey. */
export function compareValues(a: ValueRank, b: ValueRank): number {
  return a.sequence === b.sequence ? Buffer.compare(b.digest, a.digest) : a.sequence - b.sequence;
}

/** One after the other, as kept and sent. */
export function encodeSignedValue(value: SignedValue): Buffer {
  return Buffer.concat([value.signature, value.blob]);
}

/** Neither signature nor writer are checked: `verifyValue` does. The bytes are copied. */
export function decodeSignedValue(bytes: Uint8Array): SignedValue {
  if (bytes.length < SIGNATURE_BYTES) throw invalid(`no signed value length=${bytes.length}`);
  const copy = Buffer.from(bytes);
  return valueOf(copy.subarray(SIGNATURE_BYTES), copy.subarray(0, SIGNATURE_BYTES));
}

/** Out of a store that takes verified ones only. */
export function storedValue(bytes: Uint8Array, place: ValuePlace): VerifiedValue {
  const { record, subkey } = place;
  return { ...decodeSignedValue(bytes), record, subkey } as VerifiedValue;
}

function headOf(kind: ValueKind, { sequence, writer }: ValueToSign): Buffer {
  const head = new ByteWriter(NONCE_AT).u8(VERSION).u8(KINDS[kind]).u64(sequence);
  return head.raw(publicKeyBytes(writer.publicKey)).finish();
}

function signed(about: ValueToSign, blob: Buffer): SignedValue {
  const digest = digestOf(blob);
  return valueOf(blob, signWith(about.writer.seed, 'value', ...signedParts(about, digest)));
}

function valueOf(blob: Buffer, signature: Buffer): SignedValue {
  if (blob.length < NONCE_AT || blob[0] !== VERSION) throw invalid(`length=${blob.length}`);
  const kind = blob[1] === KINDS.value ? 'value' : 'erased';
  if (blob[1] !== KINDS[kind]) throw invalid(`kind=${blob[1]}`);
  if (kind === 'value' ? blob.length < VALUE_OVERHEAD_BYTES : blob.length !== NONCE_AT) {
    throw invalid(`kind=${blob[1]} length=${blob.length}`);
  }
  const sequence = Number(blob.readBigUInt64LE(2));
  if (!isSequence(sequence)) throw invalid('the sequence number is above 2^53 - 2');
  const writer = writerIn(blob.subarray(WRITER_AT, NONCE_AT));
  return { kind, sequence, writer, blob, signature, digest: digestOf(blob) };
}

function writerIn(bytes: Buffer): PublicKey {
  try {
    return publicKeyOf(bytes);
  } catch (cause) {
    throw new HoldfastError('PEER_MESSAGE_INVALID', 'the writer has no usable key', { cause });
  }
}

function digestOf(blob: Buffer): Buffer {
  return createHash('sha256').update(blob).digest();
}

function signedParts(place: ValuePlace, digest: Buffer): Buffer[] {
  return [recordIdBytes(place.record), subkeyBytes(place.subkey), digest];
}

/** Under the tag of the encryption: a value in another place, or under another head, does not open. */
function associated(place: ValuePlace, head: Buffer): Buffer {
  return Buffer.concat([recordIdBytes(place.record), subkeyBytes(place.subkey), head]);
}

function subkeyBytes(subkey: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(subkey);
  return bytes;
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('PEER_MESSAGE_INVALID', `bytes are no signed value: ${what}`);
}
