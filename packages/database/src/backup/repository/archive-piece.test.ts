import { createSecretKey } from 'node:crypto';
import { BlockCodec, hasCode, KeyRing, type Lsn } from '@holdfast/core';
import type { StoredRecord } from '@holdfast/log';
import { SeededRandom } from '@holdfast/testkit';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeArchivePiece, encodeArchivePiece, NO_TAG } from './archive-piece.ts';
import { repositoryId, RepositoryNames } from './repository-names.ts';

const DATABASE_ID = Buffer.alloc(16, 7);
const names = new RepositoryNames(repositoryId(DATABASE_ID));
const plain = new BlockCodec(DATABASE_ID);
const encrypted = new BlockCodec(DATABASE_ID, ringOf(3));

const CODECS = [
  ['plain', plain],
  ['encrypted', encrypted],
] as const;

function ringOf(byte: number): KeyRing {
  return new KeyRing([createSecretKey(Buffer.alloc(32, byte))], new SeededRandom(byte));
}

function recordsFrom(
  first: number,
  fields: readonly Partial<StoredRecord>[],
  startMs = 1_000,
): StoredRecord[] {
  let committedAtMs = startMs;
  return fields.map((field, i) => {
    committedAtMs = field.committedAtMs ?? committedAtMs;
    return {
      ...{ type: 0x8010, shard: 1, tenant: 0, payload: Buffer.from(`record ${first + i}`) },
      ...field,
      lsn: (first + i) as Lsn,
      committedAtMs,
    };
  });
}

const three = recordsFrom(5, [{}, { committedAtMs: 1_200 }, { payload: Buffer.alloc(0) }]);

function pieceOf(
  codec: BlockCodec,
  records = three,
  epoch = 4,
): ReturnType<typeof encodeArchivePiece> {
  return encodeArchivePiece(codec, names, { epoch, previousTag: NO_TAG, records });
}

describe.each(CODECS)('an archive piece, %s,', (_, codec) => {
  it('gives back any records, with their wall clock and its place in the chain', () => {
    const record = fc.record({
      type: fc.nat(0xffff),
      shard: fc.nat(0xffff),
      tenant: fc.nat(0xffffffff),
      payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      pause: fc.nat(3),
    });
    const first = fc.integer({ min: 1, max: 2 ** 50 });
    const tag = fc.uint8Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1, maxLength: 40, size: 'max' }),
        first,
        tag,
        (fields, from, previous) => {
          let committedAtMs = 17;
          const records = fields.map(({ pause, ...rest }, i) => {
            committedAtMs += pause;
            return { ...rest, lsn: (from + i) as Lsn, committedAtMs };
          });
          const previousTag = Buffer.from(previous);
          const piece = encodeArchivePiece(codec, names, { epoch: 9, previousTag, records });
          expect(names.pieceOf(piece.key)).toEqual(piece.name);
          const found = decodeArchivePiece(codec, piece.key, piece.name, piece.bytes);
          expect(found).toEqual({ previousTag, tag: piece.tag, records });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('with any bit flipped, or cut off anywhere, is refused by its name', () => {
    const { key, name, bytes } = pieceOf(codec);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expectRefused(codec, key, name, flipped);
    }
    for (let length = 0; length < bytes.length; length++) {
      expectRefused(codec, key, name, bytes.subarray(0, length));
    }
    expectRefused(codec, key, name, Buffer.concat([bytes, Buffer.alloc(1)]));
  });

  it('in the place of another piece is refused', () => {
    const piece = pieceOf(codec);
    const others = [
      pieceOf(codec, recordsFrom(6, [{}, { committedAtMs: 1_200 }, {}])),
      pieceOf(codec, three, 5),
      pieceOf(codec, three.slice(0, 2)),
      pieceOf(codec, recordsFrom(5, [{}, { committedAtMs: 1_201 }, {}])),
      pieceOf(codec, recordsFrom(5, [{}, { committedAtMs: 1_200 }, {}], 999)),
    ];
    for (const { key, name } of others) {
      expect(key).not.toBe(piece.key);
      expectRefused(codec, key, name, piece.bytes);
    }
    const name = { ...piece.name, keyId: piece.name.keyId + 1 };
    expectRefused(codec, names.piece(name), name, piece.bytes);
  });

  it('of another database is refused', () => {
    const { key, name, bytes } = pieceOf(codec);
    const ring = ringOf(3);
    const other = new BlockCodec(Buffer.alloc(16, 8), codec.isEncrypted ? ring : undefined);
    expectRefused(other, key, name, bytes);
  });
});

describe('an archive piece', () => {
  it('is not made of records that do not follow one another, or of none', () => {
    const [first, , third] = three as [StoredRecord, StoredRecord, StoredRecord];
    expect(() => pieceOf(plain, [first, third])).toThrow(TypeError);
    expect(() => pieceOf(plain, [])).toThrow(TypeError);
    const falling = recordsFrom(1, [{}, { committedAtMs: 999 }]);
    expect(() => pieceOf(plain, falling)).toThrow(TypeError);
  });

  it('says in its name which key it is under, and shows nothing of its records', () => {
    const { name, bytes } = pieceOf(encrypted);
    expect(name.keyId).toBe(encrypted.keyId);
    expect(bytes.includes('record 5')).toBe(false);
    expect(pieceOf(plain).bytes.includes('record 5')).toBe(true);
  });

  it('under a key that was not given is not called damaged', () => {
    const { key, name, bytes } = pieceOf(encrypted);
    const other = new BlockCodec(DATABASE_ID, ringOf(4));
    const found = caught(() => decodeArchivePiece(other, key, name, bytes));
    expect(hasCode(found, 'KEY_MISSING')).toBe(true);
  });
});

function expectRefused(
  codec: BlockCodec,
  key: string,
  name: Parameters<typeof decodeArchivePiece>[2],
  bytes: Buffer,
): void {
  const error = caught(() => decodeArchivePiece(codec, key, name, bytes));
  if (!hasCode(error, 'CHECKSUM_MISMATCH') && !hasCode(error, 'FORMAT_INVALID')) throw error;
  expect(error.details['path']).toBe(key);
}

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return new Error('it was accepted');
}
