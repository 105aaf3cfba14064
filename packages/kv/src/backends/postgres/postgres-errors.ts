/**
 * What errors of Postgres mean here. An error with a SQLSTATE is an answer: the statement was rolled
 * back. Without one, and where the server says that it ends, the answer is missing.
 */
import { type Effect, HoldfastError, isHoldfastError } from '@holdfast/core';

const SQLSTATE = /^[0-9A-Z]{5}$/;
/** The connection or the server ended: 08 connection exception, 57P operator intervention. */
const ENDED = /^(08|57P)/;
const REFUSED = /^(28|42501)/;
const FULL = /^53100$/;
const DAMAGED = /^XX00[12]$/;
const MISSING_TABLE = '42P01';

/** @param effect of a statement that got no answer. */
export function postgresError(cause: unknown, effect: Effect): HoldfastError {
  if (isHoldfastError(cause)) return cause;
  const state = stateOf(cause);
  if (state === undefined || ENDED.test(state)) {
    const options = { cause, effect };
    return new HoldfastError('STORAGE_UNAVAILABLE', 'the connection to Postgres failed', options);
  }
  if (REFUSED.test(state)) {
    return new HoldfastError('ACCESS_DENIED', 'Postgres refuses the user', { cause });
  }
  if (FULL.test(state)) {
    return new HoldfastError('DISK_FULL', 'the disk of Postgres is full', { cause });
  }
  if (DAMAGED.test(state)) {
    return new HoldfastError('CHECKSUM_MISMATCH', 'the data of Postgres is damaged', { cause });
  }
  if (state === MISSING_TABLE) {
    return new HoldfastError('FILE_MISSING', 'the tables of the store are not there', { cause });
  }
  const message = `Postgres refused a statement state=${state}`;
  return new HoldfastError('STORAGE_UNAVAILABLE', message, { cause });
}

function stateOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('severity' in error)) return undefined;
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' && SQLSTATE.test(code) ? code : undefined;
}
