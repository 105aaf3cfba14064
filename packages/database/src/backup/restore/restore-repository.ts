/**
 * Finds the repository of a database in an object store, for those who have no data directory to
 * know it by, and opens it.
 *
 * Invariants
 * 1. A repository is chosen only by its id, or where it is the only one.
 * 2. Keys are compared with the repository's before anything else of it is read.
 */
import { BlockCodec, hasCode, HoldfastError, type KeyRing, LIMITS } from '@holdfast/core';
import type { CallOptions, ObjectStore } from '@holdfast/objects';
import { decodeLayout, type Layout } from '../../layout.ts';
import { assertKeysOf } from '../../layout-keys.ts';
import { isRepositoryId, repositoryId as idOf } from '../repository/repository-names.ts';
import { Repository } from '../repository/repository.ts';
import { damagedObject } from '../repository/sealed-object.ts';

export interface RepositoryChoice {
  /** Default: the only one there is. */
  readonly repositoryId?: string | undefined;
  /** For what is encrypted. */
  readonly keys?: KeyRing | undefined;
}

export interface OpenedRepository {
  readonly repository: Repository;
  /** As the writer put it. How many shards a snapshot has stands in the snapshot. */
  readonly layout: Layout;
}

/** Repositories that an error names; who has more is told that there are more. */
const MAX_NAMED = 16;

/**
 * Rejects with `REPOSITORY_NOT_FOUND` when there is none, or more than one and none was named;
 * with `CHECKSUM_MISMATCH` when its layout is damaged or another's; with `KEY_REQUIRED`,
 * `KEY_WRONG` or `KEY_NOT_EXPECTED`.
 */
export async function openRepositoryForRestore(
  store: ObjectStore,
  choice: RepositoryChoice = {},
  options: CallOptions = {},
): Promise<OpenedRepository> {
  const id = choice.repositoryId ?? (await onlyRepository(store, options));
  if (!isRepositoryId(id)) throw notFound(`this is no id of a repository id=${id}`);
  const plain = new Repository(store, new BlockCodec(Buffer.alloc(16)), id);
  const key = plain.names.layout;
  const bytes = await plain.read(key, LIMITS.maxSmallObjectBytes, options);
  if (bytes === undefined) {
    const there = await repositoriesIn(store, options);
    throw notFound(`there is no repository of this id id=${id} ${named(there)}`);
  }
  const layout = decodeLayout(key, bytes);
  if (idOf(layout.databaseId) !== id) throw damagedObject(key, 'it is of another database'); // I1
  assertKeys(layout, choice.keys, key);
  const codec = new BlockCodec(layout.databaseId, choice.keys);
  return { repository: new Repository(store, codec, id), layout };
}

/** I2. A key that is missing is missed where something needs it: it may be retired by now. */
function assertKeys(layout: Layout, keys: KeyRing | undefined, path: string): void {
  try {
    assertKeysOf(layout, keys, path);
  } catch (error) {
    if (!hasCode(error, 'KEY_MISSING')) throw error;
  }
}

/** Ids of the repositories in a store, rising; of very many only the first. */
export async function repositoriesIn(
  store: ObjectStore,
  options: CallOptions = {},
): Promise<string[]> {
  const found: string[] = [];
  const { signal } = options;
  let after: string | undefined;
  while (found.length <= MAX_NAMED) {
    const page = await store.list({ after, limit: 1, signal });
    const key = page.objects[0]?.key;
    after = key === undefined ? page.after : behindFolder(key);
    if (after === undefined) break;
    const folder = key?.split('/')[0];
    if (folder === undefined || !isRepositoryId(folder)) continue;
    if (await isThere(store, `${folder}/layout.json`, options)) found.push(folder);
  }
  return found;
}

/** No key of the folder comes behind it: `0` follows `/`. */
function behindFolder(key: string): string {
  const slash = key.indexOf('/');
  return slash < 0 ? key : `${key.slice(0, slash)}0`;
}

async function isThere(store: ObjectStore, key: string, options: CallOptions): Promise<boolean> {
  try {
    await store.head(key, options);
    return true;
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return false;
    throw error;
  }
}

async function onlyRepository(store: ObjectStore, options: CallOptions): Promise<string> {
  const there = await repositoriesIn(store, options);
  const [first] = there;
  if (first === undefined) throw notFound('there is no repository at this place');
  if (there.length > 1) throw notFound(`which repository is not said ${named(there)}`); // I1
  return first;
}

function named(ids: readonly string[]): string {
  if (ids.length === 0) return 'there=none';
  const more = ids.length > MAX_NAMED ? ',...' : '';
  return `there=${ids.slice(0, MAX_NAMED).join(',')}${more}`;
}

function notFound(message: string): HoldfastError {
  return new HoldfastError('REPOSITORY_NOT_FOUND', message);
}
