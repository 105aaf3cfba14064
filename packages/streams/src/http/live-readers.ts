/** How many long-polls and SSE connections there are, and how many there may be. */
import type { IncomingMessage } from 'node:http';
import { HoldfastError } from '@holdfast/core';

/** Whoever serves the protocol may know who sends a request, and how many readers that one has. */
export interface ReaderAdmission {
  /** Throws `CLIENT_QUOTA_EXCEEDED`. */
  enter(request: IncomingMessage): void;
  /** Once for each that came in. */
  leave(request: IncomingMessage): void;
}

export class LiveReaders {
  readonly #max: number;
  readonly #admission: ReaderAdmission | undefined;
  #count = 0;
  #draining = false;

  constructor(max: number, admission?: ReaderAdmission) {
    this.#max = max;
    this.#admission = admission;
  }

  get count(): number {
    return this.#count;
  }

  /** Counts one in, to be counted out by `leave`. Throws `TOO_MANY_READERS`, `DRAINING`. */
  enter(request: IncomingMessage): void {
    if (this.#draining) throw new HoldfastError('DRAINING', 'the node is shutting down');
    if (this.#count >= this.#max) {
      throw new HoldfastError('TOO_MANY_READERS', `too many live readers limit=${this.#max}`);
    }
    this.#admission?.enter(request);
    this.#count++;
  }

  leave(request: IncomingMessage): void {
    this.#admission?.leave(request);
    this.#count--;
  }

  /** Nobody comes in any more. */
  drain(): void {
    this.#draining = true;
  }
}
