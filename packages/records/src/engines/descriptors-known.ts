/**
 * Of which peers is known that they have a record's descriptor: saves sending it with every set. A wrong
 * entry costs one more question (`descriptor-wanted`). Bounded: the pair used longest ago goes.
 */
import { RECORD_LIMITS } from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import type { RecordId } from '../record-key.ts';

export class DescriptorsKnown {
  /** Least recently used first. */
  readonly #pairs = new Set<string>();
  readonly #limit: number;

  constructor(limit: number = RECORD_LIMITS.maxDescriptorsKnown) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#pairs.size;
  }

  has(record: RecordId, peer: PeerId): boolean {
    return this.#pairs.has(record + peer);
  }

  add(record: RecordId, peer: PeerId): void {
    const pair = record + peer;
    this.#pairs.delete(pair);
    this.#pairs.add(pair);
    if (this.#pairs.size <= this.#limit) return;
    for (const oldest of this.#pairs) {
      this.#pairs.delete(oldest);
      break;
    }
  }

  delete(record: RecordId, peer: PeerId): void {
    this.#pairs.delete(record + peer);
  }
}
