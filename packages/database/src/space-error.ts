/** True for system errors that space or handles given back can mend. */
export function isSpaceError(code: string | undefined): boolean {
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EMFILE' || code === 'ENFILE';
}
