/**
 * The manifest: the one file that says which tables and extent files are live, and up to
 * which LSN each shard's rows hold what the log said. FORMAT.md, "Manifest".
 */
import type { BlockCodec, Lsn } from '@holdfast/core';
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

/** The whole file: one sealed block. */
export function encodeManifest(manifest: Manifest, codec: BlockCodec): Buffer {
  throw new Error(`soon ${String([manifest, codec])}`);
}

export function decodeManifest(
  file: Buffer,
  codec: BlockCodec,
  expected: { readonly generation: number; readonly path: string },
): Manifest {
  throw new Error(`soon ${String([file, codec, expected])}`);
}
