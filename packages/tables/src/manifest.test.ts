import { BlockCodec, type FileId, isHoldfastError, type Lsn } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { manifestOf } from '../test/manifest-fixtures.ts';
import { codec, keys } from '../test/table-fixtures.ts';
import { assertSense, decodeManifest, encodeManifest, type Manifest } from './manifest.ts';
import type { TableInfo } from './table-info.ts';

const expected = { generation: 7, path: '/data/manifest' };

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (isHoldfastError(error)) return error.code;
    throw error;
  }
  return 'none';
}

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER - 1 });
const manifests: fc.Arbitrary<Manifest> = fc
  .record({
    head: fc.record({
      writerEpoch: count,
      writtenAtMs: count,
      cleanShutdown: fc.boolean(),
      previousDigest: digest,
    }),
    shards: fc.array(
      fc.record({
        appliedLsn: count,
        tables: fc.array(
          fc.record({
            numbers: fc.tuple(count, count, count, count, count),
            keys: fc.tuple(keys, keys),
            digest,
          }),
          { maxLength: 4 },
        ),
      }),
      { minLength: 1, maxLength: 5 },
    ),
    extents: fc.array(
      fc.record({ numbers: fc.tuple(count, count, count, count), shard: fc.nat(), digest }),
      { size: 'max', maxLength: 80 },
    ),
  })
  .map(({ head, shards, extents }) => {
    let nextFileId = 1;
    return {
      ...head,
      generation: 7,
      shards: shards.map(({ appliedLsn, tables }) => ({
        appliedLsn: appliedLsn as Lsn,
        tables: tables.map(
          ({ numbers: [bytes, rows, tombstones, first, last], keys: ends, digest }): TableInfo => {
            const [firstKey, lastKey] = ends.sort(Buffer.compare) as [Buffer, Buffer];
            const lastLsn = Math.min(last, appliedLsn);
            return {
              fileId: nextFileId++ as FileId,
              bytes,
              rows: rows + 1,
              tombstones: Math.min(tombstones, rows),
              firstKey,
              lastKey,
              firstLsn: Math.min(first, lastLsn) as Lsn,
              lastLsn: lastLsn as Lsn,
              digest,
            };
          },
        ),
      })),
      extentFiles: extents.map(
        ({ numbers: [bytes, payloadBytes, count, live], shard, digest }) => ({
          fileId: nextFileId++ as FileId,
          shard: shard % shards.length,
          bytes,
          payloadBytes,
          extents: count,
          liveBytes: Math.min(live, payloadBytes),
          digest,
        }),
      ),
      nextFileId,
    };
  });

describe('manifest', () => {
  test('any manifest that makes sense reads back as it was', () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        assertSense(manifest);
        expect(decodeManifest(encodeManifest(manifest, codec), codec, expected)).toEqual(manifest);
      }),
    );
  });

  test('each flipped bit, each truncation and each appended byte is refused', () => {
    const file = encodeManifest(manifestOf(7), codec);
    for (let position = 0; position < file.length; position++) {
      for (let bit = 0; bit < 8; bit++) {
        const damaged = Buffer.from(file);
        damaged[position] = damaged[position]! ^ (1 << bit);
        expect(codeOf(() => decodeManifest(damaged, codec, expected))).toBe('CHECKSUM_MISMATCH');
      }
      const cut = file.subarray(0, position);
      expect(codeOf(() => decodeManifest(cut, codec, expected))).toBe('CHECKSUM_MISMATCH');
    }
    const grown = Buffer.concat([file, Buffer.alloc(1)]);
    expect(codeOf(() => decodeManifest(grown, codec, expected))).toBe('CHECKSUM_MISMATCH');
  });

  test('a manifest of another generation or another database is refused', () => {
    const file = encodeManifest(manifestOf(7), codec);
    const other = { ...expected, generation: 8 };
    expect(codeOf(() => decodeManifest(file, codec, other))).toBe('CHECKSUM_MISMATCH');
    const foreign = new BlockCodec(Buffer.alloc(16, 9));
    expect(codeOf(() => decodeManifest(file, foreign, expected))).toBe('CHECKSUM_MISMATCH');
  });

  test('contents that contradict themselves are refused when read and when written', () => {
    const base = manifestOf(7);
    const shard = base.shards[0]!;
    const table = shard.tables[0]!;
    const extent = base.extentFiles[0]!;
    const withTable = (changes: Partial<TableInfo>): Manifest => ({
      ...base,
      shards: [{ ...shard, tables: [{ ...table, ...changes }] }],
      extentFiles: [],
    });
    const wrong: Manifest[] = [
      { ...base, nextFileId: 4 },
      { ...base, extentFiles: [{ ...extent, fileId: 3 as FileId }] },
      { ...base, extentFiles: [{ ...extent, liveBytes: 501 }] },
      { ...base, extentFiles: [{ ...extent, shard: 2 }] },
      withTable({ fileId: 0 as FileId }),
      withTable({ rows: 0, tombstones: 0 }),
      withTable({ tombstones: 8 }),
      withTable({ firstLsn: 51 as Lsn }),
      withTable({ lastLsn: 51 as Lsn }),
      withTable({ firstKey: Buffer.from('c') }),
    ];
    expect(codeOf(() => assertSense(withTable({})))).toBe('none');
    for (const manifest of wrong) {
      expect(codeOf(() => assertSense(manifest))).toBe('INVARIANT_VIOLATED');
      const file = encodeManifest(manifest, codec);
      expect(codeOf(() => decodeManifest(file, codec, expected))).toBe('FORMAT_INVALID');
    }
  });
});
