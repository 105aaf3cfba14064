/**
 * Looks for a newer writer. Whoever publishes anything in the repository asks first; the archive
 * also asks in between.
 *
 * Invariants
 * 1. Once a newer claim was seen every check fails, and whoever listens has heard of it once.
 * 2. A repository that does not answer is no newer writer: the check fails as its call did.
 *
 * Owner: the `DatabaseBackup`.
 */
import { HoldfastError } from '@holdfast/core';
import type { CallOptions } from '@holdfast/objects';
import type { Repository } from '../repository/repository.ts';

export class WriterFence {
  readonly #repository: Repository;
  readonly #onFenced: (error: HoldfastError) => void;
  #epoch: number | undefined;
  #newer: number | undefined;

  constructor(repository: Repository, onFenced: (error: HoldfastError) => void) {
    this.#repository = repository;
    this.#onFenced = onFenced;
  }

  /** The claim that is ours from now on. */
  claimed(epoch: number): void {
    this.#epoch = epoch;
  }

  /** Of our claim; `undefined` before the first. */
  get epoch(): number | undefined {
    return this.#epoch;
  }

  /**
   * Resolves to our epoch when no newer writer was there at some moment after the call.
   *
   * @throws `WRITER_FENCED`; `STORAGE_UNAVAILABLE` also while there is no claim yet.
   */
  async check(options: CallOptions = {}): Promise<number> {
    const epoch = this.#epoch;
    if (epoch === undefined) {
      throw new HoldfastError('STORAGE_UNAVAILABLE', 'the repository is not claimed yet');
    }
    if (this.#newer === undefined) {
      const [newer] = (await this.#repository.epochs({ ...options, after: epoch })).slice(-1);
      if (newer === undefined) return epoch;
      const known = this.#newer !== undefined; // somebody else asked meanwhile
      this.#newer = newer;
      if (!known) this.#onFenced(fenced(epoch, newer)); // I1
    }
    throw fenced(epoch, this.#newer);
  }
}

/** @param epoch ours; `undefined` without a claim. */
export function fenced(epoch: number | undefined, newest: number): HoldfastError {
  return new HoldfastError(
    'WRITER_FENCED',
    `another node writes this database now, restore or open it with the option to take over epoch=${epoch ?? 0} newestEpoch=${newest}`,
    { details: { epoch: epoch ?? 0, newestEpoch: newest } },
  );
}
