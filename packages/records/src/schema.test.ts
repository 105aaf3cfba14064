import { RECORD_LIMITS } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyPairOfSeed, type PublicKey } from './key-pair.ts';
import {
  checkSchema,
  decodeSchema,
  encodeSchema,
  isParticipant,
  maxStoredBytes,
  maxValueBytes,
  type RecordSchema,
  type SchemaMember,
  subkeyCount,
  writerOf,
} from './schema.ts';

const INVALID = expect.objectContaining({ code: 'INVALID_SCHEMA' });
const OWNER = keyPairOfSeed(Buffer.alloc(32, 0xff)).publicKey;
const KEYS: readonly PublicKey[] = Array.from(
  { length: 257 },
  (_, n) => keyPairOfSeed(Buffer.alloc(32).fill(Buffer.of(n, n >> 8))).publicKey,
);

function members(count: number, subkeys: number): SchemaMember[] {
  return KEYS.slice(0, count).map((key) => ({ key, subkeys }));
}
function single(subkeys: number): RecordSchema {
  return { type: 'default', subkeys };
}
function shared(ownerSubkeys: number, ...list: readonly SchemaMember[]): RecordSchema {
  return { type: 'multi-writer', ownerSubkeys, members: list };
}
const [A, B] = members(2, 1) as [SchemaMember, SchemaMember];

const anySchema = fc.oneof(
  fc.integer({ min: 1, max: 1024 }).map(single),
  fc
    .tuple(fc.nat(20), fc.array(fc.nat(9), { maxLength: 30, size: 'max' }))
    .map(([owned, counts]) =>
      shared(owned, ...counts.map((subkeys, n) => ({ key: KEYS[n] as PublicKey, subkeys }))),
    )
    .filter((schema) => subkeyCount(schema) > 0),
);

describe('a schema', () => {
  it.each([
    ['one subkey', single(1)],
    ['1024 subkeys', single(1024)],
    ['1024 subkeys of several', shared(1, ...members(1, 1023))],
    ['none of the owner', shared(0, A)],
    ['a member without subkeys', shared(1, { ...A, subkeys: 0 })],
    ['256 members, all of them writers', shared(0, ...members(256, 1))],
    ['256 members and 255 of them writers beside the owner', shared(1, ...one0(256))],
    ['the owner as a member, too', shared(1, { key: OWNER, subkeys: 1 })],
  ])('may have %s', (_, schema) => {
    expect(checkSchema(schema)).toEqual(schema);
    expect(decodeSchema(encodeSchema(schema))).toEqual(schema);
  });

  it.each([
    ['no subkey', single(0)],
    ['1025 subkeys', single(1025)],
    ['1025 subkeys of several', shared(1, ...members(1, 1024))],
    ['no subkey of anybody', shared(0, { ...A, subkeys: 0 })],
    ['a negative number', shared(2, { ...A, subkeys: -1 })],
    ['half a subkey', single(1.5)],
    ['257 members', shared(1, ...members(257, 0))],
    ['257 writers', shared(1, ...members(256, 1))],
    ['a member twice', shared(1, A, B, { ...A, subkeys: 0 })],
  ])('may not have %s', (_, schema) => {
    expect(() => checkSchema(schema)).toThrow(INVALID);
  });

  it('is a copy that nobody changes', () => {
    const list = [{ ...A }];
    const checked = checkSchema(shared(1, ...list));
    (list[0] as { subkeys: number }).subkeys = 7;
    expect(subkeyCount(checked)).toBe(2);
    expect(Object.isFrozen(checked)).toBe(true);
  });

  it('comes back from its bytes, and no other bytes stand for it', () => {
    fc.assert(
      fc.property(anySchema, (schema) => {
        const bytes = encodeSchema(schema);
        const read = decodeSchema(bytes);
        expect(read).toEqual(schema);
        expect(encodeSchema(read)).toEqual(bytes);
      }),
    );
  });

  const weak = '01'.padEnd(64, '0');
  it.each([
    ['nothing', ''],
    ['five bytes', '44464c5401'],
    ['seven bytes', '44464c54010000'],
    ['a default one of 0', '44464c540000'],
    ['a default one of 1025', '44464c540104'],
    ['another type', '58464c540100'],
    ['half a member', `534d504c0100${'ab'.repeat(33)}`],
    ['257 members', `534d504c0100${KEYS.map((key) => `${key}0000`).join('')}`],
    ['a member for whom anybody can sign', `534d504c0100${weak}0100`],
    ['a member with 65535 subkeys', `534d504c0100${A.key}ffff`],
  ])('is not made of %s', (_, hex) => {
    expect(() => decodeSchema(Buffer.from(hex, 'hex'))).toThrow(INVALID);
  });
});

describe('subkeys belong', () => {
  const schema = shared(2, { ...A, subkeys: 3 }, { key: KEYS[2] as PublicKey, subkeys: 0 }, B);

  it('to the owner first, then to each member in turn', () => {
    const writers = Array.from({ length: 7 }, (_, subkey) => writerOf(schema, OWNER, subkey));
    expect(writers).toEqual([OWNER, OWNER, A.key, A.key, A.key, B.key, undefined]);
  });

  it('to nobody where there are none', () => {
    for (const subkey of [-1, 6, 1.5, Number.NaN, Infinity]) {
      expect(writerOf(schema, OWNER, subkey)).toBeUndefined();
    }
  });

  it('to those who also take part otherwise, as do members without subkeys', () => {
    for (const key of [OWNER, A.key, KEYS[2], B.key]) {
      expect(isParticipant(schema, OWNER, key as PublicKey)).toBe(true);
    }
    expect(isParticipant(schema, OWNER, KEYS[3] as PublicKey)).toBe(false);
  });
});

describe('room of a subkey', () => {
  it('is 32 KiB up to 31 subkeys, then a share of 1 MiB less the tag', () => {
    expect(maxValueBytes(single(1))).toBe(32_768);
    expect(maxValueBytes(single(31))).toBe(32_768);
    expect(maxValueBytes(single(32))).toBe(32_768 - 16);
    expect(maxValueBytes(single(1024))).toBe(1024 - 16);
  });

  it('is never more than the record, all subkeys together', () => {
    for (let count = 1; count <= RECORD_LIMITS.maxSubkeys; count++) {
      const all = count * maxStoredBytes(single(count));
      expect(all).toBeLessThanOrEqual(RECORD_LIMITS.maxRecordDataBytes);
    }
  });
});

/** Of so many members all but one with a subkey. */
function one0(count: number): SchemaMember[] {
  return members(count, 1).map((member, n) => (n === 0 ? { ...member, subkeys: 0 } : member));
}
