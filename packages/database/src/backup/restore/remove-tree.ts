import type { FileSystem } from '@holdfast/core';

/** Removes a folder with everything in it; nothing when it is not there. Not durable by itself. */
export async function removeTree(fileSystem: FileSystem, path: string): Promise<void> {
  const stat = await fileSystem.stat(path);
  if (stat === undefined) return;
  if (stat.kind !== 'directory') return fileSystem.unlink(path);
  for (const name of await fileSystem.list(path)) await removeTree(fileSystem, `${path}/${name}`);
  await fileSystem.removeDirectory(path);
}
