/**
 * The extent files of a database: those on disk, and those being laid down by the checkpoint
 * under way, which are readable from memory until they are written.
 *
 * Invariants
 * 1. A ref given out by `write` can be read at once and for as long as its row lives.
 * 2. Live bytes of a file only fall; they change on disk with the manifest that drops the rows.
 * 3. A file leaves only after a manifest without it is durable and nobody pins it. A read under way
 *    keeps its handle; one that comes later with an old ref gets `FILE_MISSING`, and has been told by
 *    `extentsMoved`.
 * 4. A file that is missing or damaged costs the reads that need what is lost, by a typed
 *    error, and nothing else. `onDamage` hears of each.
 */
import {
  type BlockCodec,
  type FileId,
  type FileSystem,
  HoldfastError,
  LIMITS,
  type ShardId,
  systemErrorCode,
} from '@holdfast/core';
import type { ByteHole } from './engine.ts';
import type { FilePins } from './file-pins.ts';
import { isUnreadable } from './storage-errors.ts';
import {
  type BlockCache,
  ExtentFile,
  type ExtentFileInfo,
  ExtentFileWriter,
  extentFileName,
  type ExtentRef,
  type Manifest,
} from '@holdfast/tables';

export type LiveExtentFile = Manifest['extentFiles'][number];

interface Components {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly cache: BlockCache;
  readonly onDamage: (error: HoldfastError) => void;
  /** Default: nobody pins a file. */
  readonly pins?: FilePins;
}

/** An extent as far as it can be read: consecutive parts, a hole where there is none. */
export interface ReadExtent {
  readonly parts: readonly (Buffer | ByteHole)[];
  readonly holes: readonly ByteHole[];
}

export class ExtentStore {
  readonly #components: Components;
  readonly #dir: string;
  readonly #claimFileId: () => FileId;
  readonly #files = new Map<number, ExtentFile>();
  /** Files that could not be opened, and why. I4. */
  readonly #unreadable = new Map<number, HoldfastError>();
  readonly #writers = new Map<number, ExtentFileWriter>();
  /** The open writer of each shard in the current collect. */
  readonly #collecting = new Map<ShardId, ExtentFileWriter>();
  #freed = new Map<number, number>();

  constructor(components: Components, dir: string, claimFileId: () => FileId) {
    this.#components = components;
    this.#dir = dir;
    this.#claimFileId = claimFileId;
  }

  /** Opens a file that the manifest names. One that cannot be opened costs its own bytes. I4. */
  async open(info: ExtentFileInfo): Promise<HoldfastError | undefined> {
    try {
      const file = await ExtentFile.open(this.#components, this.#path(info.fileId), info);
      this.settle(file);
      if (file.damage !== undefined) this.#components.onDamage(file.damage);
      return file.damage;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.#unreadable.set(info.fileId, error);
      this.#components.onDamage(error);
      return error;
    }
  }

  /** What stands under the name of an open file is read from now on. */
  async reopen(info: ExtentFileInfo): Promise<void> {
    const old = this.#files.get(info.fileId);
    const file = await this.openFile(info);
    if (this.#files.get(info.fileId) !== old) {
      await file.retire(); // dropped meanwhile
      return;
    }
    this.settle(file);
    void old?.retire(); // with its last reader; it does not reject
  }

  /** A file that no manifest names yet, whole; `settle` or its `retire` follows. */
  async openFile(info: ExtentFileInfo): Promise<ExtentFile> {
    const file = await ExtentFile.open(this.#components, this.#path(info.fileId), info);
    if (file.damage === undefined) return file;
    await file.retire();
    throw file.damage;
  }

  write(shard: ShardId, owner: Buffer, parts: readonly Uint8Array[]): ExtentRef {
    let writer = this.#collecting.get(shard);
    if (writer === undefined) {
      writer = this.newWriter();
      this.#collecting.set(shard, writer);
    }
    return writer.add(owner, parts);
  }

  /** A writer whose refs are readable from now on. */
  newWriter(): ExtentFileWriter {
    const fileId = this.#claimFileId();
    const writer = new ExtentFileWriter(fileId, LIMITS.extentBlockBytes);
    this.#writers.set(fileId, writer);
    return writer;
  }

  free(ref: ExtentRef): void {
    this.#freed.set(ref.fileId, (this.#freed.get(ref.fileId) ?? 0) + ref.length);
  }

  async read(ref: ExtentRef, offset: number, length: number, into?: Buffer): Promise<Buffer[]> {
    if (offset < 0 || length < 0 || offset + length > ref.length) {
      throw new HoldfastError('INVARIANT_VIOLATED', 'a read reaches outside its extent');
    }
    const writer = this.#writers.get(ref.fileId);
    if (writer !== undefined) return writer.read(ref, offset, length);
    const file = this.#files.get(ref.fileId);
    if (file === undefined) throw this.#notOpen(ref.fileId);
    const start = ref.position + offset;
    const cached = file.readCached(start, length);
    if (cached !== undefined) return cached;
    file.retain();
    try {
      return await file.read(start, length, into);
    } catch (error) {
      if (isUnreadable(error)) this.#components.onDamage(error);
      throw error;
    } finally {
      file.release();
    }
  }

  /** What of an extent can be read, block by block. Rejects only when the disk may answer later. */
  async readPartly(ref: ExtentRef): Promise<ReadExtent> {
    const parts: (Buffer | ByteHole)[] = [];
    const holes: ByteHole[] = [];
    const block = LIMITS.extentBlockBytes;
    for (let from = 0; from < ref.length;) {
      const end = Math.min(ref.length, from + block - ((ref.position + from) % block));
      try {
        parts.push(...(await this.read(ref, from, end - from)));
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        const last = holes.at(-1);
        const hole = last?.to === from ? { from: last.from, to: end } : { from, to: end };
        if (last?.to === from) {
          holes.pop();
          parts.pop();
        }
        holes.push(hole);
        parts.push(hole);
      }
      from = end;
    }
    return { parts, holes };
  }

  file(fileId: number): ExtentFile | undefined {
    return this.#files.get(fileId);
  }

  /** Why a file that the manifest names is not open. */
  unreadable(fileId: number): HoldfastError | undefined {
    return this.#unreadable.get(fileId);
  }

  pathOf(fileId: number): string {
    return this.#path(fileId);
  }

  /** Somebody met damage in a file. */
  suspect(error: HoldfastError): void {
    this.#components.onDamage(error);
  }

  /** The writers and the freed bytes of the collect that just ended; the next one starts empty. */
  endCollect(): { writers: Map<ShardId, ExtentFileWriter>; freed: Map<number, number> } {
    const ended = { writers: new Map(this.#collecting), freed: this.#freed };
    this.#collecting.clear();
    this.#freed = new Map();
    return ended;
  }

  /** Writes a file to disk; its refs stay readable from memory until `settle`. */
  writeFile(writer: ExtentFileWriter): Promise<ExtentFileInfo> {
    return writer.write(this.#components, this.#path(writer.fileId));
  }

  /** The manifest names this file now: reads go to disk. */
  settle(file: ExtentFile): void {
    this.#files.set(file.info.fileId, file);
    this.#unreadable.delete(file.info.fileId);
    this.#writers.delete(file.info.fileId);
  }

  /** Forgets a writer whose file will not be used. */
  abandon(fileId: FileId): void {
    this.#writers.delete(fileId);
  }

  /** The manifest no longer names this file. */
  async drop(fileId: number): Promise<void> {
    const file = this.#files.get(fileId);
    const lost = this.#unreadable.delete(fileId);
    if (file === undefined && !lost) return;
    this.#files.delete(fileId);
    void file?.retire(); // with its last reader; it does not reject
    const remove = (): Promise<void> => this.#unlink(fileId);
    await (this.#components.pins?.drop(fileId, remove) ?? remove());
  }

  async close(): Promise<void> {
    for (const file of this.#files.values()) await file.retire();
    this.#files.clear();
    this.#writers.clear();
  }

  async #unlink(fileId: number): Promise<void> {
    try {
      await this.#components.fileSystem.unlink(this.#path(fileId));
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }

  #notOpen(fileId: number): HoldfastError {
    const { code, message, details } = this.#unreadable.get(fileId) ?? {
      code: 'FILE_MISSING',
      message: `extent file is not there fileId=${fileId}`,
      details: { path: this.#path(fileId) },
    };
    return new HoldfastError(code, message, { details });
  }

  #path(fileId: number): string {
    return `${this.#dir}/${extentFileName(fileId as FileId)}`;
  }
}
