/** Extent files for tests. */
import type { FileId, FileSystem } from '@holdfast/core';
import { BlockCache } from '../src/block-cache.ts';
import { ExtentFile } from '../src/extent-file.ts';
import type { ExtentFileInfo } from '../src/extent-file-info.ts';
import { ExtentFileWriter } from '../src/extent-file-writer.ts';
import type { ExtentRef } from '../src/extent-ref.ts';
import { codec, DIRECTORY } from './table-fixtures.ts';

export interface WrittenExtents {
  readonly path: string;
  readonly info: ExtentFileInfo;
  readonly refs: readonly ExtentRef[];
  readonly owners: readonly Buffer[];
  /** The whole payload space. */
  readonly payload: Buffer;
}

/** One extent per list of parts. */
export async function makeExtents(
  fileSystem: FileSystem,
  extents: readonly (readonly Uint8Array[])[],
  { fileId = 1, blockBytes = 64 }: { fileId?: number; blockBytes?: number } = {},
): Promise<WrittenExtents> {
  const writer = new ExtentFileWriter(fileId as FileId, blockBytes);
  const owners = extents.map((_, index) => Buffer.from(`owner-${index}`));
  const refs = extents.map((parts, index) => writer.add(owners[index] as Buffer, parts));
  const path = `${DIRECTORY}/extent-${fileId}`;
  const info = await writer.write({ fileSystem, codec }, path);
  return { path, info, refs, owners, payload: Buffer.concat(extents.flat()) };
}

export function openExtents(
  fileSystem: FileSystem,
  { path, info }: { readonly path: string; readonly info: ExtentFileInfo },
  cache: BlockCache = new BlockCache(1 << 20),
): Promise<ExtentFile> {
  return ExtentFile.open({ fileSystem, codec, cache }, path, info);
}

/** Bytes that differ everywhere, so that a wrong place shows. */
export function counting(length: number, start = 0): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = ((start + i) * 31 + ((start + i) >> 8)) & 0xff;
  return bytes;
}
