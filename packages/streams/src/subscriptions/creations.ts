/**
 * Subscriptions on their way. What is created between a plan and its commit was in no list of the
 * plan and is told to nobody: it is noted here, and matched when the subscription is there.
 */
import type { Expectation, LinkBook } from './link-book.ts';
import type { PathPattern } from './path-pattern.ts';

export class Creations {
  readonly #book: LinkBook;
  /** By incarnation. */
  readonly #expectations = new Map<string, Expectation | undefined>();

  constructor(book: LinkBook) {
    this.#book = book;
  }

  get size(): number {
    return this.#expectations.size;
  }

  begin(incarnation: string, pattern: PathPattern | undefined): void {
    const expectation = pattern === undefined ? undefined : this.#book.expect(pattern);
    this.#expectations.set(incarnation, expectation);
  }

  /** Paths of the matching streams that came since. */
  created(incarnation: string): readonly string[] {
    return this.#expectations.get(incarnation)?.created ?? [];
  }

  /** Durable, or refused. Idempotent. */
  end(incarnation: string): void {
    const expectation = this.#expectations.get(incarnation);
    this.#expectations.delete(incarnation);
    if (expectation !== undefined) this.#book.endExpectation(expectation);
  }
}
