/** Gives the operating system's errors their meaning for files that hold objects. */
import { type Effect, HoldfastError, systemErrorCode } from '@holdfast/core';

/**
 * The typed error for a failed call; anything that is not a system error is returned as it is.
 * That a file is not there is not said here: only who asked for an object knows what it means.
 */
export function fileError(error: unknown, doing: string, path: string, effect: Effect): unknown {
  const systemCode = systemErrorCode(error);
  if (systemCode === undefined) return error;
  const options = { cause: error, effect, details: { path, systemCode } };
  if (systemCode === 'ENOSPC' || systemCode === 'EDQUOT') {
    return new HoldfastError('DISK_FULL', `no space left while ${doing} path=${path}`, options);
  }
  if (systemCode === 'EACCES' || systemCode === 'EPERM' || systemCode === 'EROFS') {
    return new HoldfastError('ACCESS_DENIED', `${doing} is not allowed path=${path}`, options);
  }
  return new HoldfastError('STORAGE_UNAVAILABLE', `${doing} failed path=${path}`, options);
}
