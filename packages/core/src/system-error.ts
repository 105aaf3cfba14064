/**
 * Errors shaped like those of the operating system, for file systems that are not the
 * operating system. Product code reads them back with `systemErrorCode`.
 */

/** @param code as in errno(3): `ENOENT`, `EIO`, ... */
export function systemError(code: string, operation: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${operation} path=${path}`), {
    code,
    syscall: operation,
    path,
  });
}
