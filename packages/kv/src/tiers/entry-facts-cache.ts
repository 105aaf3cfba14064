/**
 * What the primary holds of the keys written last, so that not every write reads first. It may be
 * remembered because there is one writer; what may be otherwise is forgotten before it is written.
 */
import { LIMITS } from '@holdfast/core';
import type { EntryFacts } from '../decide-write.ts';

export class EntryFactsCache {
  /** In order of use; `null`: there is no entry. */
  readonly #facts = new Map<string, EntryFacts | null>();

  /** `undefined`: not known. */
  get(key: string): EntryFacts | null | undefined {
    const facts = this.#facts.get(key);
    if (facts === undefined) return undefined;
    this.#facts.delete(key);
    this.#facts.set(key, facts);
    return facts;
  }

  set(key: string, facts: EntryFacts | undefined): void {
    this.#facts.delete(key);
    this.#facts.set(key, facts ?? null);
    if (this.#facts.size <= LIMITS.tierFactsKeys) return;
    for (const oldest of this.#facts.keys()) {
      this.#facts.delete(oldest);
      return;
    }
  }

  forget(key: string): void {
    this.#facts.delete(key);
  }

  clear(): void {
    this.#facts.clear();
  }
}
