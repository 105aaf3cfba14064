import { isHoldfastError, systemErrorCode } from '@holdfast/core';

const MENDABLE: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE']);

/** True for failures that space or handles given back can mend: the same work may be tried again. */
export function isSpaceError(error: unknown): boolean {
  const code = isHoldfastError(error) ? error.details['systemCode'] : systemErrorCode(error);
  return MENDABLE.has(code);
}
