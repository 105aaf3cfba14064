/**
 * Who may write which subkeys of a record. Subkeys are numbered from 0: those of the owner come
 * first, then each member's, in the order of the members. Nobody else writes, and the owner does not
 * write those of members.
 *
 * Bytes, little-endian (FORMAT.md, "Signed records"):
 *
 *   default       "DFLT" | owner's subkeys u16
 *   multi-writer  "SMPL" | owner's subkeys u16 | for each member: public key 32, subkeys u16
 *
 * Invariants
 * 1. A `RecordSchema` was checked by `checkSchema`, whoever made it: 1 to 1024 subkeys, at most 256
 *    members, each named once, at most 256 writers.
 * 2. The same schema has the same bytes: they are under the key of the record.
 */
import { HoldfastError, RECORD_LIMITS } from '@holdfast/core';
import { type PublicKey, PUBLIC_KEY_BYTES, publicKeyBytes, publicKeyOf } from './key-pair.ts';

export interface DefaultSchema {
  readonly type: 'default';
  /** 1 to 1024. */
  readonly subkeys: number;
}

export interface SchemaMember {
  readonly key: PublicKey;
  /** 0 is allowed: a member that only watches and takes part in transactions. */
  readonly subkeys: number;
}

export interface MultiWriterSchema {
  readonly type: 'multi-writer';
  /** 0 is allowed. */
  readonly ownerSubkeys: number;
  readonly members: readonly SchemaMember[];
}

export type RecordSchema = DefaultSchema | MultiWriterSchema;

const HEAD_BYTES = 6;
const MEMBER_BYTES = PUBLIC_KEY_BYTES + 2;
/** What encryption adds to a value: the tag. */
export const VALUE_TAG_BYTES = 16;

/** I1; a copy that nobody changes. */
export function checkSchema(schema: RecordSchema): RecordSchema {
  const owned = ownerSubkeys(schema);
  checkCount('owner subkeys', owned);
  const members = membersOf(schema);
  if (members.length > RECORD_LIMITS.maxMembers) {
    throw invalid(`too many members count=${members.length} limit=${RECORD_LIMITS.maxMembers}`);
  }
  for (const member of members) checkCount('subkeys of a member', member.subkeys);
  if (new Set(members.map(({ key }) => key)).size !== members.length) {
    throw invalid('a member is named twice');
  }
  const total = subkeyCount(schema);
  if (total < 1 || total > RECORD_LIMITS.maxSubkeys) {
    throw invalid(`a record has 1 to ${RECORD_LIMITS.maxSubkeys} subkeys count=${total}`);
  }
  const writers = members.filter(({ subkeys }) => subkeys > 0).length + (owned > 0 ? 1 : 0);
  if (writers > RECORD_LIMITS.maxWriters) {
    throw invalid(`too many writers count=${writers} limit=${RECORD_LIMITS.maxWriters}`);
  }
  if (schema.type === 'default') return Object.freeze({ type: 'default', subkeys: schema.subkeys });
  const copies = members.map(({ key, subkeys }) => Object.freeze({ key, subkeys }));
  return Object.freeze({
    type: 'multi-writer',
    ownerSubkeys: owned,
    members: Object.freeze(copies),
  });
}

export function encodeSchema(schema: RecordSchema): Buffer {
  const members = membersOf(schema);
  const bytes = Buffer.alloc(HEAD_BYTES + members.length * MEMBER_BYTES);
  bytes.write(schema.type === 'default' ? 'DFLT' : 'SMPL', 0, 'latin1');
  bytes.writeUInt16LE(ownerSubkeys(schema), 4);
  let at = HEAD_BYTES;
  for (const { key, subkeys } of members) {
    bytes.set(publicKeyBytes(key), at);
    bytes.writeUInt16LE(subkeys, at + PUBLIC_KEY_BYTES);
    at += MEMBER_BYTES;
  }
  return bytes;
}

export function decodeSchema(bytes: Uint8Array): RecordSchema {
  const from = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (from.length < HEAD_BYTES) throw invalid(`bytes are no schema length=${from.length}`);
  const type = from.toString('latin1', 0, 4);
  const owned = from.readUInt16LE(4);
  if (type === 'DFLT' && from.length === HEAD_BYTES) {
    return checkSchema({ type: 'default', subkeys: owned });
  }
  const count = (from.length - HEAD_BYTES) / MEMBER_BYTES;
  if (type !== 'SMPL' || !Number.isInteger(count)) {
    throw invalid(`bytes are no schema length=${from.length}`);
  }
  // Before 34 bytes a member become objects.
  if (count > RECORD_LIMITS.maxMembers) throw invalid(`too many members count=${count}`);
  const members: SchemaMember[] = [];
  for (let at = HEAD_BYTES; at < from.length; at += MEMBER_BYTES) {
    members.push({
      key: memberKey(from.subarray(at, at + 32)),
      subkeys: from.readUInt16LE(at + 32),
    });
  }
  return checkSchema({ type: 'multi-writer', ownerSubkeys: owned, members });
}

export function ownerSubkeys(schema: RecordSchema): number {
  return schema.type === 'default' ? schema.subkeys : schema.ownerSubkeys;
}

export function membersOf(schema: RecordSchema): readonly SchemaMember[] {
  return schema.type === 'default' ? [] : schema.members;
}

export function subkeyCount(schema: RecordSchema): number {
  return membersOf(schema).reduce((sum, { subkeys }) => sum + subkeys, ownerSubkeys(schema));
}

/** Who writes this subkey; `undefined` where the schema has no such one. */
export function writerOf(
  schema: RecordSchema,
  owner: PublicKey,
  subkey: number,
): PublicKey | undefined {
  if (!Number.isInteger(subkey) || subkey < 0) return undefined;
  let end = ownerSubkeys(schema);
  if (subkey < end) return owner;
  for (const member of membersOf(schema)) {
    end += member.subkeys;
    if (subkey < end) return member.key;
  }
  return undefined;
}

/** Owner or member: whoever has more room for watches and transactions than the public. */
export function isParticipant(schema: RecordSchema, owner: PublicKey, key: PublicKey): boolean {
  return key === owner || membersOf(schema).some((member) => member.key === key);
}

/** Encrypted bytes that one subkey may hold: its share of the record, and no more than a value. */
export function maxStoredBytes(schema: RecordSchema): number {
  const share = Math.floor(RECORD_LIMITS.maxRecordDataBytes / subkeyCount(schema));
  return Math.min(RECORD_LIMITS.maxValueBytes + VALUE_TAG_BYTES, share);
}

/** Plain bytes that an application may put into one subkey. */
export function maxValueBytes(schema: RecordSchema): number {
  return maxStoredBytes(schema) - VALUE_TAG_BYTES;
}

function memberKey(bytes: Buffer): PublicKey {
  try {
    return publicKeyOf(bytes);
  } catch (cause) {
    throw new HoldfastError('INVALID_SCHEMA', 'a member has no usable key', { cause });
  }
}

function checkCount(what: string, count: number): void {
  if (!Number.isInteger(count) || count < 0 || count > RECORD_LIMITS.maxSubkeys) {
    throw invalid(`${what} must be 0 to ${RECORD_LIMITS.maxSubkeys} count=${count}`);
  }
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_SCHEMA', message);
}
