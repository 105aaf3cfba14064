/**
 * What a peer has to know of a record before it can check its values: owner and schema, signed by the
 * owner. Both are under the record's id, so a descriptor belongs to exactly one record.
 *
 * Bytes (FORMAT.md, "Signed records"): version u8 = 1 | owner 32 | signature 64 | schema.
 *
 * Invariants
 * 1. `id` is that of owner and schema, in every descriptor there is.
 * 2. A `VerifiedDescriptor` was signed by its owner. Stores take no other.
 */
import { HoldfastError } from '@holdfast/core';
import { SIGNATURE_BYTES, signWith, verifyWith } from './ed25519.ts';
import {
  type KeyPair,
  PUBLIC_KEY_BYTES,
  type PublicKey,
  publicKeyBytes,
  publicKeyOf,
} from './key-pair.ts';
import { type RecordId, recordIdBytes, recordIdOf } from './record-key.ts';
import { checkSchema, decodeSchema, encodeSchema, type RecordSchema } from './schema.ts';

export interface RecordDescriptor {
  readonly id: RecordId;
  readonly owner: PublicKey;
  readonly schema: RecordSchema;
  readonly signature: Buffer;
}

declare const verified: unique symbol;
export type VerifiedDescriptor = RecordDescriptor & { readonly [verified]: true };

const VERSION = 1;
const SCHEMA_AT = 1 + PUBLIC_KEY_BYTES + SIGNATURE_BYTES;

export function createDescriptor(schema: RecordSchema, owner: KeyPair): VerifiedDescriptor {
  const checked = checkSchema(schema);
  const id = recordIdOf(checked, owner.publicKey);
  const signature = signWith(
    owner.seed,
    'descriptor',
    recordIdBytes(id),
    publicKeyBytes(owner.publicKey),
    encodeSchema(checked),
  );
  return { id, owner: owner.publicKey, schema: checked, signature } as VerifiedDescriptor;
}

/** @param expected the record that was asked for. */
export function verifyDescriptor(
  descriptor: RecordDescriptor,
  expected: RecordId,
): VerifiedDescriptor {
  if (descriptor.id !== expected) {
    throw new HoldfastError('SIGNATURE_REJECTED', 'the descriptor is of another record');
  }
  const { id, owner, schema, signature } = descriptor;
  const parts = [recordIdBytes(id), publicKeyBytes(owner), encodeSchema(schema)];
  if (!verifyWith(owner, signature, 'descriptor', ...parts)) {
    throw new HoldfastError('SIGNATURE_REJECTED', 'the descriptor is not signed by its owner');
  }
  return descriptor as VerifiedDescriptor;
}

/** Out of a store that takes verified ones only. */
export function storedDescriptor(bytes: Uint8Array): VerifiedDescriptor {
  return decodeDescriptor(bytes) as VerifiedDescriptor;
}

export function encodeDescriptor(descriptor: RecordDescriptor): Buffer {
  return Buffer.concat([
    Buffer.of(VERSION),
    publicKeyBytes(descriptor.owner),
    descriptor.signature,
    encodeSchema(descriptor.schema),
  ]);
}

/** The signature is not checked: `verifyDescriptor` does. The bytes are copied. */
export function decodeDescriptor(bytes: Uint8Array): RecordDescriptor {
  const from = Buffer.from(bytes);
  if (from.length < SCHEMA_AT || from[0] !== VERSION) {
    throw new HoldfastError('PEER_MESSAGE_INVALID', `no descriptor length=${from.length}`);
  }
  const owner = ownerOf(from.subarray(1, 1 + PUBLIC_KEY_BYTES));
  const signature = from.subarray(1 + PUBLIC_KEY_BYTES, SCHEMA_AT);
  const schema = decodeSchema(from.subarray(SCHEMA_AT));
  return { id: recordIdOf(schema, owner), owner, schema, signature };
}

/** The same record by the same words; signatures may differ. */
export function sameDescriptor(a: RecordDescriptor, b: RecordDescriptor): boolean {
  return a.id === b.id; // I1
}

function ownerOf(bytes: Buffer): PublicKey {
  try {
    return publicKeyOf(bytes);
  } catch (cause) {
    throw new HoldfastError('PEER_MESSAGE_INVALID', 'the owner has no usable key', { cause });
  }
}
