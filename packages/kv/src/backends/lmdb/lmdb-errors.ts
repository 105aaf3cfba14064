/** What LMDB's errors mean here: it tells them by a number, or only by their message. */
import { HoldfastError, isHoldfastError, systemErrorCode } from '@holdfast/core';

const DAMAGE = /MDB_(CORRUPTED|PAGE_NOTFOUND|INVALID|PANIC|BAD_TXN)/;
const FULL = /MDB_MAP_FULL|no space left/i;

export function lmdbError(cause: unknown): HoldfastError {
  if (isHoldfastError(cause)) return cause;
  const text = String(cause);
  if (DAMAGE.test(text)) {
    return new HoldfastError('CHECKSUM_MISMATCH', 'the file of LMDB is damaged', { cause });
  }
  if (FULL.test(text) || systemErrorCode(cause) === 'ENOSPC') {
    return new HoldfastError('DISK_FULL', 'the disk of the store is full', { cause });
  }
  const options = { cause, effect: 'unknown' as const };
  return new HoldfastError('STORAGE_UNAVAILABLE', 'a call of LMDB failed', options);
}
