/**
 * The file that keys rest in, on the real disk. It is not part of a data directory, so it does not
 * go through `FileSystem`: what matters here is whose it is and who may read it.
 *
 * Invariants
 * 1. What is judged is what is read: the file is opened once, no link is followed, and owner, kind
 *    and mode are asked of the open handle.
 * 2. A file is never overwritten in place. It appears, or is replaced, whole and durable.
 * 3. No error tells anything of what is in the file.
 */
import { constants, promises as fs } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { HoldfastError, LIMITS, systemErrorCode } from '@holdfast/core';

const KEY_FILE_MODE = 0o600;
const PERMISSION_BITS = 0o777;
const OTHERS = 0o077;
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
  try {
    await writeWhole(path, text, KEY_FILE_MODE);
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw fileError('write', path, error);
    throw new HoldfastError(
      'PRECONDITION_FAILED',
      `there is a file already, and a key file is never overwritten path=${path}`,
      { cause: error },
    );
  }
  await syncDirectoryOf(path);
}

/**
 * Replaces the file by what `change` makes of it. I2
 * @throws before anything is changed, what `readKeyFile` throws.
 */
export async function replaceKeyFile(
  path: string,
  change: (bytes: Buffer) => string,
): Promise<void> {
  const { bytes, mode } = await read(path);
  const text = change(bytes);
  bytes.fill(0);
  const next = join(dirname(path), `.${basename(path)}.next`);
  try {
    await fs.rm(next, { force: true }); // of a replacement that was cut short
    await writeWhole(next, text, mode);
    await fs.rename(next, path);
  } catch (error) {
    throw fileError('write', path, error);
  }
  await syncDirectoryOf(path);
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

/** One byte more than it said it has: a file that grows under us is not read further. */
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

async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const handle = await fs.open(path, 'wx', KEY_FILE_MODE);
  try {
    await handle.chmod(mode); // whatever the umask is
    await handle.writeFile(text, 'utf8');
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncDirectoryOf(path: string): Promise<void> {
  const handle = await fs.open(dirname(path), 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
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
