/**
 * The manifests of one directory: reads the newest, commits the next.
 *
 * A commit writes `manifest-<generation>.tmp`, syncs it, renames it to its real name and
 * syncs the directory; then it writes the same bytes to the mirror. So a file under a real name
 * was whole when it got that name, and when the newest one does not decode it has rotted: the
 * mirror of the same generation stands in for it, and nothing else does. Falling back to the
 * generation before would bring back files that are deleted and lose acknowledged data without
 * a word. The previous one is kept for a person to look at.
 *
 * Invariants
 * 1. `generation` and `digest` are those of the newest manifest on disk, or the store has
 *    failed and commits nothing more.
 * 2. Before each commit the newest file on disk must still be, byte for byte, the one this
 *    store read or wrote: anything else is another writer's work, `WRITER_FENCED`.
 * 3. A commit that rejects with effect `none` left the old manifest in charge and may be
 *    tried again. With effect `unknown` only reopening can tell, and the store has failed.
 * 4. A mirror exists only of a generation whose original was durable: the highest generation
 *    of either name is the newest that was committed. A commit never fails over its mirror.
 *
 * Owner: the database's one editor of the manifest; commits must not overlap.
 */
import { createHash } from 'node:crypto';
import {
  assert,
  type BlockCodec,
  cut,
  type FileSystem,
  HoldfastError,
  isHoldfastError,
  LIMITS,
} from '@holdfast/core';
import {
  manifestFileName,
  mirrorOf,
  originalOf,
  parseManifestFileName,
  TEMPORARY_SUFFIX,
} from './file-names.ts';
import {
  assertSense,
  decodeManifest,
  encodeManifest,
  type Manifest,
  MANIFEST_DIGEST_BYTES,
} from './manifest.ts';
import { NewFile } from './new-file.ts';
import { damaged, storageError } from './storage-error.ts';
import {
  mendCopies,
  type MendedCopy,
  problemsOfCopies,
  readEitherCopy,
  readWholeFile,
  replaceWholeFile,
} from './whole-file.ts';

export interface ManifestStoreComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
}

/** The payload and the block around it. */
const MAX_FILE_BYTES = LIMITS.maxManifestBytes + 64;

export interface OpenedManifest {
  readonly store: ManifestStore;
  /** `undefined` in a directory that never had one. */
  readonly manifest: Manifest | undefined;
  /** What was wrong with the newest manifest, when its mirror stood in for it. */
  readonly damage: HoldfastError | undefined;
}

export class ManifestStore {
  readonly #fileSystem: FileSystem;
  readonly #codec: BlockCodec;
  readonly #directory: string;
  #generation: number;
  /** The newest manifest file, byte for byte; empty before the first. */
  #file: Buffer;
  #digest: Buffer;
  #mirrored = false;
  #failed: unknown;

  private constructor(
    components: ManifestStoreComponents,
    directory: string,
    generation: number,
    file: Buffer,
  ) {
    this.#fileSystem = components.fileSystem;
    this.#codec = components.codec;
    this.#directory = directory;
    this.#generation = generation;
    this.#file = file;
    this.#digest = generation === 0 ? Buffer.alloc(MANIFEST_DIGEST_BYTES) : sha256(file);
  }

  /** The caller holds the directory's lock. Damage of both copies of the newest rejects. */
  static async open(
    components: ManifestStoreComponents,
    directory: string,
  ): Promise<OpenedManifest> {
    const { fileSystem, codec } = components;
    const names = await listNames(fileSystem, directory);
    const generation = Math.max(0, ...generationsIn(names));
    if (generation === 0) {
      await removeTemporary(fileSystem, directory, names);
      const store = new ManifestStore(components, directory, 0, Buffer.alloc(0));
      return { store, manifest: undefined, damage: undefined };
    }
    const { value, bytes, damage } = await readEitherCopy(
      fileSystem,
      `${directory}/${manifestFileName(generation)}`,
      MAX_FILE_BYTES,
      (file, path) => decodeManifest(file, codec, { generation, path }),
    );
    await assertChain(components, directory, value, names);
    // What was renamed by a process that died before its sync must not vanish under us now.
    await syncNames(fileSystem, directory);
    await removeTemporary(fileSystem, directory, names);
    const store = new ManifestStore(components, directory, generation, bytes);
    return { store, manifest: value, damage };
  }

  /** Of the newest manifest; 0 before the first. The next one is one higher. */
  get generation(): number {
    return this.#generation;
  }

  /** What the next manifest will hold as `previousDigest`; 32 zero bytes before the first. */
  get digest(): Buffer {
    return this.#digest;
  }

  /** The file of the newest manifest, byte for byte; empty before the first. Not to be changed. */
  get file(): Buffer {
    return this.#file;
  }

  /**
   * Makes `next` the manifest. Its `previousDigest` is filled in here, whatever it holds; its
   * generation must be one above the current.
   */
  async commit(next: Manifest): Promise<void> {
    if (this.#failed !== undefined) {
      throw new HoldfastError('STORAGE_UNAVAILABLE', 'an earlier manifest commit failed', {
        cause: this.#failed,
      });
    }
    assert(next.generation === this.#generation + 1, 'manifest generations rise by one');
    assertSense(next);
    const file = encodeManifest({ ...next, previousDigest: this.#digest }, this.#codec);
    await this.#assertStillOurs(); // I2
    const path = `${this.#directory}/${manifestFileName(next.generation)}`;
    await this.#writeTemporary(path + TEMPORARY_SUFFIX, file);
    await this.#publish(path);
    this.#generation = next.generation;
    this.#file = file;
    this.#digest = sha256(file);
    await this.#mirror(path);
    await this.#removeOlder();
  }

  /** What is wrong with either copy of the newest manifest. Changes nothing. */
  check(): Promise<HoldfastError[]> {
    return problemsOfCopies(this.#fileSystem, this.#path(), this.#file);
  }

  /**
   * Compares both copies with what was committed last and writes those anew that differ. Not
   * while a commit is under way. Rejects with `WRITER_FENCED` rather than replace another's work.
   *
   * @param beforeReplace what stands under the name is replaced once this resolved.
   */
  async mend(beforeReplace?: (path: string) => Promise<void>): Promise<MendedCopy[]> {
    if (this.#generation === 0 || this.#failed !== undefined) return [];
    await this.#assertStillOurs();
    const mended = await mendCopies(this.#fileSystem, this.#directory, this.#path(), this.#file, {
      mirrorExpected: this.#mirrored,
      ...(beforeReplace === undefined ? {} : { beforeReplace }),
    });
    if (mended.every(({ repaired }) => repaired)) this.#mirrored = true;
    return mended;
  }

  #path(): string {
    return `${this.#directory}/${manifestFileName(this.#generation)}`;
  }

  /** I4. Without it there is one copy until the next commit, or until the next `mend`. */
  async #mirror(path: string): Promise<void> {
    try {
      await replaceWholeFile(this.#fileSystem, this.#directory, mirrorOf(path), this.#file);
      this.#mirrored = true;
    } catch {
      this.#mirrored = false;
    }
  }

  async #writeTemporary(path: string, file: Buffer): Promise<void> {
    const temporary = await NewFile.create(this.#fileSystem, path);
    try {
      await temporary.append(file);
      await temporary.finish();
      await cut('manifest.synced');
    } catch (error) {
      await temporary.abandon();
      throw error;
    }
  }

  async #publish(path: string): Promise<void> {
    const temporary = path + TEMPORARY_SUFFIX;
    try {
      await this.#fileSystem.rename(temporary, path);
    } catch (error) {
      if (await this.#isAbsent(path)) {
        await this.#fileSystem.unlink(temporary).catch(() => undefined); // the next commit replaces it
        throw storageError(error, 'renaming', path);
      }
      throw this.#fail(error, path);
    }
    try {
      await cut('manifest.renamed');
      await this.#fileSystem.syncDirectory(this.#directory);
      await cut('manifest.directorySynced');
    } catch (error) {
      throw this.#fail(error, path);
    }
  }

  /** A name that is not even seen by running processes cannot have reached the disk. */
  async #isAbsent(path: string): Promise<boolean> {
    try {
      return (await this.#fileSystem.stat(path)) === undefined;
    } catch {
      return false;
    }
  }

  /** I3: whether the new name is on disk is unknown, and no later sync would tell. */
  #fail(cause: unknown, path: string): HoldfastError {
    this.#failed = cause;
    return new HoldfastError('STORAGE_UNAVAILABLE', `manifest commit failed path=${path}`, {
      effect: 'unknown',
      cause,
      details: { path },
    });
  }

  async #assertStillOurs(): Promise<void> {
    const names = await listNames(this.#fileSystem, this.#directory);
    const newest = Math.max(0, ...generationsIn(names));
    if (newest !== this.#generation) throw this.#fenced(`newest=${newest}`);
    if (newest === 0) return;
    const path = this.#path();
    let later: HoldfastError | undefined;
    for (const copy of [path, mirrorOf(path)]) {
      try {
        const file = await readWholeFile(this.#fileSystem, copy, MAX_FILE_BYTES);
        if (file.equals(this.#file)) return;
        const found = decodeManifest(file, this.#codec, { generation: newest, path: copy });
        throw this.#fenced(`writerEpoch=${found.writerEpoch}`);
      } catch (error) {
        if (!isHoldfastError(error) || error.kind === 'fenced') throw error;
        if (error.kind !== 'corrupt') later ??= error;
      }
    }
    // Both copies are lost or rotten: nobody else wrote them, and memory has what they held.
    if (later !== undefined) throw later;
  }

  #fenced(found: string): HoldfastError {
    return new HoldfastError(
      'WRITER_FENCED',
      `another process changed the manifest generation=${this.#generation} ${found}`,
    );
  }

  /** Keeps the current and the previous one. Tidying may fail: the next commit does it again. */
  async #removeOlder(): Promise<void> {
    try {
      for (const name of await this.#fileSystem.list(this.#directory)) {
        const generation = parseManifestFileName(originalOf(name));
        if (generation === undefined || generation >= this.#generation) continue;
        // Of the previous one, for a person to look at, one copy is enough.
        if (generation === this.#generation - 1 && originalOf(name) === name) continue;
        await this.#fileSystem.unlink(`${this.#directory}/${name}`);
        await cut('manifest.olderUnlinked');
      }
    } catch {
      // The commit itself is durable; an older manifest more is harmless.
    }
  }
}

/** The previous manifest, if it is there and whole, must be the one the newest came from. */
async function assertChain(
  { fileSystem, codec }: ManifestStoreComponents,
  directory: string,
  manifest: Manifest,
  names: readonly string[],
): Promise<void> {
  const generation = manifest.generation - 1;
  const name = manifestFileName(generation);
  if (!names.includes(name)) return;
  const path = `${directory}/${name}`;
  let previous: Buffer;
  try {
    previous = await readWholeFile(fileSystem, path, MAX_FILE_BYTES);
    decodeManifest(previous, codec, { generation, path });
  } catch {
    return; // It is evidence, nothing that is needed.
  }
  if (sha256(previous).equals(manifest.previousDigest)) return;
  throw damaged(path, 0, 'the manifest after it was made from another one');
}

async function listNames(fileSystem: FileSystem, directory: string): Promise<string[]> {
  try {
    return await fileSystem.list(directory);
  } catch (error) {
    throw storageError(error, 'listing', directory);
  }
}

async function syncNames(fileSystem: FileSystem, directory: string): Promise<void> {
  try {
    await fileSystem.syncDirectory(directory);
  } catch (error) {
    throw storageError(error, 'syncing', directory);
  }
}

/** Leftovers of interrupted commits. They are never read, so failing to remove one is harmless. */
async function removeTemporary(
  fileSystem: FileSystem,
  directory: string,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    if (!name.endsWith(TEMPORARY_SUFFIX)) continue;
    if (parseManifestFileName(originalOf(name)) === undefined) continue;
    await fileSystem.unlink(`${directory}/${name}`).catch(() => undefined);
  }
}

/** Of originals and mirrors: I4. */
function generationsIn(names: readonly string[]): number[] {
  return names
    .filter((name) => !name.endsWith(TEMPORARY_SUFFIX))
    .flatMap((name) => parseManifestFileName(originalOf(name)) ?? []);
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
