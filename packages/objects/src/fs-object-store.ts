/**
 * Objects as files: one file for each, below one directory that several processes of one machine
 * may share. Works on every `FileSystem`, the simulated one included.
 *
 * ```
 * objects/   the objects: see fs-object-names.ts; each ends in a trailer, fs-object-trailer.ts
 * uploads/   files being written, `<when in ms>-<random>`; leftovers of killed puts
 * locks/     see fs-object-locks.ts
 * ```
 *
 * Invariants
 * 1. A file gets a name below `objects/` only by a rename, whole and synced.
 * 2. A put or delete is answered after the sync of its folder.
 * 3. A folder is synced after it was looked at and before what was seen is told, unless nothing
 *    of this store changed it since its last sync: neither what a killed process did there nor
 *    what is just being done here may vanish under its readers. (Of another process that lives,
 *    a change may be seen a moment before it is synced.)
 * 4. When the sync of a folder fails, what is in it is unknown, and a later success would prove
 *    nothing: the store has failed, and only opening it again looks anew.
 * 5. Whether an object is there and the change that rests on it happen under one lock.
 *
 * Folders stay when their last object is deleted.
 *
 * Owner: who opened it. The directory is nobody's alone.
 */
import { createHash } from 'node:crypto';
import {
  type Clock,
  type Effect,
  type FileHandle,
  type FileSystem,
  LIMITS,
  type Random,
  systemErrorCode,
  writeFully,
} from '@holdfast/core';
import { fileError } from './fs-object-errors.ts';
import { FsObjectLocks } from './fs-object-locks.ts';
import { objectPath } from './fs-object-names.ts';
import { decodeTrailer, encodeTrailer, TRAILER_BYTES } from './fs-object-trailer.ts';
import { walkObjects } from './fs-object-walk.ts';
import { piecesOf } from './object-body.ts';
import { clipRange, openContent } from './object-content.ts';
import {
  invalidRange,
  objectNotFound,
  preconditionFailed,
  throwIfEnded,
  unavailable,
} from './object-errors.ts';
import { assertObjectKey } from './object-key.ts';
import type {
  CallOptions,
  GetOptions,
  LeftoverOptions,
  ListedObject,
  ListOptions,
  ObjectBody,
  ObjectContent,
  ObjectInfo,
  ObjectPage,
  ObjectStore,
  ObjectStoreCapabilities,
  PutOptions,
  PutResult,
} from './object-store.ts';
import { OpenCalls } from './open-calls.ts';
import { assertCondition, conditionOf, listBounds } from './put-condition.ts';

export interface FsObjectStoreComponents {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
}

export interface FsObjectStoreSettings {
  /** Made when it is not there. */
  readonly directory: string;
}

export async function openFsObjectStore(
  { directory }: FsObjectStoreSettings,
  components: FsObjectStoreComponents,
): Promise<ObjectStore> {
  try {
    await components.fileSystem.makeDirectory(`${directory}/objects`);
    await components.fileSystem.makeDirectory(`${directory}/uploads`);
    const locks = await FsObjectLocks.open(components, `${directory}/locks`);
    return new FsObjectStore(directory, components, locks);
  } catch (error) {
    throw fileError(error, 'opening an object store', directory, 'none');
  }
}

const RANDOM_BYTES = 8;

class FsObjectStore implements ObjectStore {
  readonly capabilities: ObjectStoreCapabilities = {
    ifAbsent: true,
    ifMatch: true,
    maxConditionalBytes: Infinity,
    nestedKeys: true,
  };
  readonly #fileSystem: FileSystem;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #objects: string;
  readonly #uploads: string;
  readonly #locks: FsObjectLocks;
  readonly #calls = new OpenCalls();
  /** Folders that were synced after their last change from here (I3), oldest first. */
  readonly #settled = new Set<string>();
  /** Folders that are being changed, and by how many. */
  readonly #changing = new Map<string, number>();
  #changes = 0;
  #failed: unknown;

  constructor(directory: string, components: FsObjectStoreComponents, locks: FsObjectLocks) {
    this.#fileSystem = components.fileSystem;
    this.#clock = components.clock;
    this.#random = components.random;
    this.#objects = `${directory}/objects`;
    this.#uploads = `${directory}/uploads`;
    this.#locks = locks;
  }

  put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<PutResult> {
    return this.#run(options.signal, async (signal) => {
      assertObjectKey(key);
      conditionOf(options, this.capabilities);
      const upload = await this.#upload(body, options, signal);
      try {
        await this.#locks.within(key, signal, () =>
          this.#publish(key, upload.path, options, signal),
        );
      } catch (error) {
        await this.#fileSystem.unlink(upload.path).catch(() => undefined); // gone when renamed
        throw error;
      }
      return { etag: upload.info.etag, size: upload.info.size };
    });
  }

  async get(key: string, options: GetOptions = {}): Promise<ObjectContent> {
    this.#assertSound();
    const call = this.#calls.enter(options.signal);
    let file: FileHandle | undefined;
    try {
      assertObjectKey(key);
      const path = this.#path(key);
      const opened = await this.#open(key);
      file = opened.file;
      const { info } = opened;
      if (options.ifMatch !== undefined && options.ifMatch !== info.etag) {
        throw preconditionFailed(key, 'ifMatch');
      }
      const part = clipRange(options.range, info.size);
      if (part === undefined) throw invalidRange(key, options.range?.offset ?? 0, info.size);
      throwIfEnded(call.signal);
      return openContent(call, { key, info, ...part }, fileSource(file, path, part));
    } catch (error) {
      await file?.close().catch(() => undefined); // opened to read: nothing can be lost
      call.leave();
      throw error;
    }
  }

  head(key: string, options: CallOptions = {}): Promise<ObjectInfo> {
    return this.#run(options.signal, async () => {
      assertObjectKey(key);
      const { file, info } = await this.#open(key);
      await file.close().catch(() => undefined);
      return info;
    });
  }

  delete(key: string, options: CallOptions = {}): Promise<void> {
    return this.#run(options.signal, async (signal) => {
      assertObjectKey(key);
      const { folder } = this.#place(key);
      await this.#locks.within(key, signal, async () => {
        const isThere = await this.#changingFolder(folder, () => this.#unlink(key, folder));
        if (isThere) return;
        await this.#assertMounted();
        await this.#settle(folder);
      });
    });
  }

  list(options: ListOptions = {}): Promise<ObjectPage> {
    return this.#run(options.signal, async (signal) => {
      const { prefix, after, limit } = listBounds(options);
      const objects: ListedObject[] = [];
      await this.#assertMounted();
      const onFolder = (folder: string): Promise<void> => this.#settle(folder);
      const walk = walkObjects(this.#fileSystem, this.#objects, { prefix, after, onFolder });
      for await (const { key, path } of walk) {
        throwIfEnded(signal);
        if (objects.length === limit) return { objects, after: objects.at(-1)?.key };
        const stat = await this.#fileSystem.stat(path).catch((error: unknown) => {
          throw fileError(error, 'looking at an object', path, 'none');
        });
        if (stat?.kind !== 'file') continue; // deleted meanwhile
        // A damaged one is listed too: it is there, and who wants to delete it must find it.
        objects.push({ key, size: Math.max(0, stat.size - TRAILER_BYTES) });
      }
      return { objects, after: undefined };
    });
  }

  removeLeftovers(options: LeftoverOptions): Promise<number> {
    return this.#run(options.signal, async (signal) => {
      const before = this.#clock.now() - options.olderThanMs;
      let removed = 0;
      try {
        for (const name of await this.#fileSystem.list(this.#uploads)) {
          throwIfEnded(signal);
          const begunMs = Number(/^(\d+)-[0-9a-f]+$/.exec(name)?.[1] ?? Infinity);
          if (begunMs >= before) continue;
          await this.#fileSystem.unlink(`${this.#uploads}/${name}`).catch((error: unknown) => {
            if (!isAbsence(error)) throw error;
          });
          removed++;
        }
      } catch (error) {
        throw fileError(error, 'removing leftovers', this.#uploads, 'none');
      }
      return removed;
    });
  }

  close(): Promise<void> {
    return this.#calls.close();
  }

  async #run<Result>(
    signal: AbortSignal | undefined,
    act: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    this.#assertSound();
    return this.#calls.run(signal, act);
  }

  /** Writes and syncs the file that is to become the object (I1). */
  async #upload(
    body: ObjectBody,
    options: PutOptions,
    signal: AbortSignal,
  ): Promise<{ path: string; info: ObjectInfo }> {
    const modifiedMs = this.#clock.now();
    const random = this.#random.bytes(RANDOM_BYTES).toString('hex');
    const path = `${this.#uploads}/${Math.floor(modifiedMs)}-${random}`;
    let file: FileHandle | undefined;
    try {
      file = await this.#fileSystem.open(path, 'create');
      const { size, etag } = await writeBody(file, piecesOf(body, options.contentLength, signal));
      const info = { size, etag, modifiedMs, writeId: options.writeId };
      await writeFully(file, encodeTrailer(info), size);
      await file.datasync();
      await file.close();
      return { path, info };
    } catch (error) {
      await file?.close().catch(() => undefined);
      await this.#fileSystem.unlink(path).catch(() => undefined); // else it is a leftover
      throw fileError(error, 'writing an object', path, 'none');
    }
  }

  /** Under the lock of `key` (I5). */
  async #publish(
    key: string,
    upload: string,
    options: PutOptions,
    signal: AbortSignal,
  ): Promise<void> {
    const { folder } = this.#place(key);
    const path = this.#path(key);
    if (options.ifAbsent === true || options.ifMatch !== undefined) {
      assertCondition(key, options, await this.#etag(key, options));
    }
    try {
      await this.#fileSystem.makeDirectory(folder);
    } catch (error) {
      throw fileError(error, 'making a folder', folder, 'none');
    }
    throwIfEnded(signal);
    await this.#changingFolder(folder, async () => {
      try {
        await this.#fileSystem.rename(upload, path);
      } catch (error) {
        const unmoved = await this.#fileSystem.stat(upload).catch(() => undefined);
        const effect = unmoved === undefined ? 'unknown' : 'none';
        throw fileError(error, 'naming an object', path, effect);
      }
      await this.#sync(folder, 'unknown'); // I2
    });
  }

  /** False when there was no such file. */
  async #unlink(key: string, folder: string): Promise<boolean> {
    const path = this.#path(key);
    try {
      await this.#fileSystem.unlink(path);
    } catch (error) {
      if (isAbsence(error)) return false;
      throw fileError(error, 'deleting an object', path, 'unknown');
    }
    await this.#sync(folder, 'unknown'); // I2
    return true;
  }

  /** Nobody relies on an earlier sync of `folder` while it changes, nor after a failed change. */
  async #changingFolder<Result>(folder: string, change: () => Promise<Result>): Promise<Result> {
    this.#changes++;
    this.#changing.set(folder, (this.#changing.get(folder) ?? 0) + 1);
    try {
      return await change();
    } catch (error) {
      this.#settled.delete(folder);
      throw error;
    } finally {
      const others = (this.#changing.get(folder) ?? 1) - 1;
      if (others === 0) this.#changing.delete(folder);
      else this.#changing.set(folder, others);
    }
  }

  /** Of the object that is there. With `ifAbsent` it is there also when it is damaged. */
  async #etag(key: string, options: PutOptions): Promise<string | undefined> {
    if (options.ifAbsent === true) {
      const stat = await this.#fileSystem.stat(this.#path(key)).catch((error: unknown) => {
        throw fileError(error, 'looking at an object', key, 'none');
      });
      await this.#settle(this.#place(key).folder);
      return stat === undefined ? undefined : '';
    }
    try {
      const { file, info } = await this.#open(key);
      await file.close().catch(() => undefined);
      return info.etag;
    } catch (error) {
      if ((error as { code?: string }).code === 'OBJECT_NOT_FOUND') return undefined;
      throw error;
    }
  }

  async #open(key: string): Promise<{ file: FileHandle; info: ObjectInfo }> {
    const path = this.#path(key);
    let file: FileHandle | undefined;
    try {
      file = await this.#fileSystem.open(path, 'read');
      const fileBytes = await file.size();
      const trailer = Buffer.allocUnsafe(Math.min(TRAILER_BYTES, fileBytes));
      const read = await file.read(trailer, fileBytes - trailer.length);
      await this.#settle(this.#place(key).folder); // I3
      return { file, info: decodeTrailer(trailer.subarray(0, read), fileBytes, path) };
    } catch (error) {
      await file?.close().catch(() => undefined);
      if (file !== undefined || !isAbsence(error)) {
        throw fileError(error, 'reading an object', path, 'none');
      }
      await this.#assertMounted();
      await this.#settle(this.#place(key).folder); // I3
      throw objectNotFound(key);
    }
  }

  /** A missing file means nothing where the whole store is missing: a disk that is not mounted. */
  async #assertMounted(): Promise<void> {
    const stat = await this.#fileSystem.stat(this.#objects).catch((error: unknown) => {
      throw fileError(error, 'looking at the objects', this.#objects, 'none');
    });
    if (stat?.kind === 'directory') return;
    throw unavailable(`the folder of the objects is not there path=${this.#objects}`);
  }

  /** I3 */
  async #settle(folder: string): Promise<void> {
    if (this.#settled.has(folder) && !this.#changing.has(folder)) return;
    await this.#sync(folder, 'none');
  }

  async #sync(folder: string, effect: Effect): Promise<void> {
    const changes = this.#changes;
    try {
      await this.#fileSystem.syncDirectory(folder);
    } catch (error) {
      if (effect === 'none' && isAbsence(error)) return; // a folder nobody made yet
      this.#failed = error; // I4
      throw fileError(error, 'syncing a folder', folder, effect);
    }
    if (changes !== this.#changes) return; // what began meanwhile may have failed since
    this.#settled.add(folder);
    if (this.#settled.size > LIMITS.maxSettledFolders) {
      for (const oldest of this.#settled) {
        this.#settled.delete(oldest);
        break;
      }
    }
  }

  #assertSound(): void {
    if (this.#failed === undefined) return;
    throw unavailable('a folder of the object store could not be synced: open it again', {
      cause: this.#failed,
    });
  }

  #place(key: string): { folder: string; name: string } {
    const { folder, name } = objectPath(key);
    return { folder: folder === '' ? this.#objects : `${this.#objects}/${folder}`, name };
  }

  #path(key: string): string {
    const { folder, name } = this.#place(key);
    return `${folder}/${name}`;
  }
}

async function writeBody(
  file: FileHandle,
  pieces: AsyncIterable<Uint8Array>,
): Promise<{ size: number; etag: string }> {
  const hash = createHash('sha256');
  let size = 0;
  let synced = 0;
  for await (const piece of pieces) {
    hash.update(piece);
    await writeFully(file, piece, size);
    size += piece.byteLength;
    if (size - synced >= LIMITS.fileSyncBytes) {
      await file.datasync(); // bit by bit: whoever shares the disk never waits for all of it
      synced = size;
    }
  }
  return { size, etag: hash.digest('hex').slice(0, 32) };
}

function fileSource(
  file: FileHandle,
  path: string,
  { offset, length }: { offset: number; length: number },
): { next(): Promise<Buffer | undefined>; release(): Promise<void> } {
  let at = offset;
  const end = offset + length;
  return {
    next: async () => {
      if (at === end) return undefined;
      const piece = Buffer.allocUnsafe(Math.min(LIMITS.objectReadBytes, end - at));
      try {
        const read = await file.read(piece, at);
        at += read;
        return read === 0 ? undefined : piece.subarray(0, read);
      } catch (error) {
        throw fileError(error, 'reading an object', path, 'none');
      }
    },
    release: () => file.close(),
  };
}

function isAbsence(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}
