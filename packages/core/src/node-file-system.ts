/**
 * The real disk: the only user of `node:fs` in product code. Every handle works at explicit
 * positions, so that two calls on one handle never share a cursor.
 *
 * Invariants
 * 1. A descriptor is closed only after the calls in flight on it ended, and no call starts
 *    afterwards: the kernel may give its number to another file at once.
 * 2. A name that `makeDirectory` returned for is durable, even when an earlier process was
 *    killed between making it and syncing its parent.
 */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { systemErrorCode } from './errors.ts';
import type { DirectoryLock, FileHandle, FileStat, FileSystem, OpenMode } from './file-system.ts';
import { lockNodeDirectory } from './node-directory-lock.ts';
import { systemError } from './system-error.ts';

const FLAGS: Readonly<Record<OpenMode, string>> = { read: 'r', write: 'r+', create: 'wx+' };
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
/** One system call moves at most 2 GiB - 4 KiB on Linux; more is asked for in pieces. */
const MAX_CALL_BYTES = 1024 * 1024 * 1024;

export class NodeFileSystem implements FileSystem {
  async open(path: string, mode: OpenMode): Promise<FileHandle> {
    const descriptor = await new Promise<number>((resolve, reject) => {
      fs.open(path, FLAGS[mode], FILE_MODE, settle(resolve, reject));
    });
    return new NodeFileHandle(path, descriptor);
  }

  list(path: string): Promise<string[]> {
    return fs.promises.readdir(path);
  }

  async stat(path: string): Promise<FileStat | undefined> {
    try {
      const stat = await fs.promises.stat(path);
      const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : 'other';
      return { kind, size: stat.size };
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw error;
    }
  }

  async makeDirectory(path: string): Promise<void> {
    const parent = dirname(path);
    const made = await this.#makeOne(path).catch(async (error: unknown) => {
      if (systemErrorCode(error) !== 'ENOENT' || parent === path) throw error;
      await this.makeDirectory(parent);
      return this.#makeOne(path);
    });
    if (made) await this.syncDirectory(parent);
    else await this.#syncParentOfExisting(parent);
  }

  rename(from: string, to: string): Promise<void> {
    return fs.promises.rename(from, to);
  }

  unlink(path: string): Promise<void> {
    return fs.promises.unlink(path);
  }

  removeDirectory(path: string): Promise<void> {
    return fs.promises.rmdir(path);
  }

  async syncDirectory(path: string): Promise<void> {
    try {
      const directory = await fs.promises.open(path, 'r');
      try {
        await directory.sync();
      } finally {
        await directory.close();
      }
    } catch (error) {
      const code = systemErrorCode(error) ?? '';
      // Windows cannot open or sync a folder; NTFS journals names by itself.
      if (process.platform === 'win32' && ['EISDIR', 'EPERM', 'EINVAL'].includes(code)) return;
      throw error;
    }
  }

  async freeBytes(path: string): Promise<number> {
    const { bavail, bsize } = await fs.promises.statfs(path);
    return bavail * bsize;
  }

  lockDirectory(path: string): Promise<DirectoryLock> {
    return lockNodeDirectory(path);
  }

  /** False when the folder is there already. */
  async #makeOne(path: string): Promise<boolean> {
    try {
      await fs.promises.mkdir(path, { mode: DIRECTORY_MODE });
      return true;
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' && (await this.stat(path))?.kind === 'directory') {
        return false;
      }
      throw error;
    }
  }

  /** I2. A parent this process may not open (`/var/lib`) was not ours to make entries in. */
  async #syncParentOfExisting(parent: string): Promise<void> {
    try {
      await this.syncDirectory(parent);
    } catch (error) {
      const code = systemErrorCode(error) ?? '';
      if (!['EACCES', 'EPERM', 'EROFS', 'EINVAL'].includes(code)) throw error;
    }
  }
}

class NodeFileHandle implements FileHandle {
  readonly path: string;
  readonly #descriptor: number;
  #inFlight = 0;
  #closing: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  async size(): Promise<number> {
    const stat = await this.#call<fs.Stats>('fstat', (fd, done) => fs.fstat(fd, done));
    return stat.size;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const start = done;
      const length = Math.min(target.length - start, MAX_CALL_BYTES);
      const count = await this.#call<number>('read', (fd, callback) =>
        fs.read(fd, target, start, length, position + start, callback),
      );
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(bytes: Uint8Array, position: number): Promise<number> {
    const length = Math.min(bytes.length, MAX_CALL_BYTES);
    return this.#call<number>('write', (fd, done) =>
      fs.write(fd, bytes, 0, length, position, done),
    );
  }

  writeSync(bytes: Uint8Array, position: number): number {
    if (this.#closing !== undefined) throw systemError('EBADF', 'write', this.path);
    return fs.writeSync(
      this.#descriptor,
      bytes,
      0,
      Math.min(bytes.length, MAX_CALL_BYTES),
      position,
    );
  }

  async truncate(size: number): Promise<void> {
    await this.#call<void>('ftruncate', (fd, done) => fs.ftruncate(fd, size, done));
  }

  async datasync(): Promise<void> {
    await this.#call<void>('fdatasync', (fd, done) => fs.fdatasync(fd, done));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await new Promise<void>((resolve, reject) => {
      fs.close(this.#descriptor, settle(resolve, reject));
    });
  }

  /** One call on the descriptor; I1. */
  #call<Result>(
    operation: string,
    start: (descriptor: number, done: Callback<Result>) => void,
  ): Promise<Result> {
    if (this.#closing !== undefined) {
      return Promise.reject(systemError('EBADF', operation, this.path));
    }
    return new Promise<Result>((resolve, reject) => {
      start(this.#descriptor, (error, result) => {
        this.#inFlight--;
        if (this.#inFlight === 0) this.#onIdle?.();
        settle(resolve, reject)(error, result);
      });
      // After `start`: it throws on wrong arguments, and then never calls back.
      this.#inFlight++;
    });
  }
}

type Callback<Result> = (error: Error | null, result?: Result) => void;

function settle<Result>(
  resolve: (result: Result) => void,
  reject: (error: Error) => void,
): Callback<Result> {
  return (error, result) => {
    if (error) reject(error);
    else resolve(result as Result);
  };
}
