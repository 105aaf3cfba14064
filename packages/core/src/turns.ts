/**
 * Runs work one after the other, in the order it was given.
 *
 * Invariants
 * 1. One piece of work is under way at a time; the next begins once it has ended, however.
 * 2. A failure is told to whoever gave the work, and to nobody else.
 *
 * Owner: whoever's state the work changes.
 */
export class Turns {
  /** Never rejects. */
  #last: Promise<unknown> = Promise.resolve();

  run<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** Resolves once everything given so far has ended. Never rejects. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
