/**
 * Commits on their way to durability, and answers that wait for them.
 *
 * Invariants
 * 1. A stream's planned view lives exactly as long as commits that touch it are in flight.
 * 2. An answer that rests on planned state (a duplicate, a conflict) is given once that state
 *    is durable; if it was refused instead, the question is asked again.
 */
import type { HoldfastError } from '@holdfast/core';
import type { OperationSink } from '@holdfast/database';
import type { Flight, Stream } from './stream.ts';

/** The streams with commits in flight. Owned by the engine. */
export class InFlight {
  readonly #streams = new Set<Stream>();

  begin(commit: StreamCommit): void {
    for (const stream of commit.streams) {
      stream.inFlight++;
      stream.lastCommit = commit;
      this.#streams.add(stream);
    }
  }

  end(commit: StreamCommit): void {
    for (const stream of commit.streams) {
      if (--stream.inFlight > 0) continue;
      stream.discardPlanned();
      this.#streams.delete(stream);
    }
  }

  /** Nothing in flight will happen: planned falls back to applied. */
  discard(): Stream[] {
    const discarded = [...this.#streams];
    for (const stream of discarded) stream.discardPlanned();
    this.#streams.clear();
    return discarded;
  }
}

export class StreamCommit implements OperationSink, Flight {
  /** Every stream whose planned view it changed. */
  readonly streams: readonly Stream[];
  readonly #inFlight: InFlight;
  readonly #onVisible: () => void;
  readonly #onFailed: (error: HoldfastError) => void;
  #parked: ((error: HoldfastError | undefined) => void)[] | undefined;

  constructor(
    inFlight: InFlight,
    streams: readonly Stream[],
    onVisible: () => void,
    onFailed: (error: HoldfastError) => void,
  ) {
    this.#inFlight = inFlight;
    this.streams = streams;
    this.#onVisible = onVisible;
    this.#onFailed = onFailed;
  }

  /** Calls back once this commit is visible (`undefined`) or has failed. Must not throw. */
  park(after: (error: HoldfastError | undefined) => void): void {
    (this.#parked ??= []).push(after);
  }

  visible(): void {
    this.#inFlight.end(this);
    this.#onVisible();
    this.#release(undefined);
  }

  /** With effect `none` planned state was discarded before; otherwise nothing is planned again. */
  failed(error: HoldfastError): void {
    this.#onFailed(error);
    this.#release(error);
  }

  #release(error: HoldfastError | undefined): void {
    const parked = this.#parked;
    this.#parked = undefined;
    if (parked !== undefined) for (const after of parked) after(error);
  }
}

/** What a plan came to. */
export type Attempt<T> =
  /** On its way: the commit settles the promise. */
  | { readonly kind: 'committed' }
  /** Nothing to commit; given once what it rests on is durable. */
  | { readonly kind: 'answer'; readonly value: () => T; readonly restsOn: readonly Flight[] }
  /** To be planned again after this (bytes had to be read, or a creation is in flight). */
  | { readonly kind: 'again'; readonly after: Promise<unknown> };

/** Calls back once all have ended: with the first failure, if there was one. */
export function parkOnAll(
  flights: readonly Flight[],
  after: (error: HoldfastError | undefined) => void,
): void {
  let left = flights.length;
  let failure: HoldfastError | undefined;
  const ended = (error: HoldfastError | undefined): void => {
    failure ??= error;
    if (--left === 0) after(failure);
  };
  for (const flight of flights) flight.park(ended);
}

/** The newest commits on their way of these streams. */
export function flightsOf(...streams: readonly (Stream | undefined)[]): Flight[] {
  const flights: Flight[] = [];
  for (const stream of streams) {
    if (stream?.lastCommit !== undefined) flights.push(stream.lastCommit);
  }
  return flights;
}
