/**
 * An open immutable file and the count of who reads it.
 *
 * Invariants
 * 1. The handle is open while there is a reader, and until `retire` was called.
 * 2. It is closed exactly once, by whoever is last.
 *
 * Owner: the `MirroredFile` or `ExtentFile` around it.
 */
import type { FileHandle, FileSystem, HoldfastError } from '@holdfast/core';
import { ReaderCount } from './reader-count.ts';
import { damaged, storageError } from './storage-error.ts';

export class SharedFile {
  readonly #handle: FileHandle;
  readonly #size: number;
  readonly #readers: ReaderCount;
  #closed: Promise<void> | undefined;

  private constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.#size = size;
    this.#readers = new ReaderCount(handle.path);
  }

  /** `FILE_MISSING` when it is not there, `STORAGE_UNAVAILABLE` when it cannot be opened. */
  static async open(fileSystem: FileSystem, path: string): Promise<SharedFile> {
    let handle: FileHandle | undefined;
    try {
      handle = await fileSystem.open(path, 'read');
      return new SharedFile(handle, await handle.size());
    } catch (error) {
      await handle?.close().catch(() => undefined);
      throw storageError(error, 'opening', path);
    }
  }

  get path(): string {
    return this.#handle.path;
  }

  /** What is wrong with the size it had when it was opened, if anything. */
  sizeProblem(bytes: number): HoldfastError | undefined {
    if (this.#size === bytes) return undefined;
    return damaged(this.path, Math.min(this.#size, bytes), `size=${this.#size} expected=${bytes}`);
  }

  retain(): void {
    this.#readers.retain();
  }

  release(): void {
    this.#readers.release();
  }

  /** Resolves once the last reader is gone and the handle is closed. Idempotent. */
  retire(): Promise<void> {
    // Nothing was written through it: a failing close loses nothing.
    this.#closed ??= this.#readers
      .retire()
      .then(() => this.#handle.close())
      .catch(() => undefined);
    return this.#closed;
  }

  /** Exactly `length` bytes, in `into` when it is large enough; a file that ends before is damaged. */
  async read(position: number, length: number, into?: Buffer): Promise<Buffer> {
    // Before any memory is taken: the length may come from the file itself.
    if (position + length > this.#size) throw damaged(this.path, this.#size, 'the file is cut off');
    const fits = into !== undefined && into.length >= length;
    const target = fits ? into.subarray(0, length) : Buffer.allocUnsafeSlow(length);
    let read: number;
    try {
      read = await this.#handle.read(target, position);
    } catch (error) {
      throw storageError(error, 'reading', this.path);
    }
    if (read !== length) throw damaged(this.path, position + read, 'the file is cut off');
    return target;
  }
}
