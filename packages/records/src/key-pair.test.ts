import { SeededRandom } from '@holdfast/testkit';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBase32, encodeBase32 } from './base32.ts';
import { DOMAINS, isWeakPublicKey, publicKeyOfSeed, signWith, verifyWith } from './ed25519.ts';
import {
  createKeyPair,
  formatPublicKey,
  formatSecretKey,
  keyPairOfSeed,
  parsePublicKey,
  parseSecretKey,
  publicKeyOf,
} from './key-pair.ts';
import { formatRecordKey, keyOf, parseRecordKey, recordIdFromBytes } from './record-key.ts';

const INVALID = expect.objectContaining({ code: 'INVALID_RECORD_KEY' });
const random = new SeededRandom(3);

describe('base32', () => {
  it('is that of RFC 4648, in small letters, without padding', () => {
    const texts = ['', 'my', 'mzxq', 'mzxw6', 'mzxw6yq', 'mzxw6ytb', 'mzxw6ytboi'];
    texts.forEach((text, length) => {
      expect(encodeBase32(Buffer.from('foobar').subarray(0, length))).toBe(text);
    });
  });

  it('gives back what went in', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70, size: 'max' }), (bytes) => {
        expect(decodeBase32(encodeBase32(bytes), bytes.length)).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('has one text for each bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'abcz2347AB '), maxLength: 9 }), (text) => {
        for (let length = 0; length < 6; length++) {
          const bytes = decodeBase32(text, length);
          if (bytes !== undefined) expect(encodeBase32(bytes)).toBe(text);
        }
      }),
      { numRuns: 2_000 },
    );
    expect(decodeBase32('mz', 1)).toBeUndefined(); // one bit too many is set
  });
});

describe('texts of keys', () => {
  const keys = createKeyPair(random);
  const text = formatPublicKey(keys.publicKey);
  const whole = formatRecordKey(keyOf(recordIdFromBytes(random.bytes(32)), random.bytes(32)));
  const [id = '', secret = ''] = whole.split('.');

  it('come back', () => {
    expect(parsePublicKey(text)).toBe(keys.publicKey);
    expect(parseSecretKey(formatSecretKey(keys))).toEqual(keys);
    expect(formatRecordKey(parseRecordKey(whole))).toBe(whole);
    expect(parseRecordKey(id)).toEqual({ ...parseRecordKey(whole), secret: undefined });
  });

  it.each([
    '',
    'pub1',
    text.slice(0, -1),
    `${text}a`,
    text.toUpperCase(),
    text.replace('pub1', 'sec1'),
    ` ${text}`,
    `${text.slice(0, -1)}b`, // the last letter has four bits that nothing needs
    `pub1${encodeBase32(Buffer.alloc(32))}`, // a key for whom anybody can sign
  ])('of public keys are no others: %j', (wrong) => {
    expect(() => parsePublicKey(wrong)).toThrow(INVALID);
  });

  it.each([
    '',
    'rec1',
    `${id}.`,
    `${id}.${secret}.`,
    `${id}.${secret.slice(1)}`,
    `${id}${secret}`,
    `.${secret}`,
    `${id.slice(0, -1)}1.${secret}`,
    whole.toUpperCase(),
  ])('of records are no others: %j', (wrong) => {
    expect(() => parseRecordKey(wrong)).toThrow(INVALID);
  });

  it('of a secret are in no message', () => {
    for (const parse of [parseSecretKey, parseRecordKey]) {
      const wrong = `${formatSecretKey(keys)}x.${secret}x`;
      expect(() => parse(wrong)).toThrow(/^[^.]{0,40}$/);
    }
  });

  it('and bytes of keys have their length', () => {
    expect(() => publicKeyOf(Buffer.alloc(31, 5))).toThrow(INVALID);
    expect(() => keyPairOfSeed(Buffer.alloc(33))).toThrow(INVALID);
    expect(() => keyOf(recordIdFromBytes(Buffer.alloc(32)), Buffer.alloc(31))).toThrow(INVALID);
    expect(() => recordIdFromBytes(Buffer.alloc(33))).toThrow(INVALID);
  });
});

describe('signatures', () => {
  const seed = Buffer.alloc(32, 7);
  const key = publicKeyOfSeed(seed).toString('hex');
  const message = Buffer.from('message');

  it('are those of RFC 8032 (its first vector)', () => {
    const first = Buffer.from(
      '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
      'hex',
    );
    expect(publicKeyOfSeed(first).toString('hex')).toBe(
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    );
  });

  it('are of one key, one message, one purpose', () => {
    const signature = signWith(seed, 'value', message);
    expect(verifyWith(key, signature, 'value', message)).toBe(true);
    expect(verifyWith(key, signature, 'descriptor', message)).toBe(false);
    expect(verifyWith(key, signature, 'proof', message)).toBe(false);
    expect(verifyWith(key, signature, 'value', Buffer.from('Message'))).toBe(false);
    const other = keyPairOfSeed(Buffer.alloc(32, 8)).publicKey;
    expect(verifyWith(other, signature, 'value', message)).toBe(false);
    for (let bit = 0; bit < 512; bit += 7) {
      const forged = Buffer.from(signature);
      forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(verifyWith(key, forged, 'value', message)).toBe(false);
    }
  });

  it('that are none are refused, not thrown over', () => {
    expect(verifyWith(key, Buffer.alloc(63), 'value', message)).toBe(false);
    expect(verifyWith(key, Buffer.alloc(65), 'value', message)).toBe(false);
    expect(verifyWith('ff'.repeat(32), Buffer.alloc(64), 'value', message)).toBe(false);
    expect(verifyWith('ab', Buffer.alloc(64), 'value', message)).toBe(false);
  });

  it('begin with a purpose that begins no other', () => {
    const domains = Object.values(DOMAINS);
    for (const a of domains) {
      expect(a.at(-1)).toBe(0);
      expect(a.indexOf(0)).toBe(a.length - 1);
      for (const b of domains) if (a !== b) expect(a.equals(b)).toBe(false);
    }
  });

  it('by keys of small order would fit anything: such keys are none', () => {
    // With y = 1, the neutral element, R = y = 1 and S = 0 fit every message. The OpenSSL of Node 20
    // accepts that and the one of Node 24 does not, so peers would not agree about values of such keys.
    const neutral = Buffer.alloc(32);
    neutral[0] = 1;
    expect(isWeakPublicKey(neutral)).toBe(true);
    for (const hex of [
      '00'.repeat(32),
      '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85', // the sign bit is set
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
      `ec${'ff'.repeat(30)}7f`,
      `ed${'ff'.repeat(30)}ff`,
      `ee${'ff'.repeat(30)}7f`,
    ]) {
      expect(() => publicKeyOf(Buffer.from(hex, 'hex')), hex).toThrow(INVALID);
    }
  });

  it('of more keys than are kept imported still verify', () => {
    for (let n = 0; n < 4_200; n++) {
      verifyWith(n.toString(16).padStart(64, '0'), Buffer.alloc(64), 'value', message);
    }
    expect(verifyWith(key, signWith(seed, 'value', message), 'value', message)).toBe(true);
  });
});
