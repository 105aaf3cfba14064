/**
 * A backup without its node: snapshots are looked at, and data directories made, straight from the
 * object store. Nothing in the store is changed.
 *
 * Owner: who opened it closes it.
 */
import { HoldfastError, KeyRing } from '@holdfast/core';
import {
  DatabaseSnapshots,
  openRepositoryForRestore,
  restoreDatabase,
  type RestoreProgress,
  type RestoreTarget,
} from '@holdfast/database';
import type { ObjectStore } from '@holdfast/objects';
import { type BackupSettings, isInside, type NodeSecrets } from './backup-settings.ts';
import {
  restorePlanSummary,
  type RestorePlanSummary,
  restoreResult,
  type RestoreResult,
  snapshotDetails,
  type SnapshotDetails,
  snapshotListing,
  type SnapshotListing,
  snapshotVerification,
  type SnapshotVerification,
} from './backup/snapshot-summary.ts';
import type { WorkOptions } from './backup/work.ts';
import { KeySource, type KeySourceSettings } from './key-source.ts';
import type { NodeComponents } from './node-components.ts';
import { holding } from './node-keep-alive.ts';
import { openObjectStore, parseObjectStoreLocation } from './object-store-location.ts';
import { s3Access } from './opened-backup.ts';

/** Where a backup is, and what opens it. */
export interface BackupAccess
  extends
    KeySourceSettings,
    Partial<
      Pick<
        BackupSettings,
        'backupRegion' | 'backupEndpoint' | 'backupPathStyle' | 'backupPlainHttp'
      >
    >,
    Partial<Pick<NodeSecrets, 'backupCredentials'>> {
  readonly backup: string;
  /** Of the database; needed where the place holds several. */
  readonly repositoryId?: string | undefined;
}

export interface RestoreOrder {
  /** Not there, or empty. */
  readonly into: string;
  readonly target: 'latest' | { lsn: number } | { timeMs: number } | { name: string };
  readonly snapshotId?: string | undefined;
  readonly verify?: 'full' | 'quick' | undefined;
  /** A file that remembers the newest state of the backup that was seen. */
  readonly watermark?: string | undefined;
  readonly acceptRollback?: boolean | undefined;
}

type Quick = Pick<WorkOptions, 'signal'>;

export class OfflineBackup {
  readonly #components: NodeComponents;
  readonly #objects: ObjectStore;
  readonly #keys: KeyRing | undefined;
  readonly #repositoryId: string | undefined;
  /** Of a backup in a folder. */
  readonly #folder: string | undefined;
  #snapshots: DatabaseSnapshots | undefined;

  private constructor(
    components: NodeComponents,
    objects: ObjectStore,
    keys: KeyRing | undefined,
    { repositoryId, folder }: { repositoryId: string | undefined; folder: string | undefined },
  ) {
    this.#components = components;
    this.#objects = objects;
    this.#keys = keys;
    this.#repositoryId = repositoryId;
    this.#folder = folder;
  }

  /** @throws what speaks against it: keys that are none, a store that does not answer. */
  static async open(
    access: BackupAccess,
    components: NodeComponents,
    options: Quick = {},
  ): Promise<OfflineBackup> {
    const location = parseObjectStoreLocation(access.backup);
    const keys = await loadKeyRing(access, components);
    const { backupRegion, backupEndpoint, backupPathStyle, backupPlainHttp = false } = access;
    const settings = { backupRegion, backupEndpoint, backupPathStyle, backupPlainHttp };
    const speak = { ...s3Access(settings, access), conditions: 'none' as const };
    const folder = location.kind === 'folder' ? location.directory : undefined;
    if (folder !== undefined) await requireFolder(folder, components);
    const objects = await holding(() => openObjectStore(location, speak, components, options));
    const { repositoryId } = access;
    return new OfflineBackup(components, objects, keys, { repositoryId, folder });
  }

  list(options: Quick = {}): Promise<SnapshotListing> {
    return holding(async () => snapshotListing(await (await this.#catalog(options)).list(options)));
  }

  info(id: string, options: Quick = {}): Promise<SnapshotDetails> {
    return holding(async () =>
      snapshotDetails(await (await this.#catalog(options)).get(id, options)),
    );
  }

  /** Reads all of it; what is wrong is in what it resolves to. */
  verify(id: string, options: WorkOptions = {}): Promise<SnapshotVerification> {
    const { signal, onProgress } = options;
    return holding(async () => {
      const snapshots = await this.#catalog(options);
      const report = await snapshots.verify(id, {
        signal,
        onProgress: ({ bytes, totalBytes }) =>
          onProgress?.({ phase: 'verify', done: bytes, total: totalBytes, unit: 'bytes' }),
      });
      return snapshotVerification(id, report);
    });
  }

  /** What `restore` would do. Refuses what it would refuse, and changes nothing. */
  async plan(order: RestoreOrder, options: WorkOptions = {}): Promise<RestorePlanSummary> {
    const { plan } = await this.#restore(order, options, true);
    return restorePlanSummary(plan);
  }

  /** The directory is there, whole, once this resolved; ended before, it is as it was. */
  async restore(order: RestoreOrder, options: WorkOptions = {}): Promise<RestoreResult> {
    return restoreResult(order.into, await this.#restore(order, options, false));
  }

  close(): Promise<void> {
    return holding(() => this.#objects.close());
  }

  async #restore(
    order: RestoreOrder,
    { signal, onProgress }: WorkOptions,
    dryRun: boolean,
  ): ReturnType<typeof restoreDatabase> {
    if (this.#folder !== undefined && isInside(this.#folder, order.into)) {
      throw new HoldfastError(
        'INVALID_SETTINGS',
        `a restore into the backup itself would be taken for part of it path=${order.into}`,
      );
    }
    const { fileSystem, clock, random, logger } = this.#components;
    const { target, watermark, ...rest } = order;
    return holding(() =>
      restoreDatabase(
        { fileSystem, clock, random, logger, objects: this.#objects, keys: this.#keys },
        {
          ...rest,
          target: target as RestoreTarget,
          repositoryId: this.#repositoryId,
          watermarkPath: watermark,
          dryRun,
        },
        (progress) => onProgress?.(progressOf(progress)),
        signal,
      ),
    );
  }

  async #catalog(options: Quick): Promise<DatabaseSnapshots> {
    if (this.#snapshots !== undefined) return this.#snapshots;
    const { clock, random, logger } = this.#components;
    const choice = { repositoryId: this.#repositoryId, keys: this.#keys };
    const { repository } = await openRepositoryForRestore(this.#objects, choice, options);
    const writer = { check: () => Promise.reject(notTheWriter()) };
    this.#snapshots = new DatabaseSnapshots({ repository, clock, random, logger, writer });
    return this.#snapshots;
  }
}

/** The keys of `access`; `undefined` when it names none. */
export async function loadKeyRing(
  access: KeySourceSettings,
  { random }: Pick<NodeComponents, 'random'>,
): Promise<KeyRing | undefined> {
  const source = KeySource.from(access);
  return source === undefined ? undefined : new KeyRing(await source.load(), random);
}

/** Opening a folder makes it, which is not what looking into a backup is for. */
async function requireFolder(
  directory: string,
  { fileSystem }: Pick<NodeComponents, 'fileSystem'>,
): Promise<void> {
  if ((await fileSystem.stat(`${directory}/objects`))?.kind === 'directory') return;
  throw new HoldfastError('REPOSITORY_NOT_FOUND', `there is no backup here path=${directory}`);
}

function progressOf({ phase, done, total }: RestoreProgress): {
  phase: string;
  done: number;
  total: number;
  unit: 'bytes' | 'records';
} {
  return { phase, done, total, unit: phase === 'log' ? 'records' : 'bytes' };
}

function notTheWriter(): HoldfastError {
  return new HoldfastError('INVARIANT_VIOLATED', 'a backup without its node is not written');
}
