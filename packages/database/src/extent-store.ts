/**
 * The extent files of a database: those on disk, and those being laid down by the checkpoint
 * under way, which are readable from memory until they are written.
 *
 * Invariants
 * 1. A ref given out by `write` can be read at once and for as long as its row lives.
 * 2. Live bytes of a file only fall; they change on disk with the manifest that drops the rows.
 * 3. A file leaves only after a manifest without it is durable. A read under way keeps its handle;
 *    one that comes later with an old ref gets `FILE_MISSING`, and has been told by `extentsMoved`.
 */
import {
  type BlockCodec,
  type FileId,
  type FileSystem,
  HoldfastError,
  LIMITS,
  type ShardId,
} from '@holdfast/core';
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
}

export class ExtentStore {
  readonly #components: Components;
  readonly #dir: string;
  readonly #claimFileId: () => FileId;
  readonly #files = new Map<number, ExtentFile>();
  readonly #writers = new Map<number, ExtentFileWriter>();
  /** The open writer of each shard in the current collect. */
  readonly #collecting = new Map<ShardId, ExtentFileWriter>();
  #freed = new Map<number, number>();

  constructor(components: Components, dir: string, claimFileId: () => FileId) {
    this.#components = components;
    this.#dir = dir;
    this.#claimFileId = claimFileId;
  }

  /** Opens a file that the manifest names. */
  async open(info: ExtentFileInfo): Promise<void> {
    this.settle(await this.openFile(info));
  }

  /** The same for a file that no manifest names yet; `settle` or its `retire` follows. */
  openFile(info: ExtentFileInfo): Promise<ExtentFile> {
    return ExtentFile.open(this.#components, this.#path(info.fileId), info);
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
    if (file === undefined) {
      throw new HoldfastError('FILE_MISSING', `extent file is not there fileId=${ref.fileId}`);
    }
    const start = ref.position + offset;
    const cached = file.readCached(start, length);
    if (cached !== undefined) return cached;
    file.retain();
    try {
      return await file.read(start, length, into);
    } finally {
      file.release();
    }
  }

  file(fileId: number): ExtentFile | undefined {
    return this.#files.get(fileId);
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
    this.#writers.delete(file.info.fileId);
  }

  /** Forgets a writer whose file will not be used. */
  abandon(fileId: FileId): void {
    this.#writers.delete(fileId);
  }

  /** The manifest no longer names this file. */
  async drop(fileId: number): Promise<void> {
    const file = this.#files.get(fileId);
    if (file === undefined) return;
    this.#files.delete(fileId);
    void file.retire(); // with its last reader; it does not reject
    await this.#components.fileSystem.unlink(this.#path(fileId));
  }

  async close(): Promise<void> {
    for (const file of this.#files.values()) await file.retire();
    this.#files.clear();
    this.#writers.clear();
  }

  #path(fileId: number): string {
    return `${this.#dir}/${extentFileName(fileId as FileId)}`;
  }
}
