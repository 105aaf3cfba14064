/** Flags of commands that reach a backup, or open a directory, without a node: the same as of `serve`. */
import type { BackupAccess, KeySourceSettings } from '@holdfast/node';
import { BACKUP_SETTING_FLAGS } from '../backup-flags.ts';
import type { CommandCall, Flag } from '../command.ts';
import { keyFromEnvironment, readSettings, settingFlags } from '../serve-settings.ts';

const { keyFile, keyCommand } = BACKUP_SETTING_FLAGS;
const { backupRegion, backupEndpoint, backupPathStyle, backupPlainHttp } = BACKUP_SETTING_FLAGS;
const KEYS = { keyFile, keyCommand };
const ACCESS = { backupRegion, backupEndpoint, backupPathStyle, backupPlainHttp };

export const KEY_FLAGS: Readonly<Record<string, Flag>> = settingFlags({
  keyFile: { ...keyFile, summary: 'the keys of what is encrypted' },
  keyCommand: { ...keyCommand, summary: 'the same, printed by CMD' },
});

export const PLACE_FLAGS: Readonly<Record<string, Flag>> = {
  repository: {
    type: 'string',
    value: 'ID',
    summary: 'of the database, where the place holds several',
  },
  ...settingFlags(ACCESS),
  ...KEY_FLAGS,
};

/** Where the keys are, as `serve` would be told. */
export function keySettings(call: CommandCall): KeySourceSettings {
  const key = keyFromEnvironment(call);
  return { ...readSettings(call, KEYS), ...(key === undefined ? {} : { key }) };
}

/** @param place of the backup. */
export function backupAccess(call: CommandCall, place: string): BackupAccess {
  const repositoryId = call.values.text('repository');
  return {
    ...readSettings(call, ACCESS),
    ...keySettings(call),
    backup: place,
    ...(repositoryId === undefined ? {} : { repositoryId }),
  };
}
