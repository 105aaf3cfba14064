/**
 * Where a database is put together before it gets its name: `<into>.restoring`, which holds the
 * plan in `restore.json` and the directory to be in `data/`.
 *
 * Invariants
 * 1. Under the target's name there is nothing, or the whole database: one rename makes the
 *    difference, after every byte and every name of it was synced.
 * 2. Only what an earlier restore left is taken for staging; anything else in its place is refused,
 *    and nothing of it is touched.
 * 3. One restore at a time works in a staging: it holds its lock.
 *
 * Owner: the restore. `close` leaves what was staged, to be gone on with.
 */
import {
  cut,
  type DirectoryLock,
  type FileSystem,
  HoldfastError,
  systemErrorCode,
} from '@holdfast/core';
import { readWholeFile, replaceWholeFile } from '@holdfast/tables';
import { removeTree } from './remove-tree.ts';

/** What a staging is for. Another one begins anew. */
export interface StagedPlan {
  readonly repositoryId: string;
  /** `null`: none. */
  readonly snapshotId: string | null;
}

const PLAN_FILE = 'restore.json';
/** What a claim of the folder leaves beside the data; see `lockDirectory`. */
const LOCK_FILE = 'LOCK';
const MAX_PLAN_BYTES = 4096;

export class RestoreStaging {
  /** The directory to be. */
  readonly dir: string;
  readonly #fileSystem: FileSystem;
  readonly #into: string;
  readonly #staging: string;
  readonly #lock: DirectoryLock;
  #released = false;

  private constructor(fileSystem: FileSystem, into: string, lock: DirectoryLock) {
    this.#fileSystem = fileSystem;
    this.#into = into;
    this.#staging = stagingOf(into);
    this.#lock = lock;
    this.dir = `${this.#staging}/data`;
  }

  /**
   * Rejects with `RESTORE_TARGET_NOT_EMPTY`, `DIRECTORY_LOCKED`; with `INVALID_SETTINGS` when there is
   * an empty directory that cannot be replaced.
   */
  static async open(
    fileSystem: FileSystem,
    into: string,
    plan: StagedPlan,
  ): Promise<RestoreStaging> {
    await assertTargetFree(fileSystem, into);
    const path = stagingOf(into);
    await assertOurs(fileSystem, path);
    await fileSystem.makeDirectory(path);
    const lock = await fileSystem.lockDirectory(path);
    const staging = new RestoreStaging(fileSystem, into, lock);
    try {
      await staging.#begin(plan);
      await staging.#clearTarget();
      return staging;
    } catch (error) {
      await staging.close();
      throw error;
    }
  }

  /** Removes from the directory to be what is not among `names`. */
  async keepOnly(names: ReadonlySet<string>): Promise<void> {
    for (const name of await this.#fileSystem.list(this.dir)) {
      if (!names.has(name)) await removeTree(this.#fileSystem, `${this.dir}/${name}`);
    }
  }

  /** I1. The staged directory gets the target's name; its files are synced already. */
  async publish(): Promise<void> {
    const fileSystem = this.#fileSystem;
    for (const path of [`${this.dir}/log`, this.dir, this.#staging]) {
      await fileSystem.syncDirectory(path);
    }
    await cut('restore.staged');
    await assertTargetFree(fileSystem, this.#into);
    await this.#clearTarget();
    await fileSystem.rename(this.dir, this.#into);
    await cut('restore.renamed');
    await fileSystem.syncDirectory(parentOf(this.#into));
    await fileSystem.syncDirectory(this.#staging);
    await cut('restore.published');
    await this.#remove().catch(() => undefined); // an empty staging hurts nobody
  }

  /** Gives up the lock. Idempotent. */
  async close(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.#lock.release();
  }

  async #begin(plan: StagedPlan): Promise<void> {
    const fileSystem = this.#fileSystem;
    const path = `${this.#staging}/${PLAN_FILE}`;
    const bytes = encodePlan(plan);
    const before = await readWholeFile(fileSystem, path, MAX_PLAN_BYTES).catch(() => undefined);
    if (before?.equals(bytes) !== true) {
      await removeTree(fileSystem, this.dir);
      await removeTree(fileSystem, `${path}.tmp`);
      await replaceWholeFile(fileSystem, this.#staging, path, bytes);
      await cut('restore.planned');
    }
    await fileSystem.makeDirectory(this.dir);
  }

  /** A rename over an empty directory is not possible everywhere; over a mount point nowhere. */
  async #clearTarget(): Promise<void> {
    const path = this.#into;
    if ((await this.#fileSystem.stat(path)) === undefined) return;
    try {
      await this.#fileSystem.removeDirectory(path);
    } catch (error) {
      const code = systemErrorCode(error) ?? '';
      if (!['EBUSY', 'EPERM', 'EACCES', 'EINVAL'].includes(code)) throw error;
      throw new HoldfastError(
        'INVALID_SETTINGS',
        `the directory cannot be replaced, as a mount point cannot: name one inside it path=${path}`,
        { cause: error, details: { path } },
      );
    }
    await cut('restore.targetCleared');
  }

  async #remove(): Promise<void> {
    await this.#fileSystem.unlink(`${this.#staging}/${PLAN_FILE}`);
    await this.close();
    await this.#fileSystem.removeDirectory(this.#staging);
    await this.#fileSystem.syncDirectory(parentOf(this.#into));
  }
}

/** A folder that is not there, or empty. Rejects with `RESTORE_TARGET_NOT_EMPTY`. */
export async function assertTargetFree(fileSystem: FileSystem, into: string): Promise<void> {
  const stat = await fileSystem.stat(into);
  if (stat === undefined) return;
  if (stat.kind !== 'directory') throw notEmpty(into, 'it is no directory');
  const [first] = await fileSystem.list(into);
  if (first !== undefined) throw notEmpty(into, `it holds ${first}`);
}

/** I2. */
async function assertOurs(fileSystem: FileSystem, path: string): Promise<void> {
  const stat = await fileSystem.stat(path);
  if (stat === undefined) return;
  if (stat.kind !== 'directory') throw notEmpty(path, 'it is no directory');
  const names = await fileSystem.list(path);
  if (names.includes(PLAN_FILE)) return;
  const foreign = names.find((name) => name !== LOCK_FILE && name !== `${PLAN_FILE}.tmp`);
  if (foreign !== undefined) throw notEmpty(path, `it is no staging and holds ${foreign}`);
}

function encodePlan(plan: StagedPlan): Buffer {
  const text = JSON.stringify({ format: 'holdfast restore', formatVersion: 1, ...plan }, null, 2);
  return Buffer.from(`${text}\n`);
}

function stagingOf(into: string): string {
  return `${into}.restoring`;
}

function parentOf(path: string): string {
  const slash = Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\'));
  if (slash < 0) return '.';
  return slash === 0 ? '/' : path.slice(0, slash);
}

function notEmpty(path: string, why: string): HoldfastError {
  return new HoldfastError(
    'RESTORE_TARGET_NOT_EMPTY',
    `a restore needs a directory that is empty or not there, name another path=${path} reason=${why}`,
    { details: { path } },
  );
}
