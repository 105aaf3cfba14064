/**
 * Counts who reads a file, so that it is closed by the last one and never earlier.
 *
 * Invariants
 * 1. `idle` resolves once `retire` was called and nobody reads; never before.
 * 2. Once idle, nobody may begin to read.
 *
 * Owner: the file around it.
 */
import { assert, HoldfastError } from '@holdfast/core';

export class ReaderCount {
  readonly #path: string;
  #readers = 0;
  #retired = false;
  #resolveIdle: (() => void) | undefined;
  readonly #idle: Promise<void>;

  /** @param path of the file, for errors. */
  constructor(path: string) {
    this.#path = path;
    this.#idle = new Promise((resolve) => {
      this.#resolveIdle = resolve;
    });
  }

  get retired(): boolean {
    return this.#retired;
  }

  retain(): void {
    if (this.#retired && this.#readers === 0) {
      throw new HoldfastError('CLOSED', `file was retired path=${this.#path}`);
    }
    this.#readers++;
  }

  release(): void {
    assert(this.#readers > 0, 'a file was released more often than retained');
    this.#readers--;
    if (this.#retired && this.#readers === 0) this.#resolveIdle?.();
  }

  /** Resolves once the last reader is gone. Idempotent. */
  retire(): Promise<void> {
    this.#retired = true;
    if (this.#readers === 0) this.#resolveIdle?.();
    return this.#idle;
  }
}
