/**
 * The life of a view: it ends by itself, and what it looks at goes on.
 *
 * Invariants
 * 1. Once it has ended every call, and the next step of every walk and watch, is `CLOSED`.
 * 2. Its end waits for its writes under way.
 */
import { hasCode } from '@holdfast/core';
import { abortedError, closedError } from './kv-errors.ts';

export class ViewLife {
  readonly #ended = new AbortController();
  readonly #writes = new Set<Promise<unknown>>();

  /** Rules 17 and 19 of the contract, for a call that begins. */
  enter(signal: AbortSignal | undefined): void {
    if (this.#ended.signal.aborted) throw closedError();
    if (signal?.aborted) throw abortedError(signal);
  }

  /** I2. */
  writing<Result>(write: Promise<Result>): Promise<Result> {
    this.#writes.add(write);
    const over = (): void => void this.#writes.delete(write);
    write.then(over, over);
    return write;
  }

  /** @param open called with the first step; `undefined`: there is nothing to walk over. */
  async *walk<From, To>(
    signal: AbortSignal | undefined,
    open: () => AsyncIterable<From> | undefined,
    pick: (from: From) => To,
  ): AsyncGenerator<To, void, undefined> {
    this.enter(signal);
    const steps = open();
    if (steps === undefined) return;
    for await (const step of steps) {
      this.enter(undefined);
      yield pick(step);
      this.enter(undefined);
    }
  }

  /** @param open called at once: a watch begins where it is called. */
  watch<From, To>(
    signal: AbortSignal | undefined,
    open: (signal: AbortSignal) => AsyncIterable<From>,
    pick: (from: From) => To,
  ): AsyncIterable<To> {
    const ended = this.#ended.signal;
    return this.#watching(
      open(signal === undefined ? ended : AbortSignal.any([signal, ended])),
      pick,
    );
  }

  async end(): Promise<void> {
    this.#ended.abort();
    await Promise.allSettled([...this.#writes]);
  }

  async *#watching<From, To>(
    steps: AsyncIterable<From>,
    pick: (from: From) => To,
  ): AsyncGenerator<To, void, undefined> {
    try {
      for await (const step of steps) yield pick(step);
    } catch (error) {
      throw this.#ended.signal.aborted && hasCode(error, 'ABORTED') ? closedError() : error;
    }
  }
}
