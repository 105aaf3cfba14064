/**
 * The bytes of signed records, written down: made by another implementation (Python's `hashlib`,
 * `cryptography` and `struct`) from the tables of FORMAT.md. Whoever changes one of these has made
 * another network.
 */
import type { Random } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import {
  createDescriptor,
  createErasure,
  createProof,
  createValue,
  decodeDescriptor,
  decodeSchema,
  decodeSignedValue,
  encodeDescriptor,
  encodeSchema,
  encodeSignedValue,
  formatPublicKey,
  formatRecordKey,
  formatSecretKey,
  keyOf,
  keyPairOfSeed,
  LAST_SEQUENCE,
  openValue,
  parsePublicKey,
  parseRecordKey,
  parseSecretKey,
  type PeerId,
  recordIdOf,
  type RecordSchema,
  recordKey,
  sequence,
  verifyDescriptor,
  verifyProof,
  verifyValue,
} from '../src/index.ts';
import { decryptValue, encryptValue } from '../src/value-cipher.ts';

const OWNER = keyPairOfSeed(Buffer.alloc(32, 1));
const MEMBER = keyPairOfSeed(Buffer.alloc(32, 2));
const SECRET = Buffer.alloc(32, 9);
/** Gives 0, 1, 2, ... */
const COUNTING: Random = {
  bytes: (length) => Buffer.from(Array.from({ length }, (_, index) => index)),
  integer: () => 0,
};

const PUBLIC = '8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c';
const SINGLE: RecordSchema = { type: 'default', subkeys: 3 };
const SHARED: RecordSchema = {
  type: 'multi-writer',
  ownerSubkeys: 2,
  members: [{ key: MEMBER.publicKey, subkeys: 1 }],
};
const SHARED_BYTES =
  '534d504c02008139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b3940100';
const SINGLE_ID = '6e3c59b5aeaaae869c2cfa4d207682478ff492131ac0d294a9fe3b454aa241ca';
const SHARED_ID = '37664889219a963afd482f083b507c81dcc50cccca5a6e6cf1351e1991a1e9be';
const DESCRIPTOR =
  '018a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c5cd701cf49aadf1acb' +
  '1737c382f934e8ba03dd060588b5fa568e7959e5bb63b4472226243ab2f858842ad20b2dbcf463266be0' +
  '8af488a0c9d1935ce0265bfb06534d504c02008139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37' +
  'a25df60f5b8fc9b3940100';
const VALUE =
  '44104670e2eb9ecfc69c740d4dcb1ee59e28df51829f0256376a3f308bc401df2a41e27f86efe7a91c2f' +
  'aa58dc053563fbc258f88989594942ccb97cce124006010107000000000000008a88e3dd7409f195fd52' +
  'db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000102030405060708090a0b0c0d0e0f10111213' +
  '14151617dfb542e2889b7168e02fc097799d485555b74b4dc9';
const EMPTY_VALUE =
  '8a7fd199837a967e5b35890f93f6dec138d7e93206fa6785062e6198216f84c16752c66da9714b50ea52' +
  'abfd07953d9d0479d1f16b61bc9dc069d90afa20bc060101feffffffffff1f008139770ea87d175f56a3' +
  '5466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394000102030405060708090a0b0c0d0e0f10111213' +
  '1415161739611feabc5dbb7f23053cff2f4e7f72';
const ERASURE =
  'cb279832eb7df3d938dbdd1155c2c8f16c01ac14cb970fdbd649eeb38d7002ef2db18afb2d50e58e498c' +
  '2c396ee7cf2c50bd1736c1c25dcc366ca7ce64727e0a010200000000000000008139770ea87d175f56a3' +
  '5466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394';
const PROOF =
  '1cf14dc31c085a23065283c23705f78f872be761b2a313350df5343aeb1310caa2757016d0d1b7639fef' +
  '51a309a1521786a7634fd5310112807629cad20e0f0a';
const KEY_TEXT = 'rec1g5tercjbtkldv7kif4edwud4qhomkdgmzjng43hrgupbtenb5g7a';
const SECRET_TEXT = 'beeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeq';

const record = recordIdOf(SHARED, OWNER.publicKey);

describe('keys', () => {
  it('are Ed25519, 32 bytes each', () => {
    expect(OWNER.publicKey).toBe(PUBLIC);
    expect(MEMBER.publicKey).toBe(
      '8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394',
    );
  });

  it('have texts', () => {
    const publicText = 'pub1rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa';
    const secretText = 'sec1aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq';
    expect(formatPublicKey(OWNER.publicKey)).toBe(publicText);
    expect(parsePublicKey(publicText)).toBe(PUBLIC);
    expect(formatSecretKey(OWNER)).toBe(secretText);
    expect(parseSecretKey(secretText)).toEqual(OWNER);
  });
});

describe('schemas', () => {
  it.each([
    ['default', SINGLE, '44464c540300'],
    ['multi-writer', SHARED, SHARED_BYTES],
  ] as const)('of kind %s have these bytes', (_, schema, bytes) => {
    expect(encodeSchema(schema).toString('hex')).toBe(bytes);
    expect(decodeSchema(Buffer.from(bytes, 'hex'))).toEqual(schema);
  });
});

describe('records', () => {
  it('are named by the hash of owner and schema', () => {
    expect(recordIdOf(SINGLE, OWNER.publicKey)).toBe(SINGLE_ID);
    expect(record).toBe(SHARED_ID);
    expect(recordKey(SHARED, OWNER.publicKey).id).toBe(SHARED_ID);
  });

  it('have keys with a text, whole and without the secret', () => {
    const whole = `${KEY_TEXT}.${SECRET_TEXT}`;
    expect(formatRecordKey(keyOf(record, undefined))).toBe(KEY_TEXT);
    expect(formatRecordKey(keyOf(record, SECRET))).toBe(whole);
    expect(parseRecordKey(KEY_TEXT)).toEqual({ id: record, secret: undefined });
    expect(parseRecordKey(whole)).toEqual({ id: record, secret: SECRET });
  });

  it('have a descriptor, signed by the owner', () => {
    expect(encodeDescriptor(createDescriptor(SHARED, OWNER)).toString('hex')).toBe(DESCRIPTOR);
    const read = decodeDescriptor(Buffer.from(DESCRIPTOR, 'hex'));
    expect(read).toMatchObject({ id: record, owner: OWNER.publicKey, schema: SHARED });
    verifyDescriptor(read, record);
  });
});

describe('values', () => {
  const descriptor = createDescriptor(SHARED, OWNER);
  const hello = Buffer.from('hello');
  const ofOwner = { record, subkey: 1, sequence: sequence(7), writer: OWNER };
  const ofMember = { record, subkey: 2, sequence: LAST_SEQUENCE, writer: MEMBER };
  const erased = createErasure({ ...ofMember, sequence: sequence(0) });

  it.each([
    ['of an owner', VALUE, createValue(ofOwner, SECRET, hello, COUNTING), 1, hello],
    [
      'of a member, empty',
      EMPTY_VALUE,
      createValue(ofMember, SECRET, Buffer.of(), COUNTING),
      2,
      '',
    ],
    ['that erase', ERASURE, erased, 2, ''],
  ] as const)('%s have these bytes', (_, bytes, value, subkey, plain) => {
    expect(encodeSignedValue(value).toString('hex')).toBe(bytes);
    const read = decodeSignedValue(Buffer.from(bytes, 'hex'));
    expect(read).toEqual(value);
    expect(verifyValue(read, descriptor, subkey)).toMatchObject(read);
    expect(openValue(read, { record, subkey }, SECRET)).toEqual(Buffer.from(plain));
  });
});

describe('proofs of members', () => {
  it('are these signatures', () => {
    const scope = { record, asking: 'peer-a' as PeerId, answering: 'peer-b' as PeerId };
    const proof = createProof(scope, MEMBER);
    expect(proof.signature.toString('hex')).toBe(PROOF);
    expect(verifyProof(proof, scope)).toBe(MEMBER.publicKey);
  });
});

describe('XAES-256-GCM', () => {
  // The two vectors of its specification differ in the bit that the doubling carries; the third key
  // encrypts zeros to a first byte of 80, where only that bit is set.
  it.each([
    [1, '', 'ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271'],
    [3, 'c2sp.org/XAES-256-GCM', '986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d'],
    [0, '', 'aa9926e1ec2323167dfb09b50829496abc6fdb06f66c18533cc894fc'],
  ])('with a key of bytes %d', (byte, associated, expected) => {
    const key = Buffer.alloc(32, byte);
    if (byte === 0) key.writeUInt16BE(292, 30);
    const nonce = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWX');
    const plain = Buffer.from('XAES-256-GCM');
    const encrypted = encryptValue(key, nonce, Buffer.from(associated), plain);
    expect(encrypted.toString('hex')).toBe(expected);
    expect(decryptValue(key, nonce, Buffer.from(associated), encrypted)).toEqual(plain);
  });
});
