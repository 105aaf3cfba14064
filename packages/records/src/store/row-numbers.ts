/**
 * Numbers for revisions of records and ages of floors: none is given out twice, across restarts.
 *
 * Invariants
 * 1. What is at rest under `numbers` is above every number in an acknowledged write: a write with a
 *    number that is not below it raises it, in the same batch.
 * 2. After a start numbers go on where the row says, so what was given out and not used is skipped.
 */
import type { KvPutOperation } from '@holdfast/kv';
import { encodeNumbers, NUMBERS_KEY } from './record-rows.ts';

const BLOCK = 4096;

export interface TakenNumber {
  readonly number: number;
  /** What goes into the batch that uses it. */
  readonly operations: readonly KvPutOperation[];
  /** Once that batch was acknowledged. */
  readonly written: () => void;
}

export class RowNumbers {
  #next: number;
  /** I1 */
  #atRest: number;

  /** @param atRest what the row says; below `next`, it is written anew. */
  constructor(next: number, atRest: number) {
    this.#next = next;
    this.#atRest = atRest;
  }

  take(): TakenNumber {
    const number = this.#next++;
    if (number < this.#atRest) return { number, operations: [], written: () => undefined };
    // Batches that are under way beside each other each raise it: the last call says the most.
    const limit = number + BLOCK;
    const operation = { type: 'put', key: NUMBERS_KEY, value: encodeNumbers(limit) } as const;
    const written = (): void => {
      this.#atRest = Math.max(this.#atRest, limit);
    };
    return { number, operations: [operation], written };
  }
}
