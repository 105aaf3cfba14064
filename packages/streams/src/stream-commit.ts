/**
 * Commits on their way to durability, and answers that wait for them.
 *
 * Invariants
 * 1. A stream's planned view lives exactly as long as commits that touch it are in flight.
 * 2. An answer that rests on planned state (a duplicate, a conflict) parks on its flights.
 */
import type { HoldfastError } from '@holdfast/core';
import { Flight, type OperationSink } from '@holdfast/database';
import type { Stream } from './stream.ts';

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

export class StreamCommit extends Flight implements OperationSink {
  /** Every stream whose planned view it changed. */
  readonly streams: readonly Stream[];
  readonly #inFlight: InFlight;
  readonly #onVisible: () => void;
  readonly #onFailed: (error: HoldfastError) => void;

  constructor(
    inFlight: InFlight,
    streams: readonly Stream[],
    onVisible: () => void,
    onFailed: (error: HoldfastError) => void,
  ) {
    super();
    this.#inFlight = inFlight;
    this.streams = streams;
    this.#onVisible = onVisible;
    this.#onFailed = onFailed;
  }

  visible(): void {
    this.#inFlight.end(this);
    this.#onVisible();
    this.ended();
  }

  /** With effect `none` planned state was discarded before; otherwise nothing is planned again. */
  failed(error: HoldfastError): void {
    this.#onFailed(error);
    this.ended(error);
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

/** The newest commits on their way of these streams. */
export function flightsOf(...streams: readonly (Stream | undefined)[]): Flight[] {
  const flights: Flight[] = [];
  for (const stream of streams) {
    if (stream?.lastCommit !== undefined) flights.push(stream.lastCommit);
  }
  return flights;
}
