/** Where a walk stands in the rows of one store, which come in batches. */
import type { StoredRow } from '@holdfast/database';
import { nameWithin, type RowName } from './kv-rows.ts';

type Name = Pick<RowName, 'key' | 'number'>;
type Batches = AsyncGenerator<readonly StoredRow[], void, undefined>;

export class RowCursor {
  readonly #batches: Batches;
  #batch: readonly StoredRow[] = [];
  #at = 0;
  #ended = false;
  #name: Name | undefined;

  constructor(batches: Batches) {
    this.#batches = batches;
  }

  /** `undefined` at the end of all. */
  get head(): StoredRow | undefined {
    return this.#batch[this.#at];
  }

  nameWithin(store: string): Name {
    this.#name ??= nameWithin(store, (this.head as StoredRow).key);
    return this.#name;
  }

  /** `more` has to follow. */
  get isUsedUp(): boolean {
    return !this.#ended && this.#at >= this.#batch.length;
  }

  advance(): void {
    this.#at++;
    this.#name = undefined;
  }

  async more(): Promise<void> {
    const { done, value } = await this.#batches.next();
    this.#ended = done === true;
    this.#batch = value ?? [];
    this.#at = 0;
    this.#name = undefined;
  }

  async close(): Promise<void> {
    await this.#batches.return();
  }
}
