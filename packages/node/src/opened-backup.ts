/** What a node with a backup has open besides its database: the object store, and where drills go. */
import type { KeyRing, Random } from '@holdfast/core';
import type { BackupSettings as DatabaseBackupSettings } from '@holdfast/database';
import type { ObjectStore } from '@holdfast/objects';
import type { AdministrationParts } from './administration.ts';
import type { BackupSettings, NodeSecrets } from './backup-settings.ts';
import { retentionRules } from './backup/embedded-snapshots.ts';
import { openCopy } from './drill-engines.ts';
import type { NodeComponents } from './node-components.ts';
import {
  describeLocation,
  openObjectStoreLate,
  parseObjectStoreLocation,
  type S3Access,
} from './object-store-location.ts';
import type { NodeSettings } from './settings.ts';

export interface OpenedBackup {
  readonly objects: ObjectStore;
  /** For people. */
  readonly place: string;
  /** Closes what was opened here, and not what was given. */
  release(): Promise<void>;
}

/** `undefined` without a backup. Nothing is asked of the store yet. */
export async function openBackup(
  settings: NodeSettings,
  secrets: Partial<NodeSecrets>,
  components: NodeComponents,
): Promise<OpenedBackup | undefined> {
  const { objectStore } = components;
  const location =
    settings.backup === undefined ? undefined : parseObjectStoreLocation(settings.backup);
  const place = location === undefined ? 'an object store' : describeLocation(location);
  if (objectStore !== undefined)
    return { objects: objectStore, place, release: async () => undefined };
  if (location === undefined) return undefined;
  const objects = await openObjectStoreLate(location, s3Access(settings, secrets), components);
  return { objects, place, release: () => objects.close() };
}

export function s3Access(
  settings: Pick<
    BackupSettings,
    'backupRegion' | 'backupEndpoint' | 'backupPathStyle' | 'backupPlainHttp'
  >,
  { backupCredentials }: Partial<Pick<NodeSecrets, 'backupCredentials'>>,
): S3Access {
  return {
    region: settings.backupRegion,
    endpoint: settings.backupEndpoint,
    pathStyle: settings.backupPathStyle,
    allowPlainHttp: settings.backupPlainHttp,
    credentials: backupCredentials,
  };
}

export function databaseBackupSettings(settings: NodeSettings): DatabaseBackupSettings {
  const { archiveIntervalMs, snapshotIntervalMs, snapshotBytesPerSecond } = settings;
  return {
    archiveIntervalMs,
    snapshotIntervalMs,
    retention: retentionRules(settings),
    ...(snapshotBytesPerSecond === 0 ? {} : { snapshotBytesPerSecond }),
    takeOver: settings.takeOver,
    acceptRollback: settings.acceptRollback,
  };
}

export function drillParts(
  { objects }: OpenedBackup,
  settings: NodeSettings,
  components: NodeComponents & { readonly random: Random },
  keys: KeyRing | undefined,
): NonNullable<AdministrationParts['backup']>['drills'] {
  const { fileSystem, clock, random, logger } = components;
  const { dir = '', drillDirectory } = settings;
  return {
    restore: { fileSystem, clock, random, logger, objects, keys },
    scratch: (repositoryId = '') =>
      drillDirectory === undefined
        ? `${withoutSlash(dir)}.drill`
        : `${withoutSlash(drillDirectory)}/drill-${repositoryId}`,
    open: (copy) => openCopy(copy, components, keys),
  };
}

function withoutSlash(path: string): string {
  return path.replace(/(?<=.)\/+$/, '');
}
