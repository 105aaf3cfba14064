/** What errors of Redis mean here. An error reply is an answer: nothing of the call happened. */
import { type Effect, HoldfastError, isHoldfastError } from '@holdfast/core';

const REFUSED = /^(NOAUTH|WRONGPASS|NOPERM)/;
const FULL = /^OOM/;
/** Of the driver: the command was not sent. */
const NOT_SENT = /isn't writeable/;

/** @param effect of a call that got no answer. */
export function redisError(cause: unknown, effect: Effect): HoldfastError {
  if (isHoldfastError(cause)) return cause;
  const { name, message } = cause instanceof Error ? cause : new Error(String(cause));
  if (name !== 'ReplyError') {
    const known = NOT_SENT.test(message) ? 'none' : effect;
    const options = { cause, effect: known };
    return new HoldfastError('STORAGE_UNAVAILABLE', 'the connection to Redis failed', options);
  }
  if (REFUSED.test(message)) {
    return new HoldfastError('ACCESS_DENIED', 'Redis refuses the user', { cause });
  }
  if (FULL.test(message)) {
    return new HoldfastError('DISK_FULL', 'the memory of Redis is full', { cause });
  }
  const [reply = ''] = message.split(' ', 1);
  return new HoldfastError('STORAGE_UNAVAILABLE', `Redis refused a call reply=${reply}`, { cause });
}
