/**
 * Puts a whole copy under the name of an immutable file: written beside it, compared with what
 * the manifest says, synced, renamed, and the name synced. A crash leaves the old file or the new.
 */
import { cut, type FileSystem } from '@holdfast/core';
import { TEMPORARY_SUFFIX } from './file-names.ts';
import { NewFile } from './new-file.ts';
import type { Pace } from './pace.ts';
import { damaged, storageError } from './storage-error.ts';

export interface RebuildOptions {
  /** That holds the file. */
  readonly directory: string;
  readonly pace?: Pace;
  /** What stands under the name is replaced once this resolved. */
  readonly beforeReplace?: (path: string) => Promise<void>;
}

/**
 * Rejects with effect `none`: what `fill` rejected with, or `CHECKSUM_MISMATCH` when what it
 * wrote is not the file.
 *
 * @param assertWanted throws when the file is to get its name no more.
 */
export async function putCopy(
  fileSystem: FileSystem,
  { path, digest }: { readonly path: string; readonly digest: Buffer },
  { directory, pace, beforeReplace }: RebuildOptions,
  fill: (append: (bytes: Buffer) => Promise<void>) => Promise<void>,
  assertWanted: () => void,
): Promise<void> {
  const target = await NewFile.create(fileSystem, path + TEMPORARY_SUFFIX);
  try {
    await fill(async (bytes) => {
      await target.append(bytes);
      assertWanted();
      await pace?.(bytes.length);
    });
    const written = await target.finish();
    if (!written.digest.equals(digest)) throw damaged(path, 0, 'its blocks do not add up');
    await cut('mirror.written');
    await beforeReplace?.(path);
    assertWanted();
  } catch (error) {
    await target.abandon();
    throw error;
  }
  try {
    await fileSystem.rename(path + TEMPORARY_SUFFIX, path);
    await cut('mirror.renamed');
    await fileSystem.syncDirectory(directory);
    await cut('mirror.directorySynced');
  } catch (error) {
    throw storageError(error, 'renaming', path);
  }
}
