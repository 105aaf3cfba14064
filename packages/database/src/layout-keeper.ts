/** The one place that changes the layout of an open database; one change after the other. */
import { type FileSystem, type HoldfastError, Turns } from '@holdfast/core';
import type { MendedCopy, MendOptions } from '@holdfast/tables';
import { checkLayout, type Layout, mendLayout, replaceLayout } from './layout.ts';

export class LayoutKeeper {
  readonly #fileSystem: FileSystem;
  readonly #dir: string;
  #current: Layout;
  readonly #turns: Turns = new Turns();

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
    return this.#turns.run(async () => {
      const next = change(this.#current);
      if (next === this.#current) return;
      await replaceLayout(this.#fileSystem, this.#dir, next);
      this.#current = next;
    });
  }

  /** What is wrong with either copy. Changes nothing. */
  check(): Promise<HoldfastError[]> {
    return this.#turns.run(() => checkLayout(this.#fileSystem, this.#dir, this.#current));
  }

  /** Writes each copy anew that is not as it was; says what was wrong. */
  mend(options: MendOptions): Promise<MendedCopy[]> {
    return this.#turns.run(() => mendLayout(this.#fileSystem, this.#dir, this.#current, options));
  }
}
