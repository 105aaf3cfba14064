/** How many long-polls and SSE connections there are, and how many there may be. */
import { HoldfastError } from '@holdfast/core';

export class LiveReaders {
  readonly #max: number;
  #count = 0;
  #draining = false;

  constructor(max: number) {
    this.#max = max;
  }

  get count(): number {
    return this.#count;
  }

  /** Counts one in, to be counted out by `leave`. Throws `TOO_MANY_READERS`, `DRAINING`. */
  enter(): void {
    if (this.#draining) throw new HoldfastError('DRAINING', 'the node is shutting down');
    if (this.#count >= this.#max) {
      throw new HoldfastError('TOO_MANY_READERS', `too many live readers limit=${this.#max}`);
    }
    this.#count++;
  }

  leave(): void {
    this.#count--;
  }

  /** Nobody comes in any more. */
  drain(): void {
    this.#draining = true;
  }
}
