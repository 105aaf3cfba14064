/**
 * Small files that are replaced whole and rest twice: the manifest and the layout.
 *
 * Invariants
 * 1. A file gets its name only after its bytes were synced; a reader never sees half of one.
 * 2. The mirror is written after the original is durable: where there is a mirror, there was
 *    an original with the same bytes.
 */
import {
  type FileHandle,
  type FileSystem,
  cut,
  HoldfastError,
  isHoldfastError,
} from '@holdfast/core';
import { mirrorOf, TEMPORARY_SUFFIX } from './file-names.ts';
import { NewFile } from './new-file.ts';
import { damaged, storageError } from './storage-error.ts';

export async function readWholeFile(
  fileSystem: FileSystem,
  path: string,
  maxBytes: number,
): Promise<Buffer> {
  let handle: FileHandle | undefined;
  try {
    handle = await fileSystem.open(path, 'read');
    const size = await handle.size();
    if (size > maxBytes) {
      throw new HoldfastError('FORMAT_INVALID', `file is too large path=${path} bytes=${size}`, {
        details: { path },
      });
    }
    const file = Buffer.allocUnsafeSlow(size);
    const read = await handle.read(file, 0);
    if (read !== size) throw damaged(path, read, 'the file is cut off');
    return file;
  } catch (error) {
    throw storageError(error, 'reading', path);
  } finally {
    await handle?.close().catch(() => undefined); // opened to read: nothing can be lost
  }
}

export interface EitherCopy<Value> {
  readonly value: Value;
  readonly bytes: Buffer;
  /** What is wrong with the original, when the mirror had to stand in for it. */
  readonly damage: HoldfastError | undefined;
}

/**
 * The original if it decodes, the mirror otherwise; rejects as the original does when neither does.
 * An original of another format version is whole: an older mirror must not stand in for it.
 */
export async function readEitherCopy<Value>(
  fileSystem: FileSystem,
  path: string,
  maxBytes: number,
  decode: (bytes: Buffer, path: string) => Value,
): Promise<EitherCopy<Value>> {
  try {
    const bytes = await readWholeFile(fileSystem, path, maxBytes);
    return { value: decode(bytes, path), bytes, damage: undefined };
  } catch (error) {
    if (!isUnreadableFile(error) || error.code === 'FORMAT_UNSUPPORTED') throw error;
    const mirror = mirrorOf(path);
    try {
      const bytes = await readWholeFile(fileSystem, mirror, maxBytes);
      return { value: decode(bytes, mirror), bytes, damage: named(error, path) };
    } catch (second) {
      // What cannot be reached for now may be the whole one.
      const later = isHoldfastError(second) && second.kind === 'unavailable';
      throw later ? second : error;
    }
  }
}

/** A rejection leaves the old file or, when the name is not durable yet, the new one. */
export async function replaceWholeFile(
  fileSystem: FileSystem,
  directory: string,
  path: string,
  bytes: Buffer,
): Promise<void> {
  const file = await NewFile.create(fileSystem, path + TEMPORARY_SUFFIX);
  try {
    await file.append(bytes);
    await file.finish();
  } catch (error) {
    await file.abandon();
    throw error;
  }
  try {
    await cut('mirror.written');
    await fileSystem.rename(path + TEMPORARY_SUFFIX, path);
    await cut('mirror.renamed');
    await fileSystem.syncDirectory(directory);
    await cut('mirror.directorySynced');
  } catch (error) {
    throw storageError(error, 'replacing', path);
  }
}

/** What `mendCopies` found wrong with a copy. */
export interface MendedCopy {
  readonly error: HoldfastError;
  /** The copy has its bytes again. */
  readonly repaired: boolean;
}

export interface MendOptions {
  /** A missing mirror was made before: that it is gone is damage. */
  readonly mirrorExpected: boolean;
  /** What stands under the name is replaced once this resolved. */
  readonly beforeReplace?: (path: string) => Promise<void>;
}

/** What is wrong with either copy of a file that should hold `bytes`; a missing mirror is not. */
export async function problemsOfCopies(
  fileSystem: FileSystem,
  path: string,
  bytes: Buffer,
): Promise<HoldfastError[]> {
  const problems: HoldfastError[] = [];
  for (const copy of [path, mirrorOf(path)]) {
    const error = await problemOf(fileSystem, copy, bytes);
    if (error === undefined || (copy !== path && error.code === 'FILE_MISSING')) continue;
    problems.push(error);
  }
  return problems;
}

/**
 * Writes `bytes` into each copy that holds something else; says what was wrong. Rejects when
 * one cannot be looked at for want of file handles.
 */
export async function mendCopies(
  fileSystem: FileSystem,
  directory: string,
  path: string,
  bytes: Buffer,
  options: MendOptions,
): Promise<MendedCopy[]> {
  const mended: MendedCopy[] = [];
  for (const copy of [path, mirrorOf(path)]) {
    const error = await problemOf(fileSystem, copy, bytes);
    if (error === undefined) continue;
    if (isOutOfHandles(error)) throw error;
    const made = copy !== path && error.code === 'FILE_MISSING' && !options.mirrorExpected;
    try {
      if (error.code !== 'FILE_MISSING') await options.beforeReplace?.(copy);
      await replaceWholeFile(fileSystem, directory, copy, bytes);
      if (!made) mended.push({ error, repaired: true });
    } catch (failure) {
      if (!isHoldfastError(failure)) throw failure;
      if (!made) mended.push({ error, repaired: false });
    }
  }
  return mended;
}

async function problemOf(
  fileSystem: FileSystem,
  path: string,
  bytes: Buffer,
): Promise<HoldfastError | undefined> {
  try {
    const found = await readWholeFile(fileSystem, path, bytes.length);
    if (found.equals(bytes)) return undefined;
    return damaged(path, firstDifference(found, bytes), 'it is not what was written');
  } catch (error) {
    if (isUnreadableFile(error)) return error;
    throw error;
  }
}

/** The file is not as it was written, is gone, or its disk does not give it out. */
function isUnreadableFile(error: unknown): error is HoldfastError {
  return isHoldfastError(error) && (error.kind === 'corrupt' || error.kind === 'unavailable');
}

/** Says nothing about the file. */
function isOutOfHandles(error: HoldfastError): boolean {
  const { systemCode } = error.details;
  return systemCode === 'EMFILE' || systemCode === 'ENFILE';
}

/** What a decoder finds wrong does not always say where. */
function named(error: HoldfastError, path: string): HoldfastError {
  if (error.details['path'] !== undefined) return error;
  const options = { cause: error, details: { ...error.details, path } };
  return new HoldfastError(error.code, error.message, options);
}

function firstDifference(found: Buffer, wanted: Buffer): number {
  const length = Math.min(found.length, wanted.length);
  for (let at = 0; at < length; at++) if (found[at] !== wanted[at]) return at;
  return length;
}
