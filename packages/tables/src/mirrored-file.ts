/**
 * One immutable file that rests twice: the same bytes in an original and in a mirror beside it.
 *
 * Invariants
 * 1. What `read` gives out passed the caller's check, whichever copy it came from. It rejects
 *    only when no copy passes: with what is wrong with the original, or, when one cannot be
 *    reached for now, with that.
 * 2. The mirror may be missing: it is made after the original counts. It is opened when the
 *    original is found damaged, not before.
 * 3. A read in progress keeps its copy open, also while that copy is replaced.
 *
 * Owner: the `TableFile` around it.
 */
import { assert, type FileSystem, type HoldfastError, isHoldfastError } from '@holdfast/core';
import { mirrorOf } from './file-names.ts';
import { ReaderCount } from './reader-count.ts';
import { SharedFile } from './shared-file.ts';

export type FileCopy = 'original' | 'mirror';
export const FILE_COPIES = ['original', 'mirror'] as const;

/** Hears of a copy that could not be read as it was written. Must not throw. */
export type DamageListener = (error: HoldfastError) => void;

export class MirroredFile {
  readonly path: string;
  readonly bytes: number;
  readonly #fileSystem: FileSystem;
  readonly #onDamage: DamageListener;
  readonly #readers: ReaderCount;
  readonly #open = new Map<FileCopy, Promise<SharedFile>>();

  private constructor(
    fileSystem: FileSystem,
    path: string,
    bytes: number,
    onDamage: DamageListener,
  ) {
    this.path = path;
    this.bytes = bytes;
    this.#fileSystem = fileSystem;
    this.#onDamage = onDamage;
    this.#readers = new ReaderCount(path);
  }

  /** Rejects, with what is wrong with the original, when neither copy is there. */
  static async open(
    fileSystem: FileSystem,
    path: string,
    bytes: number,
    onDamage: DamageListener = () => undefined,
  ): Promise<MirroredFile> {
    const file = new MirroredFile(fileSystem, path, bytes, onDamage);
    await file.#ofEither(async (copy) => {
      const problem = (await file.#copy(copy)).sizeProblem(bytes);
      if (problem !== undefined) file.#tell(problem); // blocks before its end may be whole
    });
    return file;
  }

  pathOf(copy: FileCopy): string {
    return copy === 'original' ? this.path : mirrorOf(this.path);
  }

  /** What `check` makes of `length` bytes of the first copy that passes it. I1. */
  read<Value>(
    position: number,
    length: number,
    check: (bytes: Buffer, path: string) => Value,
  ): Promise<Value> {
    return this.#ofEither(async (copy) =>
      check(await this.readCopy(copy, position, length), this.pathOf(copy)),
    );
  }

  async readCopy(copy: FileCopy, position: number, length: number): Promise<Buffer> {
    const file = await this.#copy(copy);
    file.retain(); // I3
    try {
      return await file.read(position, length);
    } finally {
      file.release();
    }
  }

  /**
   * Reads `file`, which stands under the name of the copy and is whole, from now on. False when the
   * copy is not open: `file` stays the caller's. I2.
   */
  adopt(copy: FileCopy, file: SharedFile): boolean {
    const old = this.#open.get(copy);
    if (old === undefined) return false;
    this.#open.set(copy, Promise.resolve(file));
    void old.then((replaced) => replaced.retire()).catch(() => undefined); // with its last reader
    return true;
  }

  /** The name leads to another file now, or may: forgets the handle. */
  async reopen(copy: FileCopy): Promise<void> {
    const old = this.#open.get(copy);
    this.#open.delete(copy);
    void (await old?.catch(() => undefined))?.retire(); // with its last reader; it does not reject
  }

  get retired(): boolean {
    return this.#readers.retired;
  }

  retain(): void {
    this.#readers.retain();
  }

  release(): void {
    this.#readers.release();
  }

  /** Resolves once the last reader is gone and every handle is closed. Idempotent. */
  async retire(): Promise<void> {
    await this.#readers.retire();
    for (const copy of FILE_COPIES) {
      await (await this.#open.get(copy)?.catch(() => undefined))?.retire();
    }
  }

  async #ofEither<Value>(act: (copy: FileCopy) => Promise<Value>): Promise<Value> {
    let failure: HoldfastError | undefined;
    for (const copy of FILE_COPIES) {
      try {
        return await act(copy);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        if (failure === undefined || error.kind === 'unavailable') failure = error;
        if (copy === 'original' || error.code !== 'FILE_MISSING') this.#tell(error); // I2
      }
    }
    assert(failure !== undefined, 'a file has two copies');
    throw failure;
  }

  #copy(copy: FileCopy): Promise<SharedFile> {
    let file = this.#open.get(copy);
    if (file === undefined) {
      file = SharedFile.open(this.#fileSystem, this.pathOf(copy));
      const opening = file;
      this.#open.set(copy, opening);
      opening.catch(() => {
        if (this.#open.get(copy) === opening) this.#open.delete(copy);
      });
    }
    return file;
  }

  #tell(error: HoldfastError): void {
    const { systemCode } = error.details;
    if (systemCode === 'EMFILE' || systemCode === 'ENFILE') return; // says nothing about the file
    this.#onDamage(error);
  }
}

/** The file is not as it was written, or its disk does not give it out. */
export function isUnreadable(error: unknown): error is HoldfastError {
  return isHoldfastError(error) && (error.kind === 'corrupt' || error.kind === 'unavailable');
}
