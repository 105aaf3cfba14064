/**
 * One immutable file in the making: bytes are only appended, hashed on the way, and synced
 * before anybody hears of it.
 *
 * Invariants
 * 1. The file is new: a leftover of an interrupted write under the same name is unlinked
 *    first, never written into, so that none of its bytes can show through.
 * 2. `finish` resolves only after the data sync did. After any failure the file must be
 *    abandoned and written again from the start: what a failed sync left is unknown.
 *
 * Owner: the one writer. The caller syncs the directory before naming the file anywhere.
 */
import { createHash } from 'node:crypto';
import {
  cut,
  type FileHandle,
  type FileSystem,
  LIMITS,
  systemErrorCode,
  writeFully,
} from '@holdfast/core';
import { storageError } from './storage-error.ts';

export class NewFile {
  readonly #fileSystem: FileSystem;
  readonly #handle: FileHandle;
  readonly #hash = createHash('sha256');
  #bytes = 0;
  /** Bytes on disk already: bit by bit, so that the log beside never waits for a large file. */
  #synced = 0;

  private constructor(fileSystem: FileSystem, handle: FileHandle) {
    this.#fileSystem = fileSystem;
    this.#handle = handle;
  }

  static async create(fileSystem: FileSystem, path: string): Promise<NewFile> {
    try {
      await unlinkIfThere(fileSystem, path); // I1
      await cut('file.leftoverUnlinked');
      return new NewFile(fileSystem, await fileSystem.open(path, 'create'));
    } catch (error) {
      throw storageError(error, 'creating a file', path);
    }
  }

  /** Bytes appended so far: the position of what comes next. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param bytes must not change until this resolved. */
  async append(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes);
    try {
      await writeFully(this.#handle, bytes, this.#bytes);
      this.#bytes += bytes.length;
      if (this.#bytes - this.#synced >= LIMITS.fileSyncBytes) {
        await this.#handle.datasync();
        this.#synced = this.#bytes;
      }
    } catch (error) {
      throw storageError(error, 'writing', this.#handle.path);
    }
  }

  async finish(): Promise<{ bytes: number; digest: Buffer }> {
    try {
      await cut('file.written');
      await this.#handle.datasync(); // I2
      await cut('file.synced');
      await this.#handle.close();
    } catch (error) {
      throw storageError(error, 'syncing', this.#handle.path);
    }
    return { bytes: this.#bytes, digest: this.#hash.digest() };
  }

  /** Gives up. Never rejects: what stays behind is an orphan, and the first error matters. */
  async abandon(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
    await this.#fileSystem.unlink(this.#handle.path).catch(() => undefined);
  }
}

export async function unlinkIfThere(fileSystem: FileSystem, path: string): Promise<void> {
  try {
    await fileSystem.unlink(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}
