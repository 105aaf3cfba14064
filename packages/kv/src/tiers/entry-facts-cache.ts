/**
 * What the primary holds of the keys written last, so that not every write reads first. It may be
 * remembered because there is one writer; what may be otherwise is forgotten before it is written.
 */
import { LIMITS } from '@holdfast/core';
import type { EntryFacts } from '../decide-write.ts';
import { RecentMap } from '../recent-map.ts';

export class EntryFactsCache {
  /** `null`: there is no entry; `undefined`: it was forgotten. */
  readonly #facts = new RecentMap<EntryFacts | null | undefined>();

  /** `undefined`: not known. */
  get(key: string): EntryFacts | null | undefined {
    return this.#facts.get(key);
  }

  set(key: string, facts: EntryFacts | undefined): void {
    this.#facts.set(key, facts ?? null);
    if (this.#facts.size > LIMITS.tierFactsKeys) this.#facts.delete(this.#facts.oldestKey ?? '');
  }

  forget(key: string): void {
    // Its place stays: mostly it is known again soon.
    if (this.#facts.peek(key) !== undefined) this.#facts.set(key, undefined);
  }

  clear(): void {
    this.#facts.clear();
  }
}
