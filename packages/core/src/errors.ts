/**
 * The one error class of Holdfast. Match on `code`, never on the message, and not only by
 * `instanceof`: two copies of a package may be loaded (`isHoldfastError`).
 *
 * Wrong arguments from TypeScript callers are plain `TypeError`s, not these.
 *
 * Whoever wants to count them subscribes to the diagnostics channel `holdfast:error`: it gets
 * each error as it is made, in the turn in which it is made, before anybody caught it. An error
 * that is made is not yet one that a client saw.
 */
import { channel } from 'node:diagnostics_channel';
import { ERROR_CODES, type ErrorCode, type ErrorKind } from './error-codes.ts';

/**
 * Whether a failed write may have happened: `none` is certain that nothing changed;
 * `unknown` means that only reading back can tell.
 */
export type Effect = 'none' | 'unknown';

export interface ErrorOptions {
  effect?: Effect;
  cause?: unknown;
  /** Facts for programs: offsets, expected values. Never secrets, never user bytes. */
  details?: Readonly<Record<string, string | number | boolean>>;
}

/** Of `node:diagnostics_channel`; each message is the `HoldfastError` that was made. */
export const ERROR_CHANNEL = 'holdfast:error';

const made = channel(ERROR_CHANNEL);

export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly effect: Effect;
  readonly details: Readonly<Record<string, string | number | boolean>>;

  /** @param message lowercase, values last as `key=value`; the cause is not repeated. */
  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.kind = ERROR_CODES[code];
    this.effect = options.effect ?? 'none';
    this.details = options.details ?? {};
    if (made.hasSubscribers) made.publish(this);
  }

  /** The same request may succeed later without a change. */
  get retryable(): boolean {
    return this.kind === 'unavailable' || this.code === 'DISK_FULL';
  }
}

export function isHoldfastError(value: unknown): value is HoldfastError {
  return (
    value instanceof Error &&
    value.name === 'HoldfastError' &&
    'code' in value &&
    typeof value.code === 'string' &&
    Object.hasOwn(ERROR_CODES, value.code)
  );
}

export function hasCode(value: unknown, code: ErrorCode): value is HoldfastError {
  return isHoldfastError(value) && value.code === code;
}

/** An assertion that stays on in production. A failure is a bug in Holdfast. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new HoldfastError('INVARIANT_VIOLATED', message, { effect: 'unknown' });
}

/** The `code` of a Node.js system error (`ENOSPC`, `EIO`, ...), if it is one. */
export function systemErrorCode(value: unknown): string | undefined {
  if (!(value instanceof Error)) return undefined;
  const code = (value as { code?: unknown }).code;
  return typeof code === 'string' && !Object.hasOwn(ERROR_CODES, code) ? code : undefined;
}
