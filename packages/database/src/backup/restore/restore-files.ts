/**
 * Fetches the files of a snapshot into a folder, several parts at a time.
 *
 * Invariants
 * 1. A file is done when every part had its hash and the whole file its digest, and it is synced.
 * 2. What is there already is kept only after its digest was checked from the disk.
 * 3. A part is never held whole: its pieces go to the disk as they come.
 */
import { createHash } from 'node:crypto';
import {
  assert,
  cut,
  type FileHandle,
  type FileSystem,
  HoldfastError,
  LIMITS,
  writeFully,
} from '@holdfast/core';
import { hasCode } from '@holdfast/core';
import { inParallel } from '../repository/in-parallel.ts';
import { missingObject, type Repository } from '../repository/repository.ts';
import { damagedObject } from '../repository/sealed-object.ts';
import type { SnapshotFile, SnapshotPart } from '../repository/snapshot-manifest.ts';

export interface FilesToRestore {
  readonly fileSystem: FileSystem;
  readonly repository: Repository;
  readonly dir: string;
  readonly files: readonly SnapshotFile[];
}

interface PartToFetch {
  readonly file: OpenFile;
  readonly part: SnapshotPart;
  /** In the file. */
  readonly position: number;
}

/** @param onBytes hears of bytes that are on the disk and checked, kept ones too. */
export async function restoreFiles(
  job: FilesToRestore,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const open = new Set<OpenFile>();
  try {
    await inParallel(
      partsToFetch(job, open, onBytes, signal),
      LIMITS.restoreParts,
      signal,
      async (wanted, call) => {
        await fetchPart(job.repository, wanted, call);
        onBytes(wanted.part.bytes);
        if (!wanted.file.partDone()) return;
        await wanted.file.finish(call);
        open.delete(wanted.file);
        await cut('restore.fileDone');
      },
    );
  } finally {
    for (const file of open) await file.close();
  }
}

async function* partsToFetch(
  { fileSystem, dir, files }: FilesToRestore,
  open: Set<OpenFile>,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): AsyncGenerator<PartToFetch, void, void> {
  for (const file of files) {
    const path = `${dir}/${file.name}`;
    if (await isThere(fileSystem, path, file, signal)) {
      onBytes(file.bytes);
      continue;
    }
    const created = new OpenFile(await createAnew(fileSystem, path), file);
    open.add(created);
    if (file.parts.length === 0) await created.finish(signal);
    let position = 0;
    for (const part of file.parts) {
      yield { file: created, part, position };
      position += part.bytes;
    }
  }
}

/** I2. */
async function isThere(
  fileSystem: FileSystem,
  path: string,
  file: SnapshotFile,
  signal: AbortSignal,
): Promise<boolean> {
  const stat = await fileSystem.stat(path);
  if (stat?.kind !== 'file' || stat.size !== file.bytes) return false;
  const handle = await fileSystem.open(path, 'write');
  try {
    if ((await digestOf(handle, file.bytes, signal)) !== file.digest) return false;
    await handle.datasync(); // what was written by a process that died may not be on the disk
    return true;
  } finally {
    await handle.close();
  }
}

async function createAnew(fileSystem: FileSystem, path: string): Promise<FileHandle> {
  if ((await fileSystem.stat(path)) !== undefined) await fileSystem.unlink(path);
  return fileSystem.open(path, 'create');
}

/** A file that is being written. */
class OpenFile {
  readonly handle: FileHandle;
  readonly #file: SnapshotFile;
  #missing: number;

  constructor(handle: FileHandle, file: SnapshotFile) {
    this.handle = handle;
    this.#file = file;
    this.#missing = file.parts.length;
  }

  /** True with the last one. */
  partDone(): boolean {
    return --this.#missing === 0;
  }

  /** I1. A file of one part has that part's hash. */
  async finish(signal: AbortSignal): Promise<void> {
    const { name, bytes, digest, parts } = this.#file;
    const [only] = parts;
    const isOnePart = only !== undefined && parts.length === 1;
    const found = isOnePart ? only.hash : await digestOf(this.handle, bytes, signal);
    if (found !== digest) {
      throw new HoldfastError(
        'CHECKSUM_MISMATCH',
        `the parts of a file are not the file that the snapshot names file=${name}`,
        { details: { path: name } },
      );
    }
    await this.handle.datasync();
    await this.close();
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

async function fetchPart(
  repository: Repository,
  { file, part, position }: PartToFetch,
  signal: AbortSignal,
): Promise<void> {
  const key = repository.names.part(part.hash);
  const content = await repository.store.get(key, { signal }).catch((error: unknown) => {
    throw hasCode(error, 'OBJECT_NOT_FOUND') ? missingObject(key) : error;
  });
  if (content.size !== part.bytes) {
    await content.close();
    throw damagedObject(key, 'its length is wrong');
  }
  const hash = createHash('sha256');
  let at = position;
  for await (const piece of content.body) {
    hash.update(piece);
    await writeFully(file.handle, piece, at);
    at += piece.length;
  }
  assert(at === position + part.bytes, 'a body gives what was announced');
  if (hash.digest('hex') !== part.hash) throw damagedObject(key, 'its hash is wrong');
}

async function digestOf(handle: FileHandle, bytes: number, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafeSlow(Math.min(Math.max(bytes, 1), LIMITS.logReadBytes));
  for (let at = 0; at < bytes;) {
    signal.throwIfAborted();
    const read = await handle.read(buffer.subarray(0, Math.min(buffer.length, bytes - at)), at);
    if (read === 0) break;
    hash.update(buffer.subarray(0, read));
    at += read;
  }
  return hash.digest('hex');
}
