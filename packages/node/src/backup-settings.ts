/** The settings of a node that have to do with backups; `settings.ts` has the others. */
import { relative, resolve, sep } from 'node:path';
import { HoldfastError, LIMITS } from '@holdfast/core';
import type { S3Credentials } from '@holdfast/objects';
import { parseObjectStoreLocation } from './object-store-location.ts';
import type { SettingRule } from './settings.ts';
import type { TiersInput } from './tiers/tier-settings.ts';

/** Given beside the settings, shown nowhere. */
export interface NodeSecrets {
  /** The keys themselves, as text. */
  readonly key: string | undefined;
  /** For the backup in S3. Absent: the environment, then what the machine is given. */
  readonly backupCredentials: S3Credentials | undefined;
  /** Tiers of key-value stores by name: their places may hold passwords. */
  readonly tiers: TiersInput | undefined;
}

export interface BackupSettings {
  /** Where backups go: `s3://bucket/prefix`, `file:///folder` or a folder. Absent: no backup. */
  readonly backup: string | undefined;
  /** Region of the bucket. Absent: `AWS_REGION`, `AWS_DEFAULT_REGION`, or `us-east-1`. */
  readonly backupRegion: string | undefined;
  /** URL of a store that speaks S3 and is not Amazon's. */
  readonly backupEndpoint: string | undefined;
  /** `endpoint/bucket/key` and not `bucket.endpoint/key`. Absent: with an endpoint. */
  readonly backupPathStyle: boolean | undefined;
  /** Speak plain HTTP to an endpoint on another machine: others can read what is not encrypted. */
  readonly backupPlainHttp: boolean;
  /** The log is archived at least as often. Lower: less is lost with the disk, more requests. */
  readonly archiveIntervalMs: number;
  /** Between two snapshots; 0: none. Lower: quicker restores, more in the store. */
  readonly snapshotIntervalMs: number;
  /** Between two drills; 0: none. A drill needs the disk and the time of a whole restore. */
  readonly drillIntervalMs: number;
  /** Where drills restore to. Absent: beside the data directory. */
  readonly drillDirectory: string | undefined;
  /** Snapshots that are kept: as many of the newest. */
  readonly keepLast: number;
  /** The last one of as many days. */
  readonly keepDaily: number;
  /** The last one of as many weeks. */
  readonly keepWeekly: number;
  /** Older ones go, whatever keeps them, but never the newest. 0: no age is too old. */
  readonly keepMaxAgeMs: number;
  /** What a snapshot reads and sends; 0: no bound. Lower: it takes longer and disturbs less. */
  readonly snapshotBytesPerSecond: number;
  /** Write to a backup that another node writes to: that one stops. */
  readonly takeOver: boolean;
  /** Go on although the backup is older than what this directory knows of it. */
  readonly acceptRollback: boolean;
}

/** The timers of the platform. */
const MAX_INTERVAL_MS = 2 ** 31 - 1;

export const BACKUP_RULES: Record<keyof BackupSettings, SettingRule> = {
  backup: { kind: 'text', fallback: undefined },
  backupRegion: { kind: 'text', fallback: undefined },
  backupEndpoint: { kind: 'text', fallback: undefined },
  backupPathStyle: { kind: 'flag', fallback: undefined },
  backupPlainHttp: { kind: 'flag', fallback: false },
  archiveIntervalMs: {
    kind: 'integer',
    fallback: LIMITS.archiveIntervalMs,
    minimum: 1,
    maximum: MAX_INTERVAL_MS,
  },
  snapshotIntervalMs: {
    kind: 'integer',
    fallback: LIMITS.snapshotIntervalMs,
    maximum: MAX_INTERVAL_MS,
  },
  drillIntervalMs: { kind: 'integer', fallback: 0, maximum: MAX_INTERVAL_MS },
  drillDirectory: { kind: 'text', fallback: undefined },
  keepLast: { kind: 'integer', fallback: 3, maximum: 10_000 },
  keepDaily: { kind: 'integer', fallback: 7, maximum: 10_000 },
  keepWeekly: { kind: 'integer', fallback: 4, maximum: 10_000 },
  keepMaxAgeMs: { kind: 'integer', fallback: 0 },
  snapshotBytesPerSecond: { kind: 'integer', fallback: LIMITS.snapshotBytesPerSecond },
  takeOver: { kind: 'flag', fallback: false },
  acceptRollback: { kind: 'flag', fallback: false },
};

/**
 * Without a backup these have nothing to say: whoever gave one believes there is a backup. How S3 is
 * reached may stand in an environment for all commands.
 */
const NEEDS_BACKUP: readonly (keyof BackupSettings)[] = [
  'drillIntervalMs',
  'drillDirectory',
  'takeOver',
  'acceptRollback',
];

/** @throws `INVALID_SETTINGS` */
export function checkBackupSettings(
  settings: BackupSettings & { readonly memory: boolean; readonly dir: string | undefined },
): void {
  const { backup } = settings;
  if (backup === undefined) {
    const given = NEEDS_BACKUP.find((key) => settings[key] !== BACKUP_RULES[key].fallback);
    if (given !== undefined) throw invalid('says something about a backup: give one', given);
    return;
  }
  if (settings.memory) {
    // Its database is another one at every start: nothing could go on where it ended.
    throw invalid('cannot be combined with memory: what is only in memory has no backup', 'backup');
  }
  const location = parseObjectStoreLocation(backup);
  if (location.kind === 'folder') assertApart(settings.dir, location.directory, 'backup');
  assertApart(settings.dir, settings.drillDirectory, 'drillDirectory');
}

/** What is lost with the data is no backup, and what is in it is taken for data. */
function assertApart(dir: string | undefined, other: string | undefined, setting: string): void {
  if (dir === undefined || other === undefined || !isInside(dir, other)) return;
  throw invalid('must not be in the data directory', setting);
}

/** `path` is the folder, or below it. */
export function isInside(folder: string, path: string): boolean {
  const way = relative(resolve(folder), resolve(path));
  return way !== '..' && !way.startsWith(`..${sep}`);
}

function invalid(message: string, setting: string): HoldfastError {
  return new HoldfastError('INVALID_SETTINGS', `${message} setting=${setting}`, {
    details: { setting },
  });
}
