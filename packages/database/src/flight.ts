/**
 * A commit on its way, for those whose answer rests on it: a duplicate, a conflict, a condition that
 * failed is told once what it saw is durable; if that was refused instead, the question is asked
 * again.
 *
 * Invariants
 * 1. Whoever parks is called back once, in the turn in which the commit ends.
 * 2. A commit of unknown effect stays what others' questions rest on: whoever parks later is called
 *    back at once.
 *
 * A commit extends it.
 */
import type { HoldfastError } from '@holdfast/core';

/** Hears `undefined` when the commit is visible. Must not throw. */
export type AfterFlight = (error: HoldfastError | undefined) => void;

export abstract class Flight {
  #parked: AfterFlight[] | undefined;
  /** I2. */
  #failure: HoldfastError | undefined;

  park(after: AfterFlight): void {
    if (this.#failure === undefined) (this.#parked ??= []).push(after);
    else after(this.#failure);
  }

  /** For the commit itself. @param error absent when it is visible. */
  ended(error?: HoldfastError): void {
    if (error?.effect === 'unknown') this.#failure = error;
    const parked = this.#parked;
    this.#parked = undefined;
    if (parked !== undefined) for (const after of parked) after(error);
  }
}

/** Calls back once all have ended: with the first failure, if there was one. */
export function parkOnAll(flights: readonly Flight[], after: AfterFlight): void {
  let left = flights.length;
  let failure: HoldfastError | undefined;
  const ended: AfterFlight = (error) => {
    failure ??= error;
    if (--left === 0) after(failure);
  };
  for (const flight of flights) flight.park(ended);
}
