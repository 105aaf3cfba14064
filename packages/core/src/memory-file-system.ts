/**
 * A file system in the memory of this process, for nodes that keep nothing. Syncs succeed
 * and mean nothing; everything is gone with the object.
 *
 * Invariants
 * 1. Names behave as on a POSIX disk: an unlinked or replaced file lives on for the handles
 *    that have it open; a folder that holds something is never replaced.
 * 2. Every rejection carries an operating system's `code`, and nothing has changed.
 */
import { HoldfastError } from './errors.ts';
import type { DirectoryLock, FileHandle, FileStat, FileSystem, OpenMode } from './file-system.ts';
import { SparseBytes } from './sparse-bytes.ts';
import { systemError } from './system-error.ts';

type Directory = Map<string, Directory | SparseBytes>;

export class MemoryFileSystem implements FileSystem {
  readonly #root: Directory = new Map();
  readonly #locked = new Set<Directory>();

  async open(path: string, mode: OpenMode): Promise<FileHandle> {
    const { parent, name } = this.#resolveParent(path, 'open');
    const found = parent.get(name);
    if (mode === 'create') {
      if (found !== undefined) throw systemError('EEXIST', 'open', path);
      const bytes = new SparseBytes();
      parent.set(name, bytes);
      return new MemoryFileHandle(path, bytes, true);
    }
    if (found === undefined) throw systemError('ENOENT', 'open', path);
    if (found instanceof Map) throw systemError('EISDIR', 'open', path);
    return new MemoryFileHandle(path, found, mode === 'write');
  }

  async list(path: string): Promise<string[]> {
    return [...this.#directory(path, 'scandir').keys()];
  }

  async stat(path: string): Promise<FileStat | undefined> {
    const found = this.#find(path);
    if (found === undefined) return undefined;
    return found instanceof Map
      ? { kind: 'directory', size: 0 }
      : { kind: 'file', size: found.size };
  }

  async makeDirectory(path: string): Promise<void> {
    let at = this.#root;
    for (const name of splitPath(path)) {
      let next = at.get(name);
      if (next === undefined) {
        next = new Map();
        at.set(name, next);
      }
      if (!(next instanceof Map)) throw systemError('EEXIST', 'mkdir', path);
      at = next;
    }
  }

  async rename(from: string, to: string): Promise<void> {
    const source = this.#resolveParent(from, 'rename');
    const target = this.#resolveParent(to, 'rename');
    const moved = source.parent.get(source.name);
    if (moved === undefined) throw systemError('ENOENT', 'rename', from);
    const replaced = target.parent.get(target.name);
    if (moved === replaced) return;
    if (replaced instanceof Map) {
      if (!(moved instanceof Map)) throw systemError('EISDIR', 'rename', to);
      if (replaced.size > 0) throw systemError('ENOTEMPTY', 'rename', to);
    } else if (moved instanceof Map) {
      if (replaced !== undefined) throw systemError('ENOTDIR', 'rename', to);
      if (holds(moved, target.parent)) throw systemError('EINVAL', 'rename', to);
    }
    source.parent.delete(source.name);
    target.parent.set(target.name, moved);
  }

  async unlink(path: string): Promise<void> {
    const { parent, name } = this.#resolveParent(path, 'unlink');
    const found = parent.get(name);
    if (found === undefined) throw systemError('ENOENT', 'unlink', path);
    if (found instanceof Map) throw systemError('EISDIR', 'unlink', path);
    parent.delete(name);
  }

  async removeDirectory(path: string): Promise<void> {
    const { parent, name } = this.#resolveParent(path, 'rmdir');
    if (this.#directory(path, 'rmdir').size > 0) throw systemError('ENOTEMPTY', 'rmdir', path);
    parent.delete(name);
  }

  async syncDirectory(path: string): Promise<void> {
    this.#directory(path, 'fsync');
  }

  async freeBytes(_path: string): Promise<number> {
    return Infinity;
  }

  async lockDirectory(path: string): Promise<DirectoryLock> {
    const directory = this.#directory(path, 'lock');
    if (this.#locked.has(directory)) {
      throw new HoldfastError(
        'DIRECTORY_LOCKED',
        `directory is already open in this process, close the other database first path=${path}`,
        { details: { path } },
      );
    }
    this.#locked.add(directory);
    let held = true;
    return {
      release: async () => {
        if (held) this.#locked.delete(directory);
        held = false;
      },
    };
  }

  #find(path: string): Directory | SparseBytes | undefined {
    let at: Directory | SparseBytes | undefined = this.#root;
    for (const name of splitPath(path)) {
      if (!(at instanceof Map)) return undefined;
      at = at.get(name);
    }
    return at;
  }

  #directory(path: string, operation: string): Directory {
    const found = this.#find(path);
    if (found === undefined) throw systemError('ENOENT', operation, path);
    if (!(found instanceof Map)) throw systemError('ENOTDIR', operation, path);
    return found;
  }

  #resolveParent(path: string, operation: string): { parent: Directory; name: string } {
    const names = splitPath(path);
    const name = names.pop();
    if (name === undefined) throw systemError('EISDIR', operation, path);
    const parent = this.#find(names.join('/'));
    if (parent === undefined) throw systemError('ENOENT', operation, path);
    if (!(parent instanceof Map)) throw systemError('ENOTDIR', operation, path);
    return { parent, name };
  }
}

class MemoryFileHandle implements FileHandle {
  readonly path: string;
  readonly #bytes: SparseBytes;
  readonly #writable: boolean;
  #open = true;

  constructor(path: string, bytes: SparseBytes, writable: boolean) {
    this.path = path;
    this.#bytes = bytes;
    this.#writable = writable;
  }

  async size(): Promise<number> {
    return this.#readable('fstat').size;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return this.#readable('read').read(target, position);
  }

  async write(bytes: Uint8Array, position: number): Promise<number> {
    return this.writeSync(bytes, position);
  }

  writeSync(bytes: Uint8Array, position: number): number {
    if (!this.#writable) throw systemError('EBADF', 'write', this.path);
    this.#readable('write').write(bytes, position);
    return bytes.length;
  }

  async truncate(size: number): Promise<void> {
    if (!this.#writable) throw systemError('EINVAL', 'ftruncate', this.path);
    this.#readable('ftruncate').truncate(size);
  }

  async datasync(): Promise<void> {
    this.#readable('fdatasync');
  }

  async close(): Promise<void> {
    this.#open = false;
  }

  #readable(operation: string): SparseBytes {
    if (!this.#open) throw systemError('EBADF', operation, this.path);
    return this.#bytes;
  }
}

/** Whether `wanted` is `directory` or lies below it. */
function holds(directory: Directory, wanted: Directory): boolean {
  if (directory === wanted) return true;
  for (const entry of directory.values()) {
    if (entry instanceof Map && holds(entry, wanted)) return true;
  }
  return false;
}

function splitPath(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) throw systemError('EINVAL', 'resolve', path);
  return names;
}
