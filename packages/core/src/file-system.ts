/**
 * The seam for storage. The whole database runs over this interface: on a real disk
 * (`NodeFileSystem`), in memory (`MemoryFileSystem`), and under simulation with faults
 * (`SimFs` of the testkit).
 *
 * Contract:
 * 1. Paths are joined with `/`. Errors are the operating system's, with `code` (`ENOENT`,
 *    `ENOSPC`, `EIO`, ...); whoever calls gives them meaning.
 * 2. `write` and `writeSync` may write less than asked without an error: the return value is
 *    the truth. `writeFully` loops.
 * 3. Bytes are durable after `datasync` (or `sync`) of the file resolved. If it rejects, what
 *    is on disk is unknown, and a later success proves nothing about the earlier bytes.
 * 4. A created, renamed or unlinked name is durable after `syncDirectory` of its folder.
 * 5. `read` returns fewer bytes than asked only at the end of the file.
 * 6. Handles are owned by whoever opened them; `close` is idempotent.
 */
export interface FileSystem {
  open(path: string, mode: OpenMode): Promise<FileHandle>;
  /** Names (not paths) in a folder, in no order. */
  list(path: string): Promise<string[]>;
  /** `undefined` when there is no such name. */
  stat(path: string): Promise<FileStat | undefined>;
  /** Creates the folder and its parents; the new names are made durable. */
  makeDirectory(path: string): Promise<void>;
  /** Replaces `to` when it exists. */
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** An empty folder that nobody holds a lock of; `ENOTEMPTY` (or `EEXIST`) when it is not. */
  removeDirectory(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Bytes that may still be written under `path`; `Infinity` when unknown. */
  freeBytes(path: string): Promise<number>;
  /**
   * Claims a folder for one owner. Rejects with `DIRECTORY_LOCKED` when another process, or
   * this one, holds it. A lock left by a killed process does not count.
   */
  lockDirectory(path: string): Promise<DirectoryLock>;
}

/**
 * `read`: an existing file, read only. `write`: an existing file, read and write.
 * `create`: a new file, read and write; fails with `EEXIST` when the name is taken.
 */
export type OpenMode = 'read' | 'write' | 'create';

export interface FileStat {
  readonly kind: 'file' | 'directory' | 'other';
  readonly size: number;
}

export interface FileHandle {
  readonly path: string;
  size(): Promise<number>;
  /** Fills `target` from `position`; returns the bytes read. */
  read(target: Uint8Array, position: number): Promise<number>;
  write(bytes: Uint8Array, position: number): Promise<number>;
  /** `write` without leaving the turn: the log's path into the page cache (about 3 us). */
  writeSync(bytes: Uint8Array, position: number): number;
  truncate(size: number): Promise<void>;
  /** Makes data, and the size needed to read it, durable. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

export interface DirectoryLock {
  release(): Promise<void>;
}

/** Writes all of `bytes`, looping over short writes; rejects when no progress is made. */
export async function writeFully(
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const written = await file.write(bytes.subarray(done), position + done);
    if (written <= 0) throw noProgress(file.path);
    done += written;
  }
}

/** `writeFully` within the turn. */
export function writeFullySync(file: FileHandle, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length) {
    const written = file.writeSync(done === 0 ? bytes : bytes.subarray(done), position + done);
    if (written <= 0) throw noProgress(file.path);
    done += written;
  }
}

/** Reads exactly `length` bytes; `undefined` when the file ends before that. */
export async function readExactly(
  file: FileHandle,
  position: number,
  length: number,
): Promise<Buffer | undefined> {
  const target = Buffer.allocUnsafe(length);
  const read = await file.read(target, position);
  return read === length ? target : undefined;
}

function noProgress(path: string): Error {
  return Object.assign(new Error(`write made no progress path=${path}`), { code: 'EIO' });
}
