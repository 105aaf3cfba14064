/**
 * Makes a data directory out of a repository: the state of one moment, exact to the record.
 *
 * Invariants
 * 1. Under the target's name there is nothing or the whole database, verified (`RestoreStaging`).
 * 2. Whatever is damaged, missing, swapped or older than it should be is refused by name; nothing is
 *    left out to go on.
 * 3. An end at any point leaves a staging that the next call with the same target goes on with:
 *    files whose digest holds are kept, everything else is made anew.
 * 4. The restored directory knows what it was restored from: opened with its repository, it goes on
 *    as a writer of its own.
 * 5. Memory is bounded: pieces of a few parts, two archive pieces, one batch of the log.
 */
import {
  type Clock,
  cut,
  type FileSystem,
  formatKeyId,
  HoldfastError,
  isHoldfastError,
  type KeyRing,
  type Logger,
  type Lsn,
  type Random,
  SILENT,
  systemErrorCode,
} from '@holdfast/core';
import { writeLog } from '@holdfast/log';
import type { ObjectStore } from '@holdfast/objects';
import { type Layout, type LayoutKeys, replaceLayout } from '../../layout.ts';
import { verifyDatabase } from '../../verify-database.ts';
import { writeArchiveState } from '../archive/archive-state.ts';
import { removeTree } from './remove-tree.ts';
import { restoreFiles } from './restore-files.ts';
import { planRestore, type RestorePlan, type RestoreRequest } from './restore-plan.ts';
import { recordsOf } from './restore-records.ts';
import { type OpenedRepository, openRepositoryForRestore } from './restore-repository.ts';
import { assertTargetFree, RestoreStaging } from './restore-staging.ts';
import { settleManifest, writeFirstManifest } from './restore-state.ts';
import { assertNotRolledBack, raiseWatermark, type Watermark } from './restore-watermark.ts';

const COPY_ID_BYTES = 8;

export interface RestoreComponents {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly objects: ObjectStore;
  /** Of an encrypted repository. */
  readonly keys?: KeyRing | undefined;
  readonly logger?: Logger | undefined;
}

export interface RestoreSettings extends RestoreRequest {
  /** The directory to be: not there, or empty. */
  readonly into: string;
  /** Default: the only repository of the store. */
  readonly repositoryId?: string | undefined;
  /** Only says what would be done. */
  readonly dryRun?: boolean | undefined;
  /** `quick` leaves out reading everything once more at the end. Default: `full`. */
  readonly verify?: 'full' | 'quick' | undefined;
  /** The repository may be older than the watermark knows. */
  readonly acceptRollback?: boolean | undefined;
  /** A file that remembers the newest state that was seen. */
  readonly watermarkPath?: string | undefined;
}

export interface RestoreProgress {
  /** `plan` counts nothing, `log` records, the others bytes. */
  readonly phase: 'plan' | 'files' | 'log' | 'verify';
  readonly done: number;
  readonly total: number;
}

export interface RestoreReport {
  readonly plan: RestorePlan;
  readonly repositoryId: string;
  /** Without one, all was replayed. */
  readonly snapshotId: string | undefined;
  readonly lsn: Lsn;
  readonly committedAtMs: number;
  /** Of the snapshot. */
  readonly files: number;
  readonly bytes: number;
  /** Replayed behind it. */
  readonly records: number;
  readonly ms: number;
}

/**
 * Rejects with what `openRepositoryForRestore` and `planRestore` reject with, with
 * `RESTORE_TARGET_NOT_EMPTY`, `REPOSITORY_ROLLED_BACK`, `DISK_FULL`, with what is wrong with an
 * object, or with `ABORTED`. The target is as it was then.
 */
export async function restoreDatabase(
  components: RestoreComponents,
  settings: RestoreSettings,
  onProgress: (progress: RestoreProgress) => void = () => undefined,
  signal: AbortSignal = new AbortController().signal,
): Promise<RestoreReport> {
  const into = settings.into.replace(/(?<=.)[/\\]+$/, '');
  const startedMs = components.clock.monotonicMs();
  try {
    signal.throwIfAborted();
    const restore = new Restore(components, { ...settings, into }, onProgress, signal);
    const plan = await restore.run();
    return reportOf(plan, components.clock.monotonicMs() - startedMs);
  } catch (error) {
    if (!signal.aborted) throw storageError(error, into);
    throw new HoldfastError('ABORTED', `restore was ended, run it again to go on path=${into}`, {
      cause: error,
    });
  }
}

class Restore {
  readonly #components: RestoreComponents;
  readonly #settings: RestoreSettings;
  readonly #onProgress: (progress: RestoreProgress) => void;
  readonly #signal: AbortSignal;

  constructor(
    components: RestoreComponents,
    settings: RestoreSettings,
    onProgress: (progress: RestoreProgress) => void,
    signal: AbortSignal,
  ) {
    this.#components = components;
    this.#settings = settings;
    this.#onProgress = onProgress;
    this.#signal = signal;
  }

  async run(): Promise<RestorePlan> {
    const { fileSystem, objects, keys, logger = SILENT } = this.#components;
    const { into, repositoryId, watermarkPath, acceptRollback = false, dryRun } = this.#settings;
    const signal = this.#signal;
    await assertTargetFree(fileSystem, into);
    this.#onProgress({ phase: 'plan', done: 0, total: 1 });
    const opened = await openRepositoryForRestore(objects, { repositoryId, keys }, { signal });
    const plan = await planRestore(opened.repository, this.#settings, { signal });
    const seen = watermarkOf(plan);
    if (watermarkPath !== undefined && !acceptRollback) {
      await assertNotRolledBack(fileSystem, watermarkPath, seen);
    }
    this.#onProgress({ phase: 'plan', done: 1, total: 1 });
    if (dryRun === true) return plan;
    if (watermarkPath !== undefined) {
      // Before anything is fetched: one that cannot be written protects nobody, and is heard of.
      const options = { accept: acceptRollback };
      await raiseWatermark(fileSystem, watermarkPath, seen, options).catch((error: unknown) => {
        throw storageError(error, watermarkPath);
      });
    }
    const { snapshot } = plan;
    logger.info('restore.began', { lsn: plan.lsn, snapshotId: snapshot?.snapshotId, into });
    const staging = await RestoreStaging.open(fileSystem, into, {
      repositoryId: plan.repositoryId,
      snapshotId: snapshot?.snapshotId ?? null,
    });
    try {
      await this.#fill(staging, opened, plan);
      await this.#verify(staging.dir);
      await staging.publish();
    } finally {
      await staging.close();
    }
    logger.info('restore.done', { lsn: plan.lsn, into });
    return plan;
  }

  /** What makes a directory a database, its layout, comes last. */
  async #fill(staging: RestoreStaging, opened: OpenedRepository, plan: RestorePlan): Promise<void> {
    const { fileSystem, clock, keys } = this.#components;
    const { repository, layout } = opened;
    const { dir } = staging;
    const { snapshot, shardCount, repositoryId } = plan;
    const { codec } = repository;
    await staging.keepOnly(new Set(snapshot?.files.map(({ name }) => name)));
    await this.#assertRoom(dir, plan);
    if (snapshot === undefined) {
      await writeFirstManifest({ fileSystem, codec, dir }, shardCount, clock);
    } else {
      await this.#fetch(opened, plan, dir);
      await settleManifest({ fileSystem, codec, dir }, snapshot);
    }
    await cut('restore.stateWritten');
    await this.#writeLog(opened, plan, dir);
    await cut('restore.logWritten');
    await writeArchiveState(
      { fileSystem, codec, dir },
      {
        repositoryId,
        archivedLsn: 0 as Lsn,
        archivedFrom: 0 as Lsn,
        restoredFrom: { epoch: plan.epoch, lsn: plan.lsn },
      },
    );
    const copyId = this.#components.random.bytes(COPY_ID_BYTES).toString('hex');
    const own = { ...layoutOf(layout.databaseId, plan, keys), copyId };
    await replaceLayout(fileSystem, dir, own);
    await cut('restore.layoutWritten');
  }

  async #fetch({ repository }: OpenedRepository, plan: RestorePlan, dir: string): Promise<void> {
    const { fileSystem } = this.#components;
    const { files = [], totalBytes = 0 } = plan.snapshot ?? {};
    let done = 0;
    const count = (bytes: number): void => {
      done += bytes;
      this.#onProgress({ phase: 'files', done, total: totalBytes });
    };
    count(0);
    await restoreFiles({ fileSystem, repository, dir, files }, count, this.#signal);
    await fileSystem.syncDirectory(dir);
  }

  /** Anew each time: it is as quick as checking what is there. */
  async #writeLog({ repository }: OpenedRepository, plan: RestorePlan, dir: string): Promise<void> {
    const { fileSystem, random } = this.#components;
    const { pieces, shardCount, records: total, snapshot } = plan;
    const signal = this.#signal;
    let done = 0;
    const onRecord = (): void => {
      signal.throwIfAborted();
      if (++done % 1024 === 0 || done === total) this.#onProgress({ phase: 'log', done, total });
    };
    this.#onProgress({ phase: 'log', done, total });
    await removeTree(fileSystem, `${dir}/log`);
    const written = await writeLog(
      { fileSystem, random, codec: repository.codec },
      {
        dir: `${dir}/log`,
        firstLsn: (plan.lsn - total + 1) as Lsn,
        committedAtMs: pieces.length === 0 ? (snapshot?.committedAtMs ?? 0) : 0,
      },
      recordsOf(repository, pieces, shardCount, { signal, onRecord }),
    );
    if (written.lastLsn === plan.lsn) return;
    throw new HoldfastError(
      'INVARIANT_VIOLATED',
      `a restored log ends elsewhere than planned lsn=${written.lastLsn} planned=${plan.lsn}`,
    );
  }

  async #assertRoom(dir: string, { snapshot, pieces }: RestorePlan): Promise<void> {
    const { fileSystem } = this.#components;
    let needed = pieces.reduce((sum, { piece }) => sum + piece.bytes, 0);
    for (const { name, bytes } of snapshot?.files ?? []) {
      needed += Math.max(0, bytes - ((await fileSystem.stat(`${dir}/${name}`))?.size ?? 0));
    }
    const free = await fileSystem.freeBytes(dir).catch(() => Infinity);
    if (free >= needed) return;
    throw new HoldfastError(
      'DISK_FULL',
      `there is no room for what is restored path=${dir} neededBytes=${needed} freeBytes=${free}`,
    );
  }

  async #verify(dir: string): Promise<void> {
    if (this.#settings.verify === 'quick') return;
    const { fileSystem, keys } = this.#components;
    const { problems } = await verifyDatabase(
      { fileSystem, ...(keys === undefined ? {} : { keys }) },
      { dir },
      (done, total) => {
        this.#signal.throwIfAborted();
        this.#onProgress({ phase: 'verify', done, total });
      },
    );
    const [first] = problems;
    if (first === undefined) return;
    throw new HoldfastError(
      'CHECKSUM_MISMATCH',
      `what was restored is not whole, verify the backup path=${first.path} problems=${problems.length} first=${first.message}`,
      { details: { path: first.path, position: first.position } },
    );
  }
}

/** The disk's errors get their meaning; all others have theirs. */
function storageError(error: unknown, path: string): unknown {
  const systemCode = systemErrorCode(error);
  if (systemCode === undefined || isHoldfastError(error)) return error;
  const isFull = systemCode === 'ENOSPC' || systemCode === 'EDQUOT';
  return new HoldfastError(
    isFull ? 'DISK_FULL' : 'STORAGE_UNAVAILABLE',
    `restore could not use the disk, run it again to go on path=${path} reason=${systemCode}`,
    { cause: error, details: { path, systemCode } },
  );
}

/** Names the keys that are in use in the directory, and the one that it goes on with. */
function layoutOf(
  databaseId: Buffer,
  { shardCount, keyIds }: RestorePlan,
  ring: KeyRing | undefined,
): Layout {
  if (ring === undefined) return { databaseId, shardCount };
  const checks = [...keyIds, ring.active.id].map((id) => [
    formatKeyId(id),
    ring.checkOf(id, databaseId),
  ]);
  return { databaseId, shardCount, keys: Object.fromEntries(checks) as LayoutKeys };
}

function watermarkOf({ repositoryId, newestEpoch, epoch, latestLsn }: RestorePlan): Watermark {
  // Of an older history only how new the newest is can be told.
  return { repositoryId, epoch: newestEpoch, lsn: epoch === newestEpoch ? latestLsn : (0 as Lsn) };
}

function reportOf(plan: RestorePlan, ms: number): RestoreReport {
  const { snapshot, repositoryId, lsn, committedAtMs, records } = plan;
  return {
    plan,
    repositoryId,
    snapshotId: snapshot?.snapshotId,
    lsn,
    committedAtMs,
    files: snapshot?.files.length ?? 0,
    bytes: snapshot?.totalBytes ?? 0,
    records,
    ms,
  };
}
