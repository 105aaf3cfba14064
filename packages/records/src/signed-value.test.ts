import { SeededRandom } from '@holdfast/testkit';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DESCRIPTOR,
  MEMBER,
  OWNER,
  PLACE,
  SCHEMA,
  SECRET,
  STRANGER,
  VALUE,
} from '../test/sample-messages.ts';
import type { PeerId } from './coordinate.ts';
import type { KeyPair } from './key-pair.ts';
import { createProof, verifyProof } from './member-proof.ts';
import {
  createDescriptor,
  decodeDescriptor,
  encodeDescriptor,
  sameDescriptor,
  storedDescriptor,
  verifyDescriptor,
} from './record-descriptor.ts';
import { recordIdFromBytes } from './record-key.ts';
import type { RecordSchema } from './schema.ts';
import { LAST_SEQUENCE, sequence } from './sequence.ts';
import {
  compareValues,
  createErasure,
  createValue,
  decodeSignedValue,
  encodeSignedValue,
  openValue,
  type SignedValue,
  storedValue,
  VALUE_OVERHEAD_BYTES,
  verifyValue,
} from './signed-value.ts';

const random = new SeededRandom(5);
const rejected = expect.objectContaining({ code: 'SIGNATURE_REJECTED' });
const invalid = expect.objectContaining({ code: 'PEER_MESSAGE_INVALID' });
const unreadable = expect.objectContaining({ code: 'RECORD_SECRET_WRONG' });

function write(subkey: number, number: number, writer: KeyPair, text = 'data'): SignedValue {
  const about = { record: DESCRIPTOR.id, subkey, sequence: sequence(number), writer };
  return createValue(about, SECRET, Buffer.from(text), random);
}

describe('a value', () => {
  it('opens with the secret, in its place, and nowhere else', () => {
    expect(openValue(VALUE, PLACE, SECRET).toString()).toBe('hello');
    expect(() => openValue(VALUE, PLACE, Buffer.alloc(32, 8))).toThrow(unreadable);
    expect(() => openValue(VALUE, { ...PLACE, subkey: 1 }, SECRET)).toThrow(unreadable);
    const other = recordIdFromBytes(Buffer.alloc(32, 1));
    expect(() => openValue(VALUE, { ...PLACE, record: other }, SECRET)).toThrow(unreadable);
  });

  it('does not open with any byte changed', () => {
    const bytes = encodeSignedValue(VALUE);
    for (let at = 64; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 1;
      let value: SignedValue;
      try {
        value = decodeSignedValue(changed);
      } catch (error) {
        expect(error).toEqual(invalid);
        continue;
      }
      expect(() => openValue(value, PLACE, SECRET), `${at}`).toThrow(unreadable);
    }
  });

  it('is accepted from the writer of its subkey alone', () => {
    verifyValue(write(0, 1, OWNER), DESCRIPTOR, 0);
    verifyValue(write(1, 1, OWNER), DESCRIPTOR, 1);
    verifyValue(write(2, 1, MEMBER), DESCRIPTOR, 2);
    const denied = expect.objectContaining({ code: 'NOT_A_WRITER' });
    for (const [subkey, writer] of [
      [0, MEMBER],
      [2, OWNER],
      [0, STRANGER],
      [2, STRANGER],
    ] as const) {
      const value = write(subkey, 1, writer);
      expect(() => verifyValue(value, DESCRIPTOR, subkey)).toThrow(denied);
    }
    expect(() => verifyValue(write(3, 1, OWNER), DESCRIPTOR, 3)).toThrow(
      expect.objectContaining({ code: 'INVALID_SUBKEY' }),
    );
  });

  it('is not taken to another subkey or another record of its writer', () => {
    const value = write(0, 1, OWNER);
    expect(() => verifyValue(value, DESCRIPTOR, 1)).toThrow(rejected);
    const other = createDescriptor({ type: 'default', subkeys: 1 }, OWNER);
    expect(() => verifyValue(value, other, 0)).toThrow(rejected);
    const erasure = createErasure({ ...PLACE, sequence: sequence(9), writer: OWNER });
    expect(() => verifyValue(erasure, DESCRIPTOR, 1)).toThrow(rejected);
    verifyValue(erasure, DESCRIPTOR, 0);
  });

  it('is not accepted with any byte changed, of signature or contents', () => {
    const bytes = encodeSignedValue(VALUE);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 0x80;
      expect(() => verifyValue(decodeSignedValue(changed), DESCRIPTOR, 0), `${at}`).toThrow(
        expect.objectContaining({
          code: expect.stringMatching(/^(SIGNATURE_REJECTED|NOT_A_WRITER|PEER_MESSAGE_INVALID)$/),
        }),
      );
    }
  });

  it.each([
    [1, 32_768],
    [31, 32_768],
    [32, 32_752],
    [1024, 1_008],
  ])('of a record of %d subkeys has up to %d bytes', (subkeys, limit) => {
    const schema: RecordSchema = { type: 'default', subkeys };
    const descriptor = createDescriptor(schema, OWNER);
    const about = { record: descriptor.id, subkey: 0, sequence: sequence(0), writer: OWNER };
    const largest = createValue(about, SECRET, Buffer.alloc(limit, 1), random);
    const read = decodeSignedValue(encodeSignedValue(largest));
    expect(openValue(verifyValue(read, descriptor, 0), about, SECRET)).toHaveLength(limit);
    const larger = createValue(about, SECRET, Buffer.alloc(limit + 1, 1), random);
    expect(() => verifyValue(larger, descriptor, 0)).toThrow(
      expect.objectContaining({ code: 'RECORD_TOO_LARGE' }),
    );
  });

  it('never has the nonce of another', () => {
    const [a, b] = [write(0, 1, OWNER), write(0, 1, OWNER)];
    expect(a.blob.subarray(42, 66)).not.toEqual(b.blob.subarray(42, 66));
  });

  it('comes back from its bytes, and shares no memory with them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), fc.maxSafeNat(), (data, number) => {
        const at = Math.min(number, LAST_SEQUENCE);
        const about = { ...PLACE, sequence: sequence(at), writer: OWNER };
        const value = createValue(about, SECRET, data, random);
        const bytes = encodeSignedValue(value);
        const read = decodeSignedValue(bytes);
        bytes.fill(0);
        expect(read).toEqual(value);
        expect(read.blob).toHaveLength(VALUE_OVERHEAD_BYTES + data.length);
        expect(openValue(read, PLACE, SECRET)).toEqual(Buffer.from(data));
        expect(storedValue(encodeSignedValue(read), PLACE)).toMatchObject({ ...value, ...PLACE });
      }),
    );
  });

  const bytes = encodeSignedValue(VALUE);
  it.each([
    ['nothing', () => Buffer.of()],
    ['a signature alone', () => bytes.subarray(0, 64)],
    ['a value without a tag', () => bytes.subarray(0, 64 + VALUE_OVERHEAD_BYTES - 1)],
    ['another version', () => patched(64, 2)],
    ['another kind', () => patched(65, 3)],
    ['an erasure with contents', () => patched(65, 2)],
    ['the number 2^53 - 1', () => numbered(2n ** 53n - 1n)],
    ['the number 2^64 - 1', () => numbered(2n ** 64n - 1n)],
    ['a writer for whom anybody can sign', () => Buffer.from(bytes).fill(0, 74, 106)],
  ])('is not made of %s', (_, make) => {
    expect(() => decodeSignedValue(make())).toThrow(invalid);
  });

  function patched(at: number, byte: number): Buffer {
    const copy = Buffer.from(bytes);
    copy[at] = byte;
    return copy;
  }
  function numbered(number: bigint): Buffer {
    const copy = Buffer.from(bytes);
    copy.writeBigUInt64LE(number, 66);
    return copy;
  }
});

describe('of two values', () => {
  it('the higher number wins, and an erasure is a value like others', () => {
    const value = write(0, 5, OWNER);
    expect(compareValues(write(0, 6, OWNER), value)).toBeGreaterThan(0);
    expect(compareValues(write(0, 4, OWNER), value)).toBeLessThan(0);
    const at = { ...PLACE, writer: OWNER };
    expect(compareValues(createErasure({ ...at, sequence: sequence(6) }), value)).toBeGreaterThan(
      0,
    );
    const last = createErasure({ ...at, sequence: LAST_SEQUENCE });
    const lower = createErasure({ ...at, sequence: sequence(LAST_SEQUENCE - 1) });
    expect(compareValues(last, lower)).toBeGreaterThan(0);
  });

  it('with one number the lower hash wins, whoever compares', () => {
    const rivals = Array.from({ length: 20 }, () => write(0, 5, OWNER));
    const winners = rivals.map((_, shift) =>
      [...rivals.slice(shift), ...rivals.slice(0, shift)].reduce((best, next) =>
        compareValues(next, best) > 0 ? next : best,
      ),
    );
    const lowest = rivals.map(({ digest }) => digest.toString('hex')).sort()[0];
    for (const winner of winners) expect(winner.digest.toString('hex')).toBe(lowest);
    for (const a of rivals) {
      for (const b of rivals) {
        expect(compareValues(a, b)).toBe(-compareValues(b, a) + 0);
        expect(compareValues(a, b) === 0).toBe(a === b);
      }
    }
  });

  it('of the same bytes none wins, whatever their signatures', () => {
    const again = { ...VALUE, signature: Buffer.alloc(64) };
    expect(compareValues(VALUE, again)).toBe(0);
  });
});

describe('a descriptor', () => {
  it('is accepted for its record, with the signature of its owner', () => {
    const read = decodeDescriptor(encodeDescriptor(DESCRIPTOR));
    expect(read).toEqual(DESCRIPTOR);
    expect(verifyDescriptor(read, DESCRIPTOR.id)).toEqual(DESCRIPTOR);
    expect(storedDescriptor(encodeDescriptor(DESCRIPTOR))).toEqual(DESCRIPTOR);
  });

  it('is not accepted for another record', () => {
    const other = createDescriptor({ type: 'default', subkeys: 1 }, OWNER);
    expect(() => verifyDescriptor(other, DESCRIPTOR.id)).toThrow(rejected);
    expect(sameDescriptor(other, DESCRIPTOR)).toBe(false);
    expect(sameDescriptor({ ...DESCRIPTOR, signature: Buffer.alloc(64) }, DESCRIPTOR)).toBe(true);
  });

  it('is of another record, or refused, with any byte changed', () => {
    const bytes = encodeDescriptor(DESCRIPTOR);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 1;
      expect(() => verifyDescriptor(decodeDescriptor(changed), DESCRIPTOR.id), `${at}`).toThrow(
        expect.objectContaining({
          code: expect.stringMatching(/^(SIGNATURE_REJECTED|INVALID_SCHEMA|PEER_MESSAGE_INVALID)$/),
        }),
      );
    }
  });

  it('is of its own record only by its owner, not by who copies it', () => {
    const copied = { ...createDescriptor(SCHEMA, STRANGER), owner: OWNER.publicKey };
    const forged = decodeDescriptor(encodeDescriptor(copied));
    expect(forged.id).toBe(DESCRIPTOR.id);
    expect(() => verifyDescriptor(forged, DESCRIPTOR.id)).toThrow(rejected);
  });

  it('shares no memory with its bytes', () => {
    const bytes = encodeDescriptor(DESCRIPTOR);
    const read = decodeDescriptor(bytes);
    bytes.fill(0);
    expect(read).toEqual(DESCRIPTOR);
  });

  it.each([
    ['short bytes', () => encodeDescriptor(DESCRIPTOR).subarray(0, 96)],
    [
      'another version',
      () => Buffer.concat([Buffer.of(2), encodeDescriptor(DESCRIPTOR).subarray(1)]),
    ],
    ['an owner for whom anybody can sign', () => encodeDescriptor(DESCRIPTOR).fill(0, 1, 33)],
  ])('is not made of %s', (_, make) => {
    expect(() => decodeDescriptor(make())).toThrow(invalid);
  });
});

describe('the proof of a member', () => {
  const scope = {
    record: DESCRIPTOR.id,
    asking: 'peer-a' as PeerId,
    answering: 'peer-b' as PeerId,
  };
  const proof = createProof(scope, MEMBER);

  it('is for one record and one pair of peers, in their roles', () => {
    expect(verifyProof(proof, scope)).toBe(MEMBER.publicKey);
    for (const wrong of [
      { ...scope, record: recordIdFromBytes(Buffer.alloc(32, 1)) },
      { ...scope, asking: 'peer-c' as PeerId },
      { ...scope, answering: 'peer-c' as PeerId },
      { ...scope, asking: scope.answering, answering: scope.asking },
      { ...scope, asking: 'peer-ap' as PeerId, answering: 'eer-b' as PeerId },
    ]) {
      expect(() => verifyProof(proof, wrong)).toThrow(rejected);
    }
  });

  it('is of one member', () => {
    expect(() => verifyProof({ ...proof, member: OWNER.publicKey }, scope)).toThrow(rejected);
  });
});
