import { createSecretKey } from 'node:crypto';
import { BLOCK_TYPES, BlockCodec, HoldfastError, KeyRing, type Lsn } from '@holdfast/core';
import { SeededRandom } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { repositoryId, RepositoryNames } from './repository-names.ts';
import {
  decodeRestorePoint,
  decodeRestorePointName,
  encodeRestorePoint,
  encodeRestorePointName,
} from './restore-point.ts';
import { openObject, type ObjectPlace, sealObject } from './sealed-object.ts';
import {
  decodeSnapshotManifest,
  encodeSnapshotManifest,
  type SnapshotManifest,
} from './snapshot-manifest.ts';
import { decodeWriterClaim, encodeWriterClaim, type WriterClaim } from './writer-claim.ts';

const DATABASE_ID = Buffer.alloc(16, 7);
const names = new RepositoryNames(repositoryId(DATABASE_ID));
const ring = new KeyRing([createSecretKey(Buffer.alloc(32, 3))], new SeededRandom(1));
const plain = new BlockCodec(DATABASE_ID);
const encrypted = new BlockCodec(DATABASE_ID, ring);
const place: ObjectPlace = { key: 'a/b', type: BLOCK_TYPES.writerClaim, fileId: 3, position: 0 };

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe.each([
  ['plain', plain],
  ['encrypted', encrypted],
])('a sealed object, %s,', (kind, codec) => {
  const bytes = sealObject(codec, place, { secret: 'canary' });

  it('gives back what was sealed', () => {
    expect(openObject(codec, place, bytes)).toEqual({ key: 'a/b', secret: 'canary' });
    expect(bytes.includes('canary')).toBe(kind === 'plain');
  });

  it('with any bit flipped, cut off anywhere, or longer, is refused by its name', () => {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(codeOf(() => openObject(codec, place, flipped))).toBe('CHECKSUM_MISMATCH');
    }
    for (let length = 0; length < bytes.length; length++) {
      const short = bytes.subarray(0, length);
      expect(codeOf(() => openObject(codec, place, short))).toBe('CHECKSUM_MISMATCH');
    }
    const long = Buffer.concat([bytes, Buffer.alloc(1)]);
    expect(codeOf(() => openObject(codec, place, long))).toBe('CHECKSUM_MISMATCH');
  });

  it('in the place of another one is refused', () => {
    for (const other of [{ fileId: 4 }, { position: 1 }, { type: BLOCK_TYPES.restorePoint }]) {
      const there = { ...place, ...other };
      expect(codeOf(() => openObject(codec, there, bytes))).toBe('CHECKSUM_MISMATCH');
    }
    const there = { ...place, key: 'a/c' };
    expect(codeOf(() => openObject(codec, there, bytes))).toBe('CHECKSUM_MISMATCH');
  });

  it('that is no JSON object is refused', () => {
    for (const text of ['{', '3', 'null', '"text"']) {
      const block = codec.encodeNew(Buffer.from(text), place);
      expect(codeOf(() => openObject(codec, place, block))).toBe('CHECKSUM_MISMATCH');
    }
  });
});

const claim: WriterClaim = {
  ...{ epoch: 3, claimId: 'ab'.repeat(16), parent: 2, from: 11 as Lsn },
  ...{ shardCount: 4, claimedAtMs: 1_700_000_000_000 },
};

/** What stands in an object although its checksum is right. */
function resealed(key: string, type: number, fileId: number, value: object, position = 0): Buffer {
  return sealObject(plain, { key, type: type as 11, fileId, position }, value);
}

describe('a writer claim', () => {
  const key = names.claim(3);

  it('gives back what was claimed', () => {
    const bytes = encodeWriterClaim(plain, key, claim);
    expect(decodeWriterClaim(plain, key, 3, bytes)).toEqual(claim);
    expect(codeOf(() => decodeWriterClaim(plain, names.claim(4), 4, bytes))).toBe(
      'CHECKSUM_MISMATCH',
    );
  });

  it('that makes no sense is refused', () => {
    const wrong = [
      ...[{ claimId: 'short' }, { claimId: 5 }, { parent: 3 }, { parent: -1 }, { parent: '2' }],
      ...[{ from: 0 }, { from: 1.5 }, { shardCount: null }, { claimedAtMs: 2 ** 60 }],
    ];
    for (const field of wrong) {
      const bytes = resealed(key, BLOCK_TYPES.writerClaim, 3, { ...claim, ...field });
      expect(
        codeOf(() => decodeWriterClaim(plain, key, 3, bytes)),
        JSON.stringify(field),
      ).toBe('FORMAT_INVALID');
    }
  });
});

describe('a restore point', () => {
  const point = { name: 'before it', lsn: 9 as Lsn, epoch: 2, committedAtMs: 17 };
  const key = names.mark(point);

  it('gives back what was marked', () => {
    const bytes = encodeRestorePoint(plain, key, point);
    expect(decodeRestorePoint(plain, key, point, bytes)).toEqual(point);
  });

  it('that makes no sense is refused', () => {
    for (const field of [{ name: 1 }, { epoch: 3 }, { lsn: 8 }, { committedAtMs: 0.5 }]) {
      const bytes = resealed(key, BLOCK_TYPES.restorePoint, 9, { ...point, ...field }, 2);
      expect(codeOf(() => decodeRestorePoint(plain, key, point, bytes))).toBe('FORMAT_INVALID');
    }
  });

  it('has a record that a release which does not know it can skip', () => {
    expect(decodeRestorePointName(encodeRestorePointName('größer'))).toBe('größer');
    expect(decodeRestorePointName(Buffer.from([2, 1, 1]))).toBeUndefined();
    expect(decodeRestorePointName(Buffer.alloc(0))).toBeUndefined();
  });
});

const HASH = 'c'.repeat(64);
const file = {
  ...{ name: 'table-0000000000000001.hft', bytes: 30, digest: HASH, keyId: 0 },
  parts: [
    { hash: HASH, bytes: 10 },
    { hash: HASH, bytes: 20 },
  ],
};

describe('the manifest of a snapshot', () => {
  const lsn = 40 as Lsn;
  const snapshotId = names.snapshotId(lsn, Buffer.alloc(8, 5));
  const key = names.snapshot(snapshotId);
  const manifest: SnapshotManifest = {
    ...{ snapshotId, kind: 'full', epoch: 2, lsn, committedAtMs: 7, createdAtMs: 8 },
    ...{ previousId: undefined, generation: 3, shardCount: 2 },
    files: [file],
    ...{ totalBytes: 30, uploadedBytes: 30 },
  };
  const decode = (bytes: Buffer): SnapshotManifest =>
    decodeSnapshotManifest(plain, key, { id: snapshotId, lsn }, bytes);

  it('gives back what it was made of', () => {
    expect(decode(encodeSnapshotManifest(plain, key, manifest))).toMatchObject(manifest);
  });

  it('that makes no sense is refused', () => {
    const wrong: object[] = [
      ...[{ snapshotId: 'x' }, { lsn: 41 }, { kind: 'half' }, { previousId: 3 }, { files: {} }],
      ...[{ epoch: -1 }, { shardCount: 'x' }, { totalBytes: 31 }, { files: [file, file] }],
      ...['../layout.json', 'log/x', 'table-1.hft', 4].map((name) => ({
        files: [{ ...file, name }],
      })),
      ...[
        ...[{ digest: 'short' }, { bytes: 31 }, { keyId: -1 }, { parts: 'x' }, { parts: [null] }],
        { parts: [{ hash: 'x', bytes: 30 }] },
        {
          parts: [
            { hash: HASH, bytes: 0 },
            { hash: HASH, bytes: 30 },
          ],
        },
      ].map((field) => ({ files: [{ ...file, ...field }] })),
    ];
    for (const field of wrong) {
      const value = { formatVersion: 1, ...manifest, ...field };
      const bytes = resealed(key, BLOCK_TYPES.snapshotManifest, lsn, value);
      expect(
        codeOf(() => decode(bytes)),
        JSON.stringify(field),
      ).toBe('FORMAT_INVALID');
    }
    const next = { ...manifest, formatVersion: 2 };
    const bytes = resealed(key, BLOCK_TYPES.snapshotManifest, lsn, next);
    expect(codeOf(() => decode(bytes))).toBe('FORMAT_UNSUPPORTED');
  });
});
