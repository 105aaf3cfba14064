/**
 * Numbers of the writes of one subkey: 0, 1, 2, ... to 2^53 - 2, so that a number and "none" fit one
 * safe integer. No clock is in them. A subkey that was never written has none: `undefined`, which
 * comes before all.
 */
import { HoldfastError } from '@holdfast/core';

declare const brand: unique symbol;
export type Sequence = number & { readonly [brand]: 'Sequence' };

export const FIRST_SEQUENCE: Sequence = 0 as Sequence;
export const LAST_SEQUENCE: Sequence = (Number.MAX_SAFE_INTEGER - 1) as Sequence;

export function isSequence(value: unknown): value is Sequence {
  return (
    Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= LAST_SEQUENCE
  );
}

export function sequence(value: number): Sequence {
  if (!isSequence(value)) throw new TypeError(`not a sequence number: ${value}`);
  return value;
}

/** Below 0, 0 or above, as `a` comes before, is, or comes after `b`. */
export function compareSequences(a: Sequence | undefined, b: Sequence | undefined): number {
  return (a ?? -1) - (b ?? -1);
}

/** Of the write that follows one with `last`. */
export function nextSequence(last: Sequence | undefined): Sequence {
  if (last === undefined) return FIRST_SEQUENCE;
  if (last === LAST_SEQUENCE) {
    throw new HoldfastError(
      'SEQUENCE_EXHAUSTED',
      `no number comes after this one sequence=${last}`,
    );
  }
  return (last + 1) as Sequence;
}
