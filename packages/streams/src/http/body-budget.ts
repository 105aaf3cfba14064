/**
 * How many bytes of request bodies may be in memory before their requests are whole, over all
 * connections: many slow uploads together must not take what one alone may.
 */
import { HoldfastError } from '@holdfast/core';

export class BodyBudget {
  readonly #max: number;
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get taken(): number {
    return this.#taken;
  }

  /** To be given back by `give`. Throws `BODY_MEMORY_FULL`. */
  take(bytes: number): void {
    if (this.#taken + bytes > this.#max) {
      throw new HoldfastError(
        'BODY_MEMORY_FULL',
        `too many bytes of unfinished requests limit=${this.#max}`,
      );
    }
    this.#taken += bytes;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }
}
