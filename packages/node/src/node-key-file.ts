/**
 * The file that keys rest in, on the real disk. It is not part of a data directory, so it does not
 * go through `FileSystem`: what matters here is whose it is and who may read it.
 *
 * Invariants
 * 1. What is judged is what is read: the file is opened once, no link is followed, and owner, kind
 *    and mode are asked of the open handle.
 * 2. A file is never overwritten in place. It appears, or is replaced, whole and durable.
 * 3. No error tells anything of what is in the file.
 * 4. One change at a time: what is read to be changed stays so until the change is there. A key that
 *    another change forgets may be the one that a node goes on under.
 */
import { constants, promises as fs, type Stats } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { HoldfastError, LIMITS, systemErrorCode } from '@holdfast/core';

const KEY_FILE_MODE = 0o600;
const PERMISSION_BITS = 0o777;
const OTHERS = 0o077;
/** A change takes milliseconds: one that has not ended by then was cut short. */
const STALE_CHANGE_MS = 60_000;
/** A pipe must not make us wait for its writer; only its kind is asked. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * All of the file. The caller wipes it.
 * @throws `INVALID_KEY` for a link, no file, another's file, one that others may read or write.
 */
export async function readKeyFile(path: string): Promise<Buffer> {
  return (await read(path)).bytes;
}

/** @throws `PRECONDITION_FAILED` when there is a file already. */
export async function writeKeyFile(path: string, text: string): Promise<void> {
  const handle = await create(path).catch((error: unknown) => {
    if (systemErrorCode(error) !== 'EEXIST') throw fileError('write', path, error);
    throw new HoldfastError(
      'PRECONDITION_FAILED',
      `there is a file already, and a key file is never overwritten path=${path}`,
      { cause: error },
    );
  });
  try {
    await fill(handle, text, KEY_FILE_MODE);
    await syncDirectoryOf(path);
  } catch (error) {
    await fs.rm(path, { force: true });
    throw fileError('write', path, error);
  } finally {
    await handle.close();
  }
}

/**
 * Replaces the file by what `change` makes of it. I2
 * @throws before anything is changed, what `readKeyFile` throws, and `PRECONDITION_FAILED` while
 * somebody else changes it.
 */
export async function replaceKeyFile(
  path: string,
  change: (bytes: Buffer) => string,
): Promise<void> {
  const next = join(dirname(path), `.${basename(path)}.next`);
  const handle = await claim(next, path);
  try {
    const { text, mode } = await changed(path, change);
    await fill(handle, text, mode);
    if (!(await isNamed(handle, next))) throw underWay(path); // taken for one that was cut short
    await fs.rename(next, path);
    await syncDirectoryOf(path);
  } catch (error) {
    if (await isNamed(handle, next)) await fs.rm(next);
    throw error instanceof HoldfastError ? error : fileError('write', path, error);
  } finally {
    await handle.close();
  }
}

async function changed(
  path: string,
  change: (bytes: Buffer) => string,
): Promise<{ text: string; mode: number }> {
  const { bytes, mode } = await read(path);
  try {
    const text = change(bytes);
    if (Buffer.byteLength(text) > LIMITS.maxKeyTextBytes) throw refused(path, 'would be too large');
    return { text, mode };
  } finally {
    bytes.fill(0);
  }
}

/** I4: whoever makes the file `next` is the one who may change `path`. */
async function claim(next: string, path: string): Promise<fs.FileHandle> {
  try {
    const found = await statOf(next);
    if (found !== undefined && Date.now() - found.mtimeMs > STALE_CHANGE_MS) await fs.rm(next);
    return await create(next);
  } catch (error) {
    throw systemErrorCode(error) === 'EEXIST' ? underWay(path) : fileError('write', path, error);
  }
}

async function isNamed(handle: fs.FileHandle, path: string): Promise<boolean> {
  const [own, found] = [await handle.stat(), await statOf(path)];
  return found?.ino === own.ino && found.dev === own.dev;
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await fs.lstat(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function read(path: string): Promise<{ bytes: Buffer; mode: number }> {
  const handle = await open(path);
  try {
    const stat = await handle.stat();
    const mode = stat.mode & PERMISSION_BITS;
    if (!stat.isFile()) throw refused(path, 'is not a regular file');
    const ownUser = process.geteuid?.();
    if (ownUser !== undefined) {
      if (stat.uid !== ownUser) {
        throw refused(path, 'belongs to another user', 'give it to the user that runs this');
      }
      if ((mode & OTHERS) !== 0) {
        throw refused(path, 'may be read or written by others', `chmod 600 ${path}`);
      }
    }
    if (stat.size > LIMITS.maxKeyTextBytes) throw refused(path, 'is too large for a key file');
    return { bytes: await readAll(handle, stat.size), mode };
  } finally {
    await handle.close();
  }
}

async function open(path: string): Promise<fs.FileHandle> {
  try {
    return await fs.open(path, READ_FLAGS);
  } catch (error) {
    switch (systemErrorCode(error)) {
      case 'ELOOP':
        throw refused(path, 'is a link', 'name the file itself');
      case 'ENOENT':
        throw refused(path, 'is not there', `holdfast key generate ${path}`);
      default:
        throw fileError('read', path, error);
    }
  }
}

/** As much as it said it has: a file that grows under us is not read further. */
async function readAll(handle: fs.FileHandle, size: number): Promise<Buffer> {
  const bytes = Buffer.alloc(size);
  let at = 0;
  while (at < size) {
    const { bytesRead } = await handle.read(bytes, at, size - at, at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}

function create(path: string): Promise<fs.FileHandle> {
  return fs.open(path, 'wx', KEY_FILE_MODE);
}

async function fill(handle: fs.FileHandle, text: string, mode: number): Promise<void> {
  await handle.chmod(mode); // whatever the umask is
  await handle.writeFile(text, 'utf8');
  await handle.sync();
}

async function syncDirectoryOf(path: string): Promise<void> {
  const handle = await fs.open(dirname(path), 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function underWay(path: string): HoldfastError {
  return new HoldfastError(
    'PRECONDITION_FAILED',
    `somebody is changing the key file, or stopped in the middle of it: try again in a minute path=${path}`,
    { details: { path } },
  );
}

function refused(path: string, reason: string, remedy?: string): HoldfastError {
  const what = `the key file ${reason}${remedy === undefined ? '' : `: ${remedy}`}`;
  return new HoldfastError('INVALID_KEY', `${what} path=${path}`, { details: { path } });
}

function fileError(what: 'read' | 'write', path: string, cause: unknown): HoldfastError {
  const reason = systemErrorCode(cause) ?? 'unknown';
  return new HoldfastError(
    'INVALID_KEY',
    `cannot ${what} the key file path=${path} reason=${reason}`,
    { cause, details: { path } },
  );
}
