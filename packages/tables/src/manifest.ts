/**
 * The manifest: the one file that says which tables and extent files are live, and up to
 * which LSN each shard's rows hold what the log said. FORMAT.md, "Manifest".
 *
 * A manifest that decodes is believed: every field is checked here, once. File ids are
 * unique and below `nextFileId`, so that no id is ever given out twice.
 */
import {
  assert,
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  type BlockCodec,
  ByteReader,
  ByteWriter,
  type FileId,
  HoldfastError,
  LIMITS,
  type Lsn,
} from '@holdfast/core';
import type { ExtentFileInfo } from './extent-file-info.ts';
import type { TableInfo } from './table-info.ts';

export interface ManifestShard {
  /** Everything up to here is in the tables and extents; replay starts behind it. */
  readonly appliedLsn: Lsn;
  /** Newest first. */
  readonly tables: readonly TableInfo[];
}

export interface ManifestExtentFile extends ExtentFileInfo {
  readonly shard: number;
  /** Bytes of extents that rows still point at. */
  readonly liveBytes: number;
}

export interface Manifest {
  /** From 1, rising by one with each commit. */
  readonly generation: number;
  /** SHA-256 of the manifest file before this one; 32 zero bytes for the first. */
  readonly previousDigest: Buffer;
  /** Raised each time a process opens the database for writing. */
  readonly writerEpoch: number;
  /** The next file to be made gets this id. */
  readonly nextFileId: number;
  readonly cleanShutdown: boolean;
  readonly writtenAtMs: number;
  readonly shards: readonly ManifestShard[];
  readonly extentFiles: readonly ManifestExtentFile[];
}

export const MANIFEST_DIGEST_BYTES = 32;
const MANIFEST_FORMAT_VERSION = 1;

/** The whole file: one sealed block whose file id is the generation. */
export function encodeManifest(manifest: Manifest, codec: BlockCodec): Buffer {
  const writer = new ByteWriter(4096);
  writer
    .u16(MANIFEST_FORMAT_VERSION)
    .u8(manifest.cleanShutdown ? 1 : 0)
    .u64(manifest.generation)
    .raw(digestOf(manifest.previousDigest))
    .u64(manifest.writerEpoch)
    .u64(manifest.nextFileId)
    .u64(manifest.writtenAtMs)
    .u16(manifest.shards.length);
  for (const shard of manifest.shards) {
    writer.u64(shard.appliedLsn).u32(shard.tables.length);
    for (const table of shard.tables) encodeTableInfo(writer, table);
  }
  writer.u32(manifest.extentFiles.length);
  for (const file of manifest.extentFiles) encodeExtentFile(writer, file);
  assert(writer.length <= LIMITS.maxManifestBytes, 'manifest is larger than maxManifestBytes');
  const payload = writer.finish();
  const place = { type: BLOCK_TYPES.manifest, fileId: manifest.generation, position: 0 };
  return codec.encodeNew(payload, place);
}

/** Damage rejects with `CHECKSUM_MISMATCH`, contents that make no sense with `FORMAT_INVALID`. */
export function decodeManifest(
  file: Buffer,
  codec: BlockCodec,
  expected: { readonly generation: number; readonly path: string },
): Manifest {
  const { generation, path } = expected;
  const place = { type: BLOCK_TYPES.manifest, fileId: generation, position: 0, path };
  const payload = codec.decode(file, 0, place);
  // What follows the block is not covered by its checksum: it must not be there.
  if (BLOCK_HEADER_BYTES + payload.length !== file.length) {
    throw new HoldfastError('CHECKSUM_MISMATCH', `manifest has trailing bytes path=${path}`, {
      details: { path, position: payload.length },
    });
  }
  const reader = new ByteReader(payload);
  const version = reader.u16();
  if (version !== MANIFEST_FORMAT_VERSION) {
    throw new HoldfastError(
      'FORMAT_UNSUPPORTED',
      `manifest was written by another format version path=${path} version=${version}`,
    );
  }
  const cleanShutdown = flag(reader);
  require(reader.u64() === generation, 'generation');
  const head = {
    previousDigest: Buffer.from(reader.raw(MANIFEST_DIGEST_BYTES)),
    writerEpoch: reader.u64(),
    nextFileId: reader.u64(),
    writtenAtMs: reader.u64(),
  };
  const shards = list(reader.u16(), LIMITS.maxShardCount, () => decodeShard(reader));
  const extentFiles = list(reader.u32(), LIMITS.maxManifestFiles, () => decodeExtentFile(reader));
  reader.end();
  const manifest = { generation, cleanShutdown, ...head, shards, extentFiles };
  requireSense(manifest);
  return manifest;
}

/** The same before writing, where a violation is a bug of whoever made the manifest. */
export function assertSense(manifest: Manifest): void {
  try {
    requireSense(manifest);
  } catch (error) {
    throw new HoldfastError('INVARIANT_VIOLATED', 'a manifest to be written makes no sense', {
      cause: error,
    });
  }
}

/** Relations between fields. */
function requireSense(manifest: Manifest): void {
  const ids = new Set<number>();
  const claim = (id: number): void => {
    require(id > 0 && id < manifest.nextFileId && !ids.has(id), 'file id');
    ids.add(id);
  };
  require(manifest.generation > 0, 'generation');
  require(manifest.shards.length <= LIMITS.maxShardCount, 'shard count');
  for (const shard of manifest.shards) {
    for (const table of shard.tables) {
      claim(table.fileId);
      require(table.rows > 0 && table.tombstones <= table.rows, 'row count');
      require(table.firstLsn <= table.lastLsn && table.lastLsn <= shard.appliedLsn, 'lsn range');
      require(Buffer.compare(table.firstKey, table.lastKey) <= 0, 'key range');
    }
  }
  for (const file of manifest.extentFiles) {
    claim(file.fileId);
    require(file.shard < manifest.shards.length, 'shard of an extent file');
    require(file.liveBytes <= file.payloadBytes, 'live bytes');
  }
  require(ids.size <= LIMITS.maxManifestFiles, 'file count');
}

function encodeTableInfo(writer: ByteWriter, table: TableInfo): void {
  writer
    .u64(table.fileId)
    .u64(table.bytes)
    .u64(table.rows)
    .u64(table.tombstones)
    .u64(table.firstLsn)
    .u64(table.lastLsn)
    .raw(digestOf(table.digest))
    .bytes(table.firstKey)
    .bytes(table.lastKey);
}

function decodeShard(reader: ByteReader): ManifestShard {
  const appliedLsn = reader.u64() as Lsn;
  const tables = list(reader.u32(), LIMITS.maxManifestFiles, () => decodeTableInfo(reader));
  return { appliedLsn, tables };
}

function decodeTableInfo(reader: ByteReader): TableInfo {
  return {
    fileId: reader.u64() as FileId,
    bytes: reader.u64(),
    rows: reader.u64(),
    tombstones: reader.u64(),
    firstLsn: reader.u64() as Lsn,
    lastLsn: reader.u64() as Lsn,
    digest: Buffer.from(reader.raw(MANIFEST_DIGEST_BYTES)),
    firstKey: decodeKey(reader),
    lastKey: decodeKey(reader),
  };
}

function encodeExtentFile(writer: ByteWriter, file: ManifestExtentFile): void {
  writer
    .u64(file.fileId)
    .u16(file.shard)
    .u64(file.bytes)
    .u64(file.payloadBytes)
    .u64(file.extents)
    .u64(file.liveBytes)
    .raw(digestOf(file.digest));
}

function decodeExtentFile(reader: ByteReader): ManifestExtentFile {
  return {
    fileId: reader.u64() as FileId,
    shard: reader.u16(),
    bytes: reader.u64(),
    payloadBytes: reader.u64(),
    extents: reader.u64(),
    liveBytes: reader.u64(),
    digest: Buffer.from(reader.raw(MANIFEST_DIGEST_BYTES)),
  };
}

function decodeKey(reader: ByteReader): Buffer {
  const key = Buffer.from(reader.bytes());
  require(key.length <= LIMITS.maxRowKeyBytes, 'key length');
  return key;
}

function list<Item>(count: number, most: number, decode: () => Item): Item[] {
  require(count <= most, 'count');
  const items: Item[] = [];
  for (let i = 0; i < count; i++) items.push(decode());
  return items;
}

function flag(reader: ByteReader): boolean {
  const byte = reader.u8();
  require(byte <= 1, 'flag');
  return byte === 1;
}

function digestOf(digest: Buffer): Buffer {
  assert(digest.length === MANIFEST_DIGEST_BYTES, 'a digest has 32 bytes');
  return digest;
}

function require(condition: boolean, what: string): void {
  if (!condition) throw new HoldfastError('FORMAT_INVALID', `manifest makes no sense: ${what}`);
}
