/** The errors that every backend has to tell apart in the same way. */
import { HoldfastError, type Effect, type ErrorOptions } from '@holdfast/core';

export function objectNotFound(key: string, options: ErrorOptions = {}): HoldfastError {
  return new HoldfastError('OBJECT_NOT_FOUND', `there is no such object key=${key}`, options);
}

/** @param found what is there instead: `undefined` for nothing. */
export function preconditionFailed(
  key: string,
  condition: Condition,
  options: ErrorOptions = {},
): HoldfastError {
  const message =
    condition === 'ifAbsent'
      ? `there is an object of this key key=${key}`
      : `the object is not the expected one key=${key}`;
  return new HoldfastError('PRECONDITION_FAILED', message, options);
}

export type Condition = 'ifAbsent' | 'ifMatch';

export function invalidRange(key: string, offset: number, size?: number): HoldfastError {
  const of = size === undefined ? '' : ` size=${size}`;
  return new HoldfastError(
    'INVALID_RANGE',
    `the range begins behind the end of the object key=${key} offset=${offset}${of}`,
  );
}

export function unavailable(message: string, options: ErrorOptions = {}): HoldfastError {
  return new HoldfastError('STORAGE_UNAVAILABLE', message, options);
}

export function unsupported(message: string, options: ErrorOptions = {}): HoldfastError {
  return new HoldfastError('OBJECT_STORE_UNSUPPORTED', message, options);
}

export function shortBody(key: string, got: number, wanted: number): HoldfastError {
  return unavailable(`the body ended early key=${key} bytes=${got} expected=${wanted}`);
}

/** The error of a call that its signal ended; `signal.reason` is one of `OpenCalls`. */
export function endedError(signal: AbortSignal, effect: Effect): HoldfastError {
  const reason = signal.reason as HoldfastError;
  return new HoldfastError(reason.code, reason.message, { effect, cause: reason.cause });
}

export function throwIfEnded(signal: AbortSignal, effect: Effect = 'none'): void {
  if (signal.aborted) throw endedError(signal, effect);
}

/** `promise`, or the end of the signal, whichever is first: what is waited for may never come. */
export function unlessEnded<Result>(
  signal: AbortSignal,
  promise: Promise<Result>,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(endedError(signal, 'none'));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
