/**
 * The newest state of a repository that was ever seen, kept on the machine that restores: an old
 * copy of a bucket looks whole, and only this tells that it is old.
 */
import { crc32c, type FileSystem, HoldfastError, type Lsn } from '@holdfast/core';
import { readWholeFile, replaceWholeFile } from '@holdfast/tables';

export interface Watermark {
  readonly repositoryId: string;
  /** Of the newest claim. */
  readonly epoch: number;
  /** Newest LSN of its history. */
  readonly lsn: Lsn;
}

const MAX_BYTES = 4096;

/**
 * @param seen what the repository has now.
 * @throws `REPOSITORY_ROLLED_BACK` when the file knows of more; `INVALID_SETTINGS` when it is of
 * another repository; `CHECKSUM_MISMATCH`.
 */
export async function assertNotRolledBack(
  fileSystem: FileSystem,
  path: string,
  seen: Watermark,
): Promise<void> {
  const known = await readWatermark(fileSystem, path);
  if (known === undefined || !isBehind(seen, known)) return;
  throw new HoldfastError(
    'REPOSITORY_ROLLED_BACK',
    `the repository is older than what was seen of it before, check the place of the backup or accept it as it is epoch=${seen.epoch} lsn=${seen.lsn} seenEpoch=${known.epoch} seenLsn=${known.lsn}`,
    { details: { path, epoch: seen.epoch, newestEpoch: known.epoch } },
  );
}

/** Notes what was seen, unless more was seen before. */
export async function raiseWatermark(
  fileSystem: FileSystem,
  path: string,
  seen: Watermark,
  options: { readonly accept: boolean },
): Promise<void> {
  const known = options.accept ? undefined : await readWatermark(fileSystem, path);
  if (known !== undefined && isBehind(seen, known)) return;
  const slash = path.lastIndexOf('/');
  const directory = slash < 0 ? '.' : path.slice(0, slash) || '/';
  const { repositoryId, epoch, lsn } = seen;
  const fields = { format: 'holdfast watermark', repositoryId, epoch, lsn };
  const text = JSON.stringify({ ...fields, check: checkOf(fields) });
  await replaceWholeFile(fileSystem, directory, path, Buffer.from(`${text}\n`));
}

function isBehind(seen: Watermark, known: Watermark): boolean {
  if (seen.repositoryId !== known.repositoryId) {
    throw new HoldfastError(
      'INVALID_SETTINGS',
      `the watermark is of another repository, name another file repository=${seen.repositoryId} watermark=${known.repositoryId}`,
    );
  }
  return seen.epoch < known.epoch || (seen.epoch === known.epoch && seen.lsn < known.lsn);
}

async function readWatermark(fileSystem: FileSystem, path: string): Promise<Watermark | undefined> {
  if ((await fileSystem.stat(path)) === undefined) return undefined;
  const bytes = await readWholeFile(fileSystem, path, MAX_BYTES);
  try {
    const { check, ...fields } = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
    const { format, repositoryId, epoch, lsn } = fields;
    const isWhole = format === 'holdfast watermark' && check === checkOf(fields);
    if (isWhole && typeof repositoryId === 'string') {
      return { repositoryId, epoch: epoch as number, lsn: lsn as Lsn };
    }
  } catch {
    // Not JSON: damaged like any other.
  }
  throw new HoldfastError(
    'CHECKSUM_MISMATCH',
    `the watermark is damaged, remove it when the place of the backup is surely the right one path=${path}`,
    { details: { path } },
  );
}

function checkOf(fields: Readonly<Record<string, unknown>>): string {
  return crc32c(Buffer.from(JSON.stringify(fields))).toString(16);
}
