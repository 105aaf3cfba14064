/** The one place that changes the layout of an open database; one change after the other. */
import type { FileSystem, HoldfastError } from '@holdfast/core';
import type { MendedCopy, MendOptions } from '@holdfast/tables';
import { checkLayout, type Layout, mendLayout, replaceLayout } from './layout.ts';

export class LayoutKeeper {
  readonly #fileSystem: FileSystem;
  readonly #dir: string;
  #current: Layout;
  #last: Promise<unknown> = Promise.resolve();

  constructor(components: { readonly fileSystem: FileSystem }, dir: string, current: Layout) {
    this.#fileSystem = components.fileSystem;
    this.#dir = dir;
    this.#current = current;
  }

  get current(): Layout {
    return this.#current;
  }

  /** Resolves once both copies are durable. After a rejection either of them may be new. */
  edit(change: (current: Layout) => Layout): Promise<void> {
    return this.#exclusively(async () => {
      const next = change(this.#current);
      if (next === this.#current) return;
      await replaceLayout(this.#fileSystem, this.#dir, next);
      this.#current = next;
    });
  }

  /** What is wrong with either copy. Changes nothing. */
  check(): Promise<HoldfastError[]> {
    return this.#exclusively(() => checkLayout(this.#fileSystem, this.#dir, this.#current));
  }

  /** Writes each copy anew that is not as it was; says what was wrong. */
  mend(options: MendOptions): Promise<MendedCopy[]> {
    return this.#exclusively(() => mendLayout(this.#fileSystem, this.#dir, this.#current, options));
  }

  #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}
