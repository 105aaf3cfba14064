/** What SQLite's errors mean here. Every one of them was rolled back, unless the disk failed. */
import { HoldfastError, isHoldfastError } from '@holdfast/core';

/** Primary result codes; the extended ones have them in their low byte. */
const BUSY = 5;
const LOCKED = 6;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const NOT_A_DATABASE = 26;
const NAMES: Readonly<Record<string, number>> = {
  SQLITE_BUSY: BUSY,
  SQLITE_LOCKED: LOCKED,
  SQLITE_IOERR: IOERR,
  SQLITE_CORRUPT: CORRUPT,
  SQLITE_FULL: FULL,
  SQLITE_NOTADB: NOT_A_DATABASE,
};

export function sqliteError(cause: unknown): HoldfastError {
  if (isHoldfastError(cause)) return cause;
  switch (resultOf(cause)) {
    case FULL:
      return new HoldfastError('DISK_FULL', 'the disk of the database is full', { cause });
    case CORRUPT:
    case NOT_A_DATABASE:
      return new HoldfastError('CHECKSUM_MISMATCH', 'the database is damaged', { cause });
    case BUSY:
    case LOCKED:
      return new HoldfastError('DIRECTORY_LOCKED', 'another process has the database open', {
        cause,
      });
    default: {
      const options = { cause, effect: 'unknown' as const };
      return new HoldfastError('STORAGE_UNAVAILABLE', 'a call of SQLite failed', options);
    }
  }
}

/** `better-sqlite3` tells a name, `node:sqlite` a number. */
function resultOf(error: unknown): number | undefined {
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: unknown };
  if (typeof errcode === 'number') return errcode & 0xff;
  if (typeof code !== 'string') return undefined;
  const name = Object.keys(NAMES).find((each) => code === each || code.startsWith(`${each}_`));
  return name === undefined ? undefined : NAMES[name];
}
