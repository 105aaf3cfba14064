/** The errors that every backend has to tell apart in the same way. */
import { type Effect, HoldfastError } from '@holdfast/core';

export function closedError(): HoldfastError {
  return new HoldfastError('CLOSED', 'the store is closed');
}

export function abortedError(signal: AbortSignal, effect: Effect = 'none'): HoldfastError {
  const cause: unknown = signal.reason;
  return new HoldfastError('ABORTED', 'the call was ended by its signal', { effect, cause });
}

export function unsupported(what: string): HoldfastError {
  return new HoldfastError('KV_UNSUPPORTED', `the store does not do this: ${what}`);
}

/** @param found version of the entry that is there; `undefined`: there is none. */
export function preconditionFailed(found: number | undefined): HoldfastError {
  const message =
    found === undefined
      ? 'there is no entry of this key'
      : `the entry is not the expected one version=${found}`;
  return new HoldfastError('PRECONDITION_FAILED', message, {
    details: found === undefined ? {} : { version: found },
  });
}

export function tooLarge(what: string, count: number, limit: number): HoldfastError {
  return new HoldfastError('RECORD_TOO_LARGE', `${what} is too large got=${count} limit=${limit}`);
}
