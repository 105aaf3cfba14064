/**
 * An open immutable file and the count of who reads it.
 *
 * Invariants
 * 1. The handle is open while there is a reader, and until `retire` was called.
 * 2. It is closed exactly once, by whoever is last.
 *
 * Owner: the `Table` or `ExtentFile` around it.
 */
import { assert, type FileHandle, type FileSystem, HoldfastError } from '@holdfast/core';
import { damaged, storageError } from './storage-error.ts';

export class SharedFile {
  readonly #handle: FileHandle;
  #readers = 0;
  #retired = false;
  #resolveIdle: (() => void) | undefined;
  readonly #idle: Promise<void>;
  #closed: Promise<void> | undefined;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
    this.#idle = new Promise((resolve) => {
      this.#resolveIdle = resolve;
    });
  }

  /** `FILE_MISSING` when it is not there, `CHECKSUM_MISMATCH` when its size is another. */
  static async open(fileSystem: FileSystem, path: string, bytes: number): Promise<SharedFile> {
    let handle: FileHandle | undefined;
    try {
      handle = await fileSystem.open(path, 'read');
      const size = await handle.size();
      if (size !== bytes) throw damaged(path, 0, `size=${size} expected=${bytes}`);
      return new SharedFile(handle);
    } catch (error) {
      await handle?.close().catch(() => undefined);
      throw storageError(error, 'opening', path);
    }
  }

  get path(): string {
    return this.#handle.path;
  }

  retain(): void {
    if (this.#retired && this.#readers === 0) {
      throw new HoldfastError('CLOSED', `file was retired path=${this.path}`);
    }
    this.#readers++;
  }

  release(): void {
    assert(this.#readers > 0, 'a file was released more often than retained');
    this.#readers--;
    if (this.#retired && this.#readers === 0) this.#resolveIdle?.();
  }

  /** Resolves once the last reader is gone and the handle is closed. Idempotent. */
  retire(): Promise<void> {
    this.#retired = true;
    if (this.#readers === 0) this.#resolveIdle?.();
    // Nothing was written through it: a failing close loses nothing.
    this.#closed ??= this.#idle.then(() => this.#handle.close()).catch(() => undefined);
    return this.#closed;
  }

  /** Exactly `length` bytes, in `into` when it is large enough; a file that ends before is damaged. */
  async read(position: number, length: number, into?: Buffer): Promise<Buffer> {
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
