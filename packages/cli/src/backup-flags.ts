/** Flags that have to do with keys and backups: of `serve`, and of commands that run without a node. */
import type { NodeSettings } from '@holdfast/node';
import type { SettingFlag } from './serve-settings.ts';

type BackupSetting =
  | 'keyFile'
  | 'keyCommand'
  | 'backup'
  | 'backupRegion'
  | 'backupEndpoint'
  | 'backupPathStyle'
  | 'backupPlainHttp'
  | 'archiveIntervalMs'
  | 'snapshotIntervalMs'
  | 'drillIntervalMs'
  | 'drillDirectory'
  | 'keepLast'
  | 'keepDaily'
  | 'keepWeekly'
  | 'keepMaxAgeMs'
  | 'snapshotBytesPerSecond'
  | 'takeOver'
  | 'acceptRollback';

export const BACKUP_SETTING_FLAGS: Readonly<
  Record<Extract<keyof NodeSettings, BackupSetting>, SettingFlag>
> = {
  keyFile: { kind: 'text', value: 'FILE', summary: 'encrypt all data with the keys in this file' },
  keyCommand: { kind: 'text', value: 'CMD', summary: 'the same with the keys that CMD prints' },
  backup: {
    kind: 'text',
    value: 'PLACE',
    summary: 'back up to s3://BUCKET/PREFIX or to a folder, all the time',
  },
  backupRegion: { kind: 'text', value: 'R', summary: 'region of the bucket' },
  backupEndpoint: { kind: 'text', value: 'URL', summary: 'of a store that is not Amazon S3' },
  backupPathStyle: { kind: 'flag', summary: 'put the bucket in the path, not in the host name' },
  backupPlainHttp: { kind: 'flag', summary: 'allow http to an endpoint on another machine' },
  archiveIntervalMs: {
    kind: 'integer',
    value: 'N',
    summary: 'the log is archived at least as often',
  },
  snapshotIntervalMs: {
    kind: 'integer',
    value: 'N',
    summary: 'between two snapshots; 0: none (default: a day)',
  },
  drillIntervalMs: {
    kind: 'integer',
    value: 'N',
    summary: 'between two restore drills; 0: none (the default)',
  },
  drillDirectory: {
    kind: 'text',
    value: 'DIR',
    summary: 'where drills restore to (default: beside the data directory)',
  },
  keepLast: { kind: 'integer', value: 'N', summary: 'snapshots that are kept: the newest' },
  keepDaily: { kind: 'integer', value: 'N', summary: 'the last one of as many days' },
  keepWeekly: { kind: 'integer', value: 'N', summary: 'the last one of as many weeks' },
  keepMaxAgeMs: { kind: 'integer', value: 'N', summary: 'older ones go in any case; 0: no bound' },
  snapshotBytesPerSecond: {
    kind: 'integer',
    value: 'N',
    summary: 'what a snapshot reads and sends; 0: no bound',
  },
  takeOver: { kind: 'flag', summary: 'take the backup over from the node that writes to it' },
  acceptRollback: { kind: 'flag', summary: 'go on with a backup that was set back' },
};
