/**
 * The manifest of a snapshot: every file of the database at one LSN, as parts in the repository.
 * It is put last, so what has one is whole; it is checked field by field where it is read.
 */
import { type BlockCodec, BLOCK_TYPES, HoldfastError, type Lsn } from '@holdfast/core';
import { isCount, openObject, type ObjectPlace, sealObject } from './sealed-object.ts';

export type SnapshotKind = 'full' | 'incremental';

export interface SnapshotPart {
  /** SHA-256, hexadecimal: also its name. */
  readonly hash: string;
  readonly bytes: number;
}

export interface SnapshotFile {
  /** In the data directory. */
  readonly name: string;
  readonly bytes: number;
  /** SHA-256 of the whole file, hexadecimal. */
  readonly digest: string;
  /** The key it is encrypted with; 0 for none. */
  readonly keyId: number;
  /** In order; together they are the file. */
  readonly parts: readonly SnapshotPart[];
}

export interface SnapshotManifest {
  readonly snapshotId: string;
  readonly kind: SnapshotKind;
  /** Of the writer that made it. */
  readonly epoch: number;
  /** The state after this record and no later one, of every shard. */
  readonly lsn: Lsn;
  /** Wall clock of that record's batch; of the cut when the log no longer says. */
  readonly committedAtMs: number;
  readonly createdAtMs: number;
  /** The snapshot before it in the repository, by the writer's knowledge. */
  readonly previousId: string | undefined;
  /** Generation of the database's manifest among the files. */
  readonly generation: number;
  readonly shardCount: number;
  readonly files: readonly SnapshotFile[];
  /** Bytes of all files. */
  readonly totalBytes: number;
  /** Bytes that were put for it; the rest was there. */
  readonly uploadedBytes: number;
}

const FORMAT_VERSION = 1;
const NAME = /^(?:manifest-\d{16}|table-\d{16}\.hft|extent-\d{16}\.hfx)$/;
const HASH = /^[0-9a-f]{64}$/;

export function encodeSnapshotManifest(
  codec: BlockCodec,
  key: string,
  manifest: SnapshotManifest,
): Buffer {
  const place = placeOf(key, manifest.lsn);
  return sealObject(codec, place, { formatVersion: FORMAT_VERSION, ...manifest });
}

/**
 * @param expected as the name of the object says.
 * @throws `CHECKSUM_MISMATCH`, `FORMAT_INVALID`, `FORMAT_UNSUPPORTED`, `KEY_MISSING`.
 */
export function decodeSnapshotManifest(
  codec: BlockCodec,
  key: string,
  expected: { readonly id: string; readonly lsn: Lsn },
  bytes: Buffer,
): SnapshotManifest {
  const value = openObject(codec, placeOf(key, expected.lsn), bytes);
  const require = (condition: boolean, what: string): void => {
    if (!condition) {
      throw new HoldfastError('FORMAT_INVALID', `snapshot makes no sense key=${key} what=${what}`);
    }
  };
  if (value['formatVersion'] !== FORMAT_VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `snapshot was written by another format version, use the holdfast that wrote it key=${key} version=${String(value['formatVersion'])} supported=${FORMAT_VERSION}`,
    );
  }
  const { snapshotId, kind, previousId, files } = value;
  require(snapshotId === expected.id && value['lsn'] === expected.lsn, 'id');
  require(kind === 'full' || kind === 'incremental', 'kind');
  require(previousId === undefined || typeof previousId === 'string', 'previousId');
  const numbers = ['epoch', 'committedAtMs', 'createdAtMs', 'generation', 'shardCount'] as const;
  const totals = ['totalBytes', 'uploadedBytes'] as const;
  for (const name of [...numbers, ...totals]) require(isCount(value[name]), name);
  require(Array.isArray(files), 'files');
  const checked = (files as unknown[]).map((file) => checkFile(file, require));
  require(new Set(checked.map(({ name }) => name)).size === checked.length, 'names of files');
  require(sum(checked) === value['totalBytes'], 'totalBytes');
  const { formatVersion: _version, key: _key, ...fields } = value;
  return {
    ...(fields as unknown as SnapshotManifest),
    previousId: previousId as string | undefined,
    files: checked,
  };
}

function checkFile(
  value: unknown,
  require: (condition: boolean, what: string) => void,
): SnapshotFile {
  const file = value as SnapshotFile;
  require(typeof value === 'object' && value !== null, 'file');
  require(typeof file.name === 'string' && NAME.test(file.name), 'name of a file');
  require(typeof file.digest === 'string' && HASH.test(file.digest), 'digest');
  require(isCount(file.bytes) && isCount(file.keyId), 'size');
  require(Array.isArray(file.parts), 'parts');
  for (const part of file.parts) {
    require(typeof part === 'object' && part !== null, 'part');
    require(typeof part.hash === 'string' && HASH.test(part.hash), 'hash of a part');
    require(isCount(part.bytes) && part.bytes > 0, 'size of a part');
  }
  require(sum(file.parts) === file.bytes, 'size of parts');
  return file;
}

function sum(list: readonly { readonly bytes: number }[]): number {
  return list.reduce((total, { bytes }) => total + bytes, 0);
}

function placeOf(key: string, lsn: Lsn): ObjectPlace {
  return { key, type: BLOCK_TYPES.snapshotManifest, fileId: lsn, position: 0 };
}
