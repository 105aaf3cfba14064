/** What errors of NATS mean here. An error of its API is an answer; everything else is none. */
import { type Effect, HoldfastError, isHoldfastError } from '@holdfast/core';

const WRONG_SEQUENCE = 10071;
/** Resources, bytes of the stream, storage. */
const FULL: readonly unknown[] = [10023, 10047, 10077];

export function isWrongSequence(error: unknown): boolean {
  return codeOf(error) === WRONG_SEQUENCE;
}

/** @param effect of a call that got no answer. */
export function natsError(cause: unknown, effect: Effect): HoldfastError {
  if (isHoldfastError(cause)) return cause;
  const code = codeOf(cause);
  if (code === undefined) {
    return new HoldfastError('STORAGE_UNAVAILABLE', 'NATS does not answer', { cause, effect });
  }
  if (FULL.includes(code)) return new HoldfastError('DISK_FULL', 'the bucket is full', { cause });
  const message = `NATS refused a call code=${code}`;
  return new HoldfastError('STORAGE_UNAVAILABLE', message, { cause });
}

function codeOf(error: unknown): number | undefined {
  // The driver rejects with nothing at all where it loses its connection.
  if (!(error instanceof Error)) return undefined;
  const { name, code } = error as Error & { readonly code?: unknown };
  return name === 'JetStreamApiError' && typeof code === 'number' ? code : undefined;
}
