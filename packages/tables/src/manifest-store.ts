/**
 * The manifests of one directory: reads the newest, commits the next.
 *
 * A commit writes `manifest-<generation>.tmp`, syncs it, renames it to its real name and
 * syncs the directory. So a file under a real name was whole when it got that name, and when
 * the newest one does not decode it has rotted. Falling back to the one before would bring
 * back files that are deleted and lose acknowledged data without a word: the newest manifest
 * decodes, or the database does not open. The previous one is kept for a person to look at.
 *
 * Invariants
 * 1. `generation` and `digest` are those of the newest manifest on disk, or the store has
 *    failed and commits nothing more.
 * 2. Before each commit the newest file on disk must still be, byte for byte, the one this
 *    store read or wrote: anything else is another writer's work, `WRITER_FENCED`.
 * 3. A commit that rejects with effect `none` left the old manifest in charge and may be
 *    tried again. With effect `unknown` only reopening can tell, and the store has failed.
 *
 * Owner: the database's one editor of the manifest; commits must not overlap.
 */
import { createHash } from 'node:crypto';
import {
  assert,
  type BlockCodec,
  cut,
  type FileHandle,
  type FileSystem,
  HoldfastError,
  LIMITS,
} from '@holdfast/core';
import { manifestFileName, parseManifestFileName } from './file-names.ts';
import {
  assertSense,
  decodeManifest,
  encodeManifest,
  type Manifest,
  MANIFEST_DIGEST_BYTES,
} from './manifest.ts';
import { NewFile } from './new-file.ts';
import { damaged, storageError } from './storage-error.ts';

export interface ManifestStoreComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
}

const TEMPORARY_SUFFIX = '.tmp';
/** The block around the payload. */
const ENVELOPE_BYTES = 64;

export class ManifestStore {
  readonly #fileSystem: FileSystem;
  readonly #codec: BlockCodec;
  readonly #directory: string;
  #generation: number;
  #digest: Buffer;
  #failed: unknown;

  private constructor(
    components: ManifestStoreComponents,
    directory: string,
    generation: number,
    digest: Buffer,
  ) {
    this.#fileSystem = components.fileSystem;
    this.#codec = components.codec;
    this.#directory = directory;
    this.#generation = generation;
    this.#digest = digest;
  }

  /**
   * The caller holds the directory's lock. `manifest` is `undefined` in a directory that
   * never had one; damage of the newest rejects.
   */
  static async open(
    components: ManifestStoreComponents,
    directory: string,
  ): Promise<{ store: ManifestStore; manifest: Manifest | undefined }> {
    const { fileSystem, codec } = components;
    const names = await listNames(fileSystem, directory);
    const generation = Math.max(0, ...generationsIn(names));
    if (generation === 0) {
      await removeTemporary(fileSystem, directory, names);
      const none = Buffer.alloc(MANIFEST_DIGEST_BYTES);
      return { store: new ManifestStore(components, directory, 0, none), manifest: undefined };
    }
    const path = `${directory}/${manifestFileName(generation)}`;
    const file = await readWhole(fileSystem, path);
    const manifest = decodeManifest(file, codec, { generation, path });
    await assertChain(components, directory, manifest, names);
    // What was renamed by a process that died before its sync must not vanish under us now.
    await syncNames(fileSystem, directory);
    await removeTemporary(fileSystem, directory, names);
    const store = new ManifestStore(components, directory, generation, sha256(file));
    return { store, manifest };
  }

  /** Of the newest manifest; 0 before the first. The next one is one higher. */
  get generation(): number {
    return this.#generation;
  }

  /** What the next manifest will hold as `previousDigest`; 32 zero bytes before the first. */
  get digest(): Buffer {
    return this.#digest;
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
    const digest = await this.#writeTemporary(path + TEMPORARY_SUFFIX, file);
    await this.#publish(path);
    this.#generation = next.generation;
    this.#digest = digest;
    await this.#removeOlder();
  }

  async #writeTemporary(path: string, file: Buffer): Promise<Buffer> {
    const temporary = await NewFile.create(this.#fileSystem, path);
    try {
      await temporary.append(file);
      const { digest } = await temporary.finish();
      await cut('manifest.synced');
      return digest;
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
    const path = `${this.#directory}/${manifestFileName(newest)}`;
    const file = await readWhole(this.#fileSystem, path);
    if (sha256(file).equals(this.#digest)) return;
    const found = decodeManifest(file, this.#codec, { generation: newest, path }); // or rot
    throw this.#fenced(`writerEpoch=${found.writerEpoch}`);
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
        const generation = parseManifestFileName(name);
        if (generation === undefined || generation >= this.#generation - 1) continue;
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
    previous = await readWhole(fileSystem, path);
    decodeManifest(previous, codec, { generation, path });
  } catch {
    return; // It is evidence, nothing that is needed.
  }
  if (sha256(previous).equals(manifest.previousDigest)) return;
  throw damaged(path, 0, 'the manifest after it was made from another one');
}

async function readWhole(fileSystem: FileSystem, path: string): Promise<Buffer> {
  let handle: FileHandle | undefined;
  try {
    handle = await fileSystem.open(path, 'read');
    const size = await handle.size();
    if (size > LIMITS.maxManifestBytes + ENVELOPE_BYTES) {
      throw new HoldfastError('FORMAT_INVALID', `manifest is too large path=${path} bytes=${size}`);
    }
    const file = Buffer.allocUnsafeSlow(size);
    const read = await handle.read(file, 0);
    if (read !== size) throw damaged(path, read, 'the file is cut off');
    return file;
  } catch (error) {
    throw storageError(error, 'reading', path);
  } finally {
    await handle?.close().catch(() => undefined); // opened to read: nothing can be lost
  }
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
    if (parseManifestFileName(name.slice(0, -TEMPORARY_SUFFIX.length)) === undefined) continue;
    await fileSystem.unlink(`${directory}/${name}`).catch(() => undefined);
  }
}

function generationsIn(names: readonly string[]): number[] {
  return names.flatMap((name) => parseManifestFileName(name) ?? []);
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
