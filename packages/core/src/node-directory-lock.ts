/**
 * One owner per data directory, on the machine and in this process.
 *
 * On Linux the lock is an abstract unix socket named after the device and inode of the
 * directory: the kernel gives it to one process and takes it back when that process ends,
 * however it ends. Elsewhere the lock is the `LOCK` file itself, believed while the process it
 * names is alive since the same boot. On Linux the file is there for people to read.
 *
 * Invariants
 * 1. At most one holder per directory among the processes of one network namespace (Linux) or
 *    of one machine (elsewhere). Two containers on one volume are outside its reach; so are,
 *    elsewhere than on Linux, three processes taking over one stale file in the same instant.
 * 2. What a killed process leaves behind never delays the next one.
 * 3. A full disk does not stop a start: on Linux a `LOCK` file that cannot be written is left.
 */
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { HoldfastError, systemErrorCode } from './errors.ts';
import type { DirectoryLock } from './file-system.ts';
import { systemError } from './system-error.ts';

/** The name of the file beside the data; not data. */
export const LOCK_FILE_NAME = 'LOCK';

/**
 * All of `sun_path`. Node.js 20 fills shorter abstract names up with zeros, Node.js 24 does
 * not: only a name of full length is the same lock under both.
 */
const SOCKET_NAME_BYTES = 108;

interface LockHolder {
  readonly pid: number;
  /** Changes with every boot; empty where the platform does not tell. */
  readonly bootId: string;
  readonly startedAt: string;
}

/** Directories held by this process, as `device-inode`. */
const heldHere = new Set<string>();

export async function lockNodeDirectory(path: string): Promise<DirectoryLock> {
  const stat = await fs.stat(path, { bigint: true });
  if (!stat.isDirectory()) {
    throw systemError('ENOTDIR', 'lock', path);
  }
  const key = `${stat.dev}-${stat.ino}`;
  if (heldHere.has(key)) throw locked(path, process.pid);
  heldHere.add(key);
  const file = join(path, LOCK_FILE_NAME);
  try {
    const release =
      process.platform === 'linux'
        ? await holdSocket(path, key, file)
        : await holdFile(path, file, await thisHolder());
    return releaseOnce(release, key);
  } catch (error) {
    heldHere.delete(key);
    throw error;
  }
}

type Release = () => Promise<void>;

function releaseOnce(release: Release, key: string): DirectoryLock {
  let released: Promise<void> | undefined;
  return {
    release: () => {
      released ??= release().finally(() => heldHere.delete(key));
      return released;
    },
  };
}

async function holdSocket(path: string, key: string, file: string): Promise<Release> {
  const server = await listen(`\0holdfast-${key}`.padEnd(SOCKET_NAME_BYTES, '\0')).catch(
    async (error: unknown) => {
      if (systemErrorCode(error) !== 'EADDRINUSE') throw error;
      throw locked(path, (await readHolder(file))?.pid);
    },
  );
  // Only people read it (I3). Replaced by rename: a reader never sees half of it.
  await writeHolder(file, await thisHolder()).catch(() => undefined);
  return async () => {
    await fs.unlink(file).catch(() => undefined);
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  };
}

/** Rejects with `EADDRINUSE` when another process has the name. */
function listen(name: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.once('error', reject);
    // `exclusive`: in a cluster's worker the primary would otherwise hold and share it.
    server.listen({ path: name, exclusive: true }, () => {
      server.removeListener('error', reject);
      server.unref();
      resolve(server);
    });
  });
}

async function holdFile(path: string, file: string, self: LockHolder): Promise<Release> {
  while (!(await claimFile(file, self))) {
    const found = await fs.readFile(file, 'utf8').catch(ignoreMissing);
    if (found === undefined) continue; // released meanwhile
    const holder = parseHolder(found);
    if (holder !== undefined && isAlive(holder, self)) throw locked(path, holder.pid);
    await removeStale(file, found); // I2
  }
  return () => fs.unlink(file).catch(ignoreMissing);
}

/** False when the name is taken. By link, so that nobody ever reads half of it. */
async function claimFile(file: string, self: LockHolder): Promise<boolean> {
  const draft = `${file}.${randomUUID()}`;
  await fs.writeFile(draft, JSON.stringify(self), { flag: 'wx', mode: 0o600 });
  try {
    await fs.link(draft, file);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await fs.unlink(draft);
  }
}

/**
 * Takes the file with this content away. Moved first, so that of several takers one moves it;
 * what turns out to be a new owner's file goes back.
 */
async function removeStale(file: string, content: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  try {
    await fs.rename(file, aside);
  } catch (error) {
    ignoreMissing(error);
    return;
  }
  if ((await fs.readFile(aside, 'utf8')) !== content) {
    await fs.link(aside, file).catch(() => undefined);
  }
  await fs.unlink(aside);
}

async function writeHolder(file: string, self: LockHolder): Promise<void> {
  const draft = `${file}.${self.pid}`;
  try {
    await fs.writeFile(draft, JSON.stringify(self), { mode: 0o600 });
    await fs.rename(draft, file);
  } catch (error) {
    await fs.unlink(draft).catch(() => undefined);
    throw error;
  }
}

/** `undefined` when there is none, or it is not readable as one. */
async function readHolder(file: string): Promise<LockHolder | undefined> {
  const found = await fs.readFile(file, 'utf8').catch(() => undefined);
  return found === undefined ? undefined : parseHolder(found);
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    const { pid, bootId, startedAt } = JSON.parse(text) as Partial<LockHolder>;
    if (!Number.isSafeInteger(pid) || (pid as number) <= 0) return undefined;
    return { pid: pid as number, bootId: String(bootId), startedAt: String(startedAt) };
  } catch {
    return undefined;
  }
}

function isAlive(holder: LockHolder, self: LockHolder): boolean {
  if (holder.bootId !== self.bootId) return false;
  if (holder.pid === self.pid) return false; // not held here, so an earlier life of this pid
  try {
    process.kill(holder.pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'EPERM'; // alive, of another user
  }
}

async function thisHolder(): Promise<LockHolder> {
  const bootId = await fs.readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  return { pid: process.pid, bootId: bootId.trim(), startedAt: new Date().toISOString() };
}

function ignoreMissing(error: unknown): undefined {
  if (systemErrorCode(error) !== 'ENOENT') throw error;
}

function locked(path: string, pid: number | undefined): HoldfastError {
  const who =
    pid === process.pid
      ? 'this process already has the directory open, close the other database first'
      : 'another process has the directory open, stop it or use another directory';
  const holder = pid === undefined ? '' : ` pid=${pid}`;
  return new HoldfastError('DIRECTORY_LOCKED', `${who} path=${path}${holder}`, {
    details: { path, ...(pid === undefined ? {} : { pid }) },
  });
}
