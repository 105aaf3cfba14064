/**
 * The one place that changes the manifest. Edits run one after the other; each is a
 * function of the manifest before it.
 */
import { type Clock, type FileId, type HoldfastError, Turns } from '@holdfast/core';
import type { Manifest, ManifestStore, MendedCopy } from '@holdfast/tables';

export class ManifestKeeper {
  readonly #store: ManifestStore;
  readonly #clock: Clock;
  #current: Manifest;
  #nextFileId: number;
  readonly #turns: Turns = new Turns();

  constructor(store: ManifestStore, current: Manifest, clock: Clock) {
    this.#store = store;
    this.#current = current;
    this.#clock = clock;
    this.#nextFileId = current.nextFileId;
  }

  get current(): Manifest {
    return this.#current;
  }

  /** A file number nobody had before. */
  claimFileId(): FileId {
    return this.#nextFileId++ as FileId;
  }

  /** Resolves once the changed manifest is durable. A rejection leaves the old one current. */
  edit(change: (current: Manifest) => Manifest): Promise<Manifest> {
    return this.#turns.run(async () => {
      const next: Manifest = {
        ...change(this.#current),
        generation: this.#current.generation + 1,
        nextFileId: this.#nextFileId,
        writtenAtMs: this.#clock.now(),
      };
      await this.#store.commit(next);
      this.#current = next;
      return next;
    });
  }

  /** What `look` makes of the manifest and the bytes of its file, within one turn, between edits. */
  look<Result>(look: (current: Manifest, file: Buffer) => Result): Promise<Result> {
    return this.#turns.run(async () => look(this.#current, this.#store.file));
  }

  /** What is wrong with the manifest on disk. Changes nothing. */
  check(): Promise<HoldfastError[]> {
    return this.#turns.run(() => this.#store.check());
  }

  /** Writes each copy of the manifest anew that is not what was committed; says what was wrong. */
  mend(beforeReplace: (path: string) => Promise<void>): Promise<MendedCopy[]> {
    return this.#turns.run(() => this.#store.mend(beforeReplace));
  }
}
