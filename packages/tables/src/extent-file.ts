/**
 * An open extent file: the path of every catch-up read. FORMAT.md, "Extent file".
 *
 * Invariants
 * 1. Every byte given out lies in a block whose checksum held when it came from disk.
 * 2. What is given out is a view; its memory is never reused or changed.
 * 3. Reads of one or two blocks go through the cache. Longer ones pass it by: one disk read
 *    for adjacent blocks, of which only the last, when the reader stopped inside it, is kept
 *    until that reader comes for the rest. So a long reader holds one cached block at a time.
 * 4. A read in progress keeps the file open, also after `retire`.
 * 5. Damage costs what lies in it and nothing else: the footer, and a file that is too short,
 *    only become `damage`, for all the footer says follows from the manifest and the blocks.
 *
 * Owner: the database's set of extent files.
 */
import {
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  type BlockCodec,
  ByteReader,
  type FileSystem,
  HoldfastError,
  LIMITS,
} from '@holdfast/core';
import type { BlockCache } from './block-cache.ts';
import { putCopy, type RebuildOptions } from './copy-file.ts';
import type { ExtentFileInfo } from './extent-file-info.ts';
import { EXTENT_FOOTER_BYTES, encodeExtentFooter, type ExtentFooter } from './extent-format.ts';
import { readFooter } from './extent-footer.ts';
import type { ExtentRef } from './extent-ref.ts';
import { type CopyState, copyStateAfter, digestHolds, problemFrom } from './file-digest.ts';
import type { FileProblem } from './file-problem.ts';
import type { Pace } from './pace.ts';
import { ReaderCount } from './reader-count.ts';
import { SharedFile } from './shared-file.ts';
import { damaged } from './storage-error.ts';

export interface ExtentFileComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly cache: BlockCache;
}

export interface ExtentDirectoryEntry {
  /** Key of the row that held the ref when the file was written. */
  readonly owner: Buffer;
  readonly ref: ExtentRef;
}

const CACHED_READ_BLOCKS = 2;

export class ExtentFile {
  readonly path: string;
  readonly info: ExtentFileInfo;
  readonly #fileSystem: FileSystem;
  #file: SharedFile;
  #damage: HoldfastError | undefined;
  readonly #codec: BlockCodec;
  readonly #cache: BlockCache;
  readonly #readers: ReaderCount;
  readonly #footer: ExtentFooter;
  readonly #blockBytes: number;
  readonly #stride: number;
  readonly #blocksPerRead: number;

  private constructor(
    components: ExtentFileComponents,
    file: SharedFile,
    info: ExtentFileInfo,
    footer: ExtentFooter,
    damage: HoldfastError | undefined,
  ) {
    this.path = file.path;
    this.info = info;
    this.#fileSystem = components.fileSystem;
    this.#file = file;
    this.#damage = damage;
    this.#readers = new ReaderCount(file.path);
    this.#codec = components.codec;
    this.#cache = components.cache;
    this.#footer = footer;
    this.#blockBytes = footer.blockBytes;
    this.#stride = BLOCK_HEADER_BYTES + footer.blockBytes;
    this.#blocksPerRead = Math.max(1, Math.floor(LIMITS.fileReadBytes / this.#stride));
  }

  /**
   * Rejects with `FILE_MISSING` or `STORAGE_UNAVAILABLE` when there is nothing to read. What is
   * wrong with the file itself is in `damage` (I5). Data blocks are not looked at yet.
   */
  static async open(
    components: ExtentFileComponents,
    path: string,
    info: ExtentFileInfo,
  ): Promise<ExtentFile> {
    const file = await SharedFile.open(components.fileSystem, path);
    try {
      const { footer, damage } = await readFooter(file, components.codec, info);
      return new ExtentFile(components, file, info, footer, damage);
    } catch (error) {
      await file.retire();
      throw error;
    }
  }

  /** What was found wrong with its size or footer when it was opened. */
  get damage(): HoldfastError | undefined {
    return this.#damage;
  }

  /**
   * Checked views of `length` payload bytes from `position`, in order.
   *
   * @param into memory of the caller that a long read may use instead of its own; the views may
   * then lie in it, and are gone with the next use.
   */
  async read(position: number, length: number, into?: Buffer): Promise<Buffer[]> {
    const cached = this.readCached(position, length);
    if (cached !== undefined) return cached;
    this.#readers.retain(); // I4
    try {
      const first = Math.floor(position / this.#blockBytes);
      const last = Math.floor((position + length - 1) / this.#blockBytes);
      return last - first < CACHED_READ_BLOCKS
        ? await this.#readThroughCache(position, length, first, last)
        : await this.#readPastCache(position, length, first, last, into);
    } finally {
      this.#readers.release();
    }
  }

  /** The same without leaving the turn, when all of it is cached. */
  readCached(position: number, length: number): Buffer[] | undefined {
    this.#assertInside(position, length);
    if (length === 0) return [];
    const first = Math.floor(position / this.#blockBytes);
    const last = Math.floor((position + length - 1) / this.#blockBytes);
    const views: Buffer[] = [];
    for (let block = first; block <= last; block++) {
      const payload = this.#cache.get(this.info.fileId, block * this.#stride);
      if (payload === undefined) return undefined;
      views.push(this.#within(payload, block, position, length));
    }
    return views;
  }

  /** Every extent with its owner, in the order of their positions. */
  async *directory(): AsyncGenerator<ExtentDirectoryEntry, void, undefined> {
    this.#readers.retain();
    try {
      const end = this.info.bytes - EXTENT_FOOTER_BYTES;
      let extents = 0;
      for (let position = this.#footer.directoryPosition; position < end;) {
        const payload = await this.#readDirectoryBlock(position, end);
        const reader = new ByteReader(payload);
        while (reader.remaining > 0) {
          const owner = reader.bytes();
          const ref = {
            fileId: this.info.fileId,
            position: reader.varint(),
            length: reader.varint(),
          };
          this.#assertInside(ref.position, ref.length);
          extents++;
          yield { owner, ref };
        }
        position += BLOCK_HEADER_BYTES + payload.length;
      }
      if (extents !== this.info.extents) {
        throw damaged(this.path, this.#footer.directoryPosition, 'the directory is incomplete');
      }
    } finally {
      this.#readers.release();
    }
  }

  /** Re-reads every byte; says where it is damaged. Rejects only when it cannot go on. */
  async verify(onProblem: (problem: FileProblem) => void, pace?: Pace): Promise<void> {
    this.#readers.retain();
    try {
      const state = await this.check(pace);
      if (state === 'whole') return;
      if (state === 'missing') {
        onProblem({ path: this.path, position: 0, message: 'file is not there' });
        return;
      }
      let found = await this.#verifyData(onProblem, pace);
      try {
        for await (const entry of this.directory()) void entry;
      } catch (error) {
        onProblem(problemFrom(error, this.path, this.#footer.directoryPosition));
        found++;
      }
      if (found === 0) onProblem({ path: this.path, position: 0, message: 'file digest differs' });
    } catch (error) {
      onProblem(problemFrom(error, this.path, 0));
    } finally {
      this.#readers.release();
    }
  }

  /** Re-reads every byte of the file that has the name now. Rejects when it cannot tell. */
  async check(pace?: Pace): Promise<CopyState> {
    let file: SharedFile | undefined;
    try {
      file = await SharedFile.open(this.#fileSystem, this.path);
      if (file.sizeProblem(this.info.bytes) !== undefined) return 'damaged';
      return (await digestHolds(file, this.info, pace)) ? 'whole' : 'damaged';
    } catch (error) {
      return copyStateAfter(error);
    } finally {
      await file?.retire();
    }
  }

  /**
   * Makes the file anew from what is open, with the footer that belongs to it: mends a footer, a
   * wrong size, and a name that was lost or leads elsewhere. Rejects with a corrupt code, and
   * changes nothing, when a byte of the data or the directory is damaged.
   */
  async rebuild(options: RebuildOptions): Promise<void> {
    const { path, info } = this;
    const end = info.bytes - EXTENT_FOOTER_BYTES;
    this.#readers.retain();
    try {
      await putCopy(
        this.#fileSystem,
        { path, digest: info.digest },
        options,
        async (append) => {
          for (let at = 0; at < end; at += LIMITS.fileReadBytes) {
            await append(await this.#readBytes(at, Math.min(LIMITS.fileReadBytes, end - at)));
          }
          const place = {
            type: BLOCK_TYPES.extentFooter,
            fileId: info.fileId,
            position: end,
          };
          // The same bytes as ever, encrypted or not.
          const codec = this.#codec.under(await this.keyId());
          await append(codec.encodeNew(encodeExtentFooter(this.#footer), place));
        },
        () => {
          if (!this.#readers.retired) return;
          throw new HoldfastError('CLOSED', `file was retired path=${path}`);
        },
      );
      const old = this.#file;
      this.#file = await SharedFile.open(this.#fileSystem, path);
      this.#damage = undefined;
      void old.retire(); // with its last reader; it does not reject
    } finally {
      this.#readers.release();
    }
  }

  /** The key that the file is under, 0 when it is not encrypted, as its first block says. */
  async keyId(): Promise<number> {
    const header = this.#codec.peekHeader(await this.#readBytes(0, BLOCK_HEADER_BYTES), 0);
    if (header === undefined) throw damaged(this.path, 0, 'its first block is damaged');
    return header.keyId;
  }

  /** One reader more; the file stays open until as many `release` calls. */
  retain(): void {
    this.#readers.retain();
  }

  release(): void {
    this.#readers.release();
  }

  /** Resolves once the last reader is gone, the handle closed and the cache clean of it. */
  async retire(): Promise<void> {
    await this.#readers.retire();
    await this.#file.retire();
    this.#cache.drop(this.info.fileId);
  }

  async #readThroughCache(
    position: number,
    length: number,
    first: number,
    last: number,
  ): Promise<Buffer[]> {
    const views: Buffer[] = [];
    for (let block = first; block <= last; block++) {
      let payload = this.#cache.get(this.info.fileId, block * this.#stride);
      if (payload === undefined) {
        payload = (await this.#readBlocks(block, block))[0] as Buffer;
        this.#cache.set(this.info.fileId, block * this.#stride, payload);
      }
      views.push(this.#within(payload, block, position, length));
    }
    return views;
  }

  async #readPastCache(
    position: number,
    length: number,
    first: number,
    last: number,
    into: Buffer | undefined,
  ): Promise<Buffer[]> {
    const { fileId } = this.info;
    let room = into;
    const views: Buffer[] = [];
    let block = first;
    if (position % this.#blockBytes !== 0) {
      const carried = this.#cache.take(fileId, first * this.#stride); // I3
      if (carried !== undefined) {
        views.push(this.#within(carried, first, position, length));
        block++;
      }
    }
    while (block <= last) {
      const end = Math.min(last, block + this.#blocksPerRead - 1);
      const payloads = await this.#readBlocks(block, end, room);
      room = undefined; // what one disk read took is in the views
      for (const payload of payloads) {
        views.push(this.#within(payload, block, position, length));
        if (block === last && position + length < block * this.#blockBytes + payload.length) {
          this.#cache.set(fileId, block * this.#stride, ownCopy(payload)); // I3
        }
        block++;
      }
    }
    return views;
  }

  /** Keeps the handle it began with, also while the file is made anew. */
  async #readBytes(position: number, length: number, into?: Buffer): Promise<Buffer> {
    const file = this.#file;
    file.retain();
    try {
      return await file.read(position, length, into);
    } finally {
      file.release();
    }
  }

  /** Blocks `first` to `last` with one disk read, each checked. */
  async #readBlocks(first: number, last: number, into?: Buffer): Promise<Buffer[]> {
    const start = first * this.#stride;
    const end = Math.min((last + 1) * this.#stride, this.#footer.directoryPosition);
    const bytes = await this.#readBytes(start, end - start, into);
    const payloads: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += this.#stride) {
      payloads.push(this.#decodeData(bytes, at, start + at));
    }
    return payloads;
  }

  #decodeData(bytes: Buffer, at: number, position: number): Buffer {
    const { path } = this;
    const payload = this.#codec.decode(bytes, at, {
      type: BLOCK_TYPES.extentData,
      fileId: this.info.fileId,
      position,
      path,
    });
    const expected = Math.min(this.#stride, this.#footer.directoryPosition - position);
    if (payload.length + BLOCK_HEADER_BYTES !== expected) {
      throw damaged(path, position, 'a block has another length');
    }
    return payload;
  }

  async #readDirectoryBlock(position: number, end: number): Promise<Buffer> {
    const { path } = this;
    const most = BLOCK_HEADER_BYTES + Math.max(this.#blockBytes, LIMITS.maxRowKeyBytes + 64);
    const bytes = await this.#readBytes(position, Math.min(most, end - position));
    return this.#codec.decode(bytes, 0, {
      type: BLOCK_TYPES.extentDirectory,
      fileId: this.info.fileId,
      position,
      path,
    });
  }

  /** The part of a block that a read asked for. */
  #within(payload: Buffer, block: number, position: number, length: number): Buffer {
    const start = block * this.#blockBytes;
    return payload.subarray(Math.max(0, position - start), position + length - start);
  }

  /** A damaged block is one problem; the next one stands where it would anyway. */
  async #verifyData(
    onProblem: (problem: FileProblem) => void,
    pace: Pace | undefined,
  ): Promise<number> {
    let found = 0;
    const blocks = Math.ceil(this.#footer.payloadBytes / this.#blockBytes);
    for (let block = 0; block < blocks; block++) {
      try {
        await this.#readBlocks(block, block);
      } catch (error) {
        onProblem(problemFrom(error, this.path, block * this.#stride));
        found++;
      }
      await pace?.(this.#stride);
    }
    return found;
  }

  #assertInside(position: number, length: number): void {
    if (position >= 0 && length >= 0 && position + length <= this.#footer.payloadBytes) return;
    throw new HoldfastError(
      'FORMAT_INVALID',
      `an extent reaches outside of its file path=${this.path} position=${position} length=${length}`,
    );
  }
}

/** A cached view of a big read would pin all of it. */
function ownCopy(payload: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(payload.length);
  payload.copy(copy);
  return copy;
}
