/** Gives the operating system's errors their meaning for immutable files. */
import { HoldfastError, systemErrorCode } from '@holdfast/core';

/**
 * The typed error for a failed call on `path`; anything that is not a system error is
 * returned as it is. The effect is `none`: a file that no manifest names does not exist.
 */
export function storageError(error: unknown, doing: string, path: string): unknown {
  const code = systemErrorCode(error);
  if (code === undefined) return error;
  const options = { cause: error, details: { path, systemCode: code } };
  if (code === 'ENOENT') {
    return new HoldfastError('FILE_MISSING', `file is not there path=${path}`, options);
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new HoldfastError('DISK_FULL', `no space left while ${doing} path=${path}`, options);
  }
  return new HoldfastError('STORAGE_UNAVAILABLE', `${doing} failed path=${path}`, options);
}

/** Damage that no single block explains: a wrong size, a footer that contradicts the manifest. */
export function damaged(path: string, position: number, what: string): HoldfastError {
  return new HoldfastError(
    'CHECKSUM_MISMATCH',
    `file is damaged: ${what} path=${path} position=${position}`,
    { details: { path, position } },
  );
}
