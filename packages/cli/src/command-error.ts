/** An error as a person reads it: what happened, and the command that comes next. */
import { isHoldfastError } from '@holdfast/core';
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
      hint: HINTS[error.code],
      cause: error,
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new CommandError(EXIT.failure, 'FAILURE', message, { cause: error });
}

const HINTS: Partial<Record<string, string>> = {
  DIRECTORY_LOCKED: 'another holdfast has this directory open: stop it, or name another directory',
  CHECKSUM_MISMATCH: 'run "holdfast verify DIR" to see what is damaged, and restore it from a copy',
  FORMAT_INVALID: 'run "holdfast verify DIR" to see what is damaged, and restore it from a copy',
  FORMAT_UNSUPPORTED: 'this directory was written by a newer holdfast: use that version',
  FILE_MISSING: 'put the missing file back from a copy; nothing was changed',
  LSN_GAP: 'put the missing log segment back from a copy; nothing was changed',
  DISK_FULL: 'make room on the disk, then run the command again',
};
