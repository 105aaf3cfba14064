/** What a failed call on a file means for the work it was part of. */
import { type HoldfastError, isHoldfastError, systemErrorCode } from '@holdfast/core';

const MENDABLE: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE']);

/** True for failures that space or handles given back can mend: the same work may be tried again. */
export function isSpaceError(error: unknown): boolean {
  if (!isHoldfastError(error)) return MENDABLE.has(systemErrorCode(error));
  return error.code === 'DISK_FULL' || MENDABLE.has(error.details['systemCode']);
}

/** True when a file could not be read as it was written: it is damaged, gone, or its disk fails. */
export function isUnreadable(error: unknown): error is HoldfastError {
  if (!isHoldfastError(error) || isSpaceError(error)) return false;
  return error.kind === 'corrupt' || error.kind === 'unavailable';
}
