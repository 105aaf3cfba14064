/**
 * A commit of entries on its way, and answers that rest on it: a condition that failed, or nothing
 * to delete, is told once what it saw is durable; if that was refused instead, it is decided again.
 */
import type { HoldfastError } from '@holdfast/core';
import type { OperationSink } from '@holdfast/database';
import type { KeyState } from './key-state.ts';

export interface KvFlight {
  /** Calls back once the commit is visible (`undefined`) or has failed. Must not throw. */
  park(after: (error: HoldfastError | undefined) => void): void;
}

export class KvCommit implements OperationSink, KvFlight {
  readonly states: readonly KeyState[];
  readonly #landed: (commit: KvCommit) => void;
  readonly #onVisible: () => void;
  readonly #onFailed: (error: HoldfastError) => void;
  #parked: ((error: HoldfastError | undefined) => void)[] | undefined;
  /** Of unknown effect: what it planned stays planned, and so does the question. */
  #failure: HoldfastError | undefined;

  constructor(
    states: readonly KeyState[],
    landed: (commit: KvCommit) => void,
    onVisible: () => void,
    onFailed: (error: HoldfastError) => void,
  ) {
    this.states = states;
    this.#landed = landed;
    this.#onVisible = onVisible;
    this.#onFailed = onFailed;
  }

  park(after: (error: HoldfastError | undefined) => void): void {
    if (this.#failure === undefined) (this.#parked ??= []).push(after);
    else after(this.#failure);
  }

  visible(): void {
    this.#landed(this);
    this.#onVisible();
    this.#release(undefined);
  }

  /** With effect `none` planned state was discarded before; otherwise nothing is planned again. */
  failed(error: HoldfastError): void {
    if (error.effect === 'unknown') this.#failure = error;
    this.#onFailed(error);
    this.#release(error);
  }

  #release(error: HoldfastError | undefined): void {
    const parked = this.#parked;
    this.#parked = undefined;
    for (const after of parked ?? []) after(error);
  }
}

/** Calls back once all have ended: with the first failure, if there was one. */
export function parkOnAll(
  flights: ReadonlySet<KvFlight>,
  after: (error: HoldfastError | undefined) => void,
): void {
  let left = flights.size;
  let failure: HoldfastError | undefined;
  for (const flight of flights) {
    flight.park((error) => {
      failure ??= error;
      left--;
      if (left === 0) after(failure);
    });
  }
}
