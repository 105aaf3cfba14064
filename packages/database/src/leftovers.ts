/**
 * Files of an unfinished checkpoint, merge or rebalance, and copies that did not get their name:
 * no manifest names them, and nobody reads them.
 */
import { cut, type FileSystem, type Logger } from '@holdfast/core';
import {
  type Manifest,
  mirrorOf,
  originalOf,
  parseExtentFileName,
  parseTableFileName,
  TEMPORARY_SUFFIX,
} from '@holdfast/tables';

/**
 * Removes them; the mirror of a table goes when the table does.
 *
 * @returns the file ids of tables whose mirror is there.
 */
export async function removeLeftovers(
  { fileSystem, logger }: { readonly fileSystem: FileSystem; readonly logger: Logger },
  dir: string,
  manifest: Manifest,
): Promise<Set<number>> {
  const mirrored = new Set<number>();
  const named = new Set<number>(manifest.extentFiles.map((file) => file.fileId));
  for (const shard of manifest.shards) {
    for (const table of shard.tables) named.add(table.fileId);
  }
  for (const name of await fileSystem.list(dir)) {
    const original = originalOf(name);
    const id = parseTableFileName(original) ?? parseExtentFileName(original);
    if (id === undefined) continue;
    if (named.has(id) && !name.endsWith(TEMPORARY_SUFFIX)) {
      if (name === mirrorOf(original)) mirrored.add(id);
      continue;
    }
    await fileSystem.unlink(`${dir}/${name}`);
    await cut('database.leftoverUnlinked');
    logger.info('database.leftoverRemoved', { file: name });
  }
  return mirrored;
}
