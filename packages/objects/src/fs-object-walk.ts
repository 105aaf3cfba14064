/** The objects below a folder in the order of their keys, one folder in memory for each level. */
import { type FileSystem, systemErrorCode } from '@holdfast/core';
import { fileError } from './fs-object-errors.ts';
import { decodeSegment, MAX_ENCODED_SEGMENT, objectPath, parseEntry } from './fs-object-names.ts';
import { compareKeys, isObjectKey, mayHoldListed } from './object-key.ts';

export interface WalkBounds {
  readonly prefix: string;
  readonly after: string;
  /** Called for each folder that was read, before anything of it is told. */
  readonly onFolder: (path: string) => Promise<void>;
}

export interface WalkedObject {
  readonly key: string;
  readonly path: string;
}

interface Entry {
  /** A key, or with a `/` at its end what all keys in a folder begin with. */
  readonly order: string;
  readonly path: string;
  readonly isFolder: boolean;
}

/** Folders that cannot hold a key of the list are not read. */
export async function* walkObjects(
  fileSystem: FileSystem,
  root: string,
  bounds: WalkBounds,
): AsyncGenerator<WalkedObject, void, void> {
  yield* walkFolder(fileSystem, root, root, '', bounds);
}

async function* walkFolder(
  fileSystem: FileSystem,
  root: string,
  folder: string,
  start: string,
  bounds: WalkBounds,
): AsyncGenerator<WalkedObject, void, void> {
  const entries: Entry[] = [];
  await readFolder(fileSystem, folder, start, '', bounds, entries);
  // A folder stands where its keys do: behind `a-`, before `a0`.
  entries.sort((one, other) => compareKeys(one.order, other.order));
  for (const { order, path, isFolder } of entries) {
    if (isFolder) {
      if (mayHoldListed(order, bounds.prefix, bounds.after)) {
        yield* walkFolder(fileSystem, root, path, order, bounds);
      }
    } else if (
      order.startsWith(bounds.prefix) &&
      compareKeys(order, bounds.after) > 0 &&
      path === pathOf(root, order)
    ) {
      yield { key: order, path };
    }
  }
}

/** @param begun what folders above hold of a segment that goes on here, encoded. */
async function readFolder(
  fileSystem: FileSystem,
  folder: string,
  start: string,
  begun: string,
  bounds: WalkBounds,
  entries: Entry[],
): Promise<void> {
  if (begun.length > MAX_ENCODED_SEGMENT) return; // nothing of ours is so deep
  for (const name of await listFolder(fileSystem, folder)) {
    const entry = parseEntry(name);
    if (entry === undefined) continue;
    const path = `${folder}/${name}`;
    if (entry.kind === 'folder' && entry.continued) {
      await readFolder(fileSystem, path, start, begun + entry.text, bounds, entries);
      continue;
    }
    const segment = decodeSegment(begun + entry.text);
    if (segment === undefined || !isObjectKey(start + segment)) continue;
    const isFolder = entry.kind === 'folder';
    entries.push({ order: start + segment + (isFolder ? '/' : ''), path, isFolder });
  }
  await bounds.onFolder(folder);
}

/** Somebody else may have put a file that reads as a key and is not where that key is. */
function pathOf(root: string, key: string): string {
  const { folder, name } = objectPath(key);
  return folder === '' ? `${root}/${name}` : `${root}/${folder}/${name}`;
}

/** Nothing, where the folder is not there or is no folder. */
async function listFolder(fileSystem: FileSystem, folder: string): Promise<string[]> {
  try {
    return await fileSystem.list(folder);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw fileError(error, 'listing', folder, 'none');
  }
}
