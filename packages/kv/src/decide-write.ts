/**
 * What one operation comes to on the entry that is there: the rules 9, 10 and 13 of the contract,
 * the same for every backend that decides by itself.
 */
import type { HoldfastError } from '@holdfast/core';
import { preconditionFailed } from './kv-errors.ts';
import type { KvWrite } from './kv-backend.ts';

/** What is known of an entry beside its key and value. */
export interface EntryFacts {
  readonly seq: number;
  readonly version: number;
  readonly epoch: number;
  readonly expiresAtMs: number | undefined;
}

export type Decision =
  | { readonly kind: 'put'; readonly entry: EntryFacts }
  | { readonly kind: 'del'; readonly before: EntryFacts }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'refused'; readonly error: HoldfastError };

const NOTHING: Decision = { kind: 'nothing' };

/**
 * @param there what is stored, past its expiry or not.
 * @param next the number of this change, above all versions there are.
 */
export function decideWrite(
  write: KvWrite,
  there: EntryFacts | undefined,
  next: number,
  nowMs: number,
): Decision {
  if (write.type === 'expire') {
    return there !== undefined && isExpired(there, nowMs)
      ? { kind: 'del', before: there }
      : NOTHING;
  }
  const current = there === undefined || isExpired(there, nowMs) ? undefined : there;
  const { ifVersion } = write;
  if (ifVersion !== undefined && current?.version !== ifVersion) {
    return { kind: 'refused', error: preconditionFailed(current?.version) };
  }
  if (write.type === 'del') {
    // What is past its expiry goes too, unseen: nobody is told that there was something.
    return current === undefined ? NOTHING : { kind: 'del', before: current };
  }
  if (write.ifAbsent && current !== undefined) {
    return { kind: 'refused', error: preconditionFailed(current.version) };
  }
  const { expiresAtMs, stamp } = write;
  if (stamp !== undefined) {
    if (there !== undefined && there.version >= stamp.version) return NOTHING;
    return { kind: 'put', entry: { ...stamp, expiresAtMs } };
  }
  const seq = current?.seq ?? next;
  return { kind: 'put', entry: { seq, version: next, epoch: 0, expiresAtMs } };
}

export function isExpired(
  entry: { readonly expiresAtMs: number | undefined },
  nowMs: number,
): boolean {
  return entry.expiresAtMs !== undefined && entry.expiresAtMs <= nowMs;
}
