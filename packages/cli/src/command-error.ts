/** An error as a person reads it: what happened, and the command that comes next. */
import { type ErrorCode, isHoldfastError } from '@holdfast/core';
import { EXIT, exitCodeOf, type ExitCode } from './exit-codes.ts';

export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: ExitCode;
  readonly code: string;
  /** What to do about it; one line. */
  readonly hint: string | undefined;

  constructor(
    exitCode: ExitCode,
    code: string,
    message: string,
    options: { hint?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.exitCode = exitCode;
    this.code = code;
    this.hint = options.hint;
  }
}

export function usageError(message: string, hint?: string): CommandError {
  return new CommandError(EXIT.usage, 'USAGE', message, { hint });
}

/** Whatever was thrown, as a `CommandError`. */
export function asCommandError(error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  if (isHoldfastError(error)) {
    return new CommandError(exitCodeOf(error.code), error.code, error.message, {
      hint: hintOf(error.code),
      cause: error,
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new CommandError(EXIT.failure, 'FAILURE', message, { cause: error });
}

/** What to do about a code, wherever it came from. */
export function hintOf(code: string): string | undefined {
  return Object.hasOwn(HINTS, code) ? HINTS[code as ErrorCode] : undefined;
}

const HINTS: Partial<Record<ErrorCode, string>> = {
  DIRECTORY_LOCKED: 'another holdfast has this directory open: stop it, or name another directory',
  CHECKSUM_MISMATCH: 'run "holdfast verify DIR" to see what is damaged, and restore it from a copy',
  FORMAT_INVALID: 'run "holdfast verify DIR" to see what is damaged, and restore it from a copy',
  FORMAT_UNSUPPORTED: 'this directory was written by a newer holdfast: use that version',
  FILE_MISSING: 'put the missing file back from a copy; nothing was changed',
  LSN_GAP: 'put the missing log segment back from a copy; nothing was changed',
  DISK_FULL: 'make room on the disk, then run the command again',
  ADMIN_REFUSED:
    'run it on the machine of the node, with its address like --url http://127.0.0.1:4437',
  TIERS_NOT_CONFIGURED:
    'see "holdfast tier status"; tiers are given with: holdfast serve --tiers FILE',
  TIER_MISMATCH: 'see "holdfast tier status STORE", which says what to do',
  TIER_RULES_CHANGED: 'see "holdfast tier status STORE", which says what to do',
  TIER_BUSY: 'see "holdfast tier status"; try again when that is done',
  BACKUP_NOT_CONFIGURED: 'start the node with a backup: holdfast serve DIR --backup PLACE',
  ACCESS_DENIED: 'see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, what they may do, and the clock',
  KEY_REQUIRED: 'give its key with --key-file FILE, --key-command CMD or HOLDFAST_KEY',
  KEY_WRONG: 'give the key that it was encrypted with; nothing was changed',
  KEY_MISSING: 'give the older key too: a key file may hold several, the active one first',
  KEY_NOT_EXPECTED: 'leave the key away, or restore a backup of it into a new directory with a key',
  KEY_IN_USE: 'see "holdfast key status": rotate first, and wait until nothing is left under it',
  WRITER_FENCED:
    'another node writes to this backup now: stop one of them, or restore into a new directory',
  ARCHIVE_AHEAD:
    'this directory is older than its backup: restore that, or give up what only it has with --take-over',
  ARCHIVE_DIVERGED:
    'two copies of one directory were written: restore, or serve the right one with --take-over',
  REPOSITORY_ROLLED_BACK: 'see that it is the right place; if it is meant, say --accept-rollback',
  RESTORE_TARGET_UNREACHABLE:
    'see "holdfast snapshot ls --from PLACE", and choose within the range',
  RESTORE_GAP: 'choose the LSN before the gap with --to, or a later snapshot with --snapshot',
  REPOSITORY_NOT_FOUND: 'check the place; --repository ID chooses where there are several',
  REPOSITORY_BUSY: 'wait until the other is done, then run the command again',
  RESTORE_TARGET_NOT_EMPTY: 'name a directory that is not there yet; nothing was changed',
  SNAPSHOT_NOT_FOUND: 'see "holdfast snapshot ls"',
};
