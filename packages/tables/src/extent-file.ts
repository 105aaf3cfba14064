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
import type { ExtentFileInfo } from './extent-file-info.ts';
import {
  dataBytesOf,
  decodeExtentFooter,
  EXTENT_FOOTER_BYTES,
  type ExtentFooter,
} from './extent-format.ts';
import type { ExtentRef } from './extent-ref.ts';
import { digestHolds, problemFrom } from './file-digest.ts';
import type { FileProblem } from './file-problem.ts';
import type { Pace } from './pace.ts';
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
  readonly #file: SharedFile;
  readonly #codec: BlockCodec;
  readonly #cache: BlockCache;
  readonly #footer: ExtentFooter;
  readonly #blockBytes: number;
  readonly #stride: number;
  readonly #blocksPerRead: number;

  private constructor(
    components: ExtentFileComponents,
    file: SharedFile,
    info: ExtentFileInfo,
    footer: ExtentFooter,
  ) {
    this.path = file.path;
    this.info = info;
    this.#file = file;
    this.#codec = components.codec;
    this.#cache = components.cache;
    this.#footer = footer;
    this.#blockBytes = footer.blockBytes;
    this.#stride = BLOCK_HEADER_BYTES + footer.blockBytes;
    this.#blocksPerRead = Math.max(1, Math.floor(LIMITS.fileReadBytes / this.#stride));
  }

  /**
   * Rejects with `FILE_MISSING`, or `CHECKSUM_MISMATCH` when the file is not the one `info`
   * speaks of. Data blocks are not looked at yet.
   */
  static async open(
    components: ExtentFileComponents,
    path: string,
    info: ExtentFileInfo,
  ): Promise<ExtentFile> {
    const file = await SharedFile.open(components.fileSystem, path);
    try {
      const problem = file.sizeProblem(info.bytes);
      if (problem !== undefined) throw problem;
      const position = info.bytes - EXTENT_FOOTER_BYTES;
      if (position < 0) throw damaged(path, 0, 'it is too short for an extent file');
      const block = await file.read(position, EXTENT_FOOTER_BYTES);
      const place = { type: BLOCK_TYPES.extentFooter, fileId: info.fileId, position, path };
      const footer = decodeExtentFooter(components.codec.decode(block, 0, place), path);
      if (
        footer.payloadBytes !== info.payloadBytes ||
        footer.extents !== info.extents ||
        footer.blockBytes === 0 ||
        footer.directoryPosition !== dataBytesOf(footer.payloadBytes, footer.blockBytes) ||
        footer.directoryPosition > position
      ) {
        throw damaged(path, position, 'it is not the extent file the manifest names');
      }
      return new ExtentFile(components, file, info, footer);
    } catch (error) {
      await file.retire();
      throw error;
    }
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
    this.#file.retain(); // I4
    try {
      const first = Math.floor(position / this.#blockBytes);
      const last = Math.floor((position + length - 1) / this.#blockBytes);
      return last - first < CACHED_READ_BLOCKS
        ? await this.#readThroughCache(position, length, first, last)
        : await this.#readPastCache(position, length, first, last, into);
    } finally {
      this.#file.release();
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
    this.#file.retain();
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
      this.#file.release();
    }
  }

  /** Re-reads every byte; says where it is damaged. Rejects only when it cannot go on. */
  async verify(onProblem: (problem: FileProblem) => void, pace?: Pace): Promise<void> {
    this.#file.retain();
    try {
      if (await digestHolds(this.#file, this.info, pace)) return;
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
      this.#file.release();
    }
  }

  /** One reader more; the file stays open until as many `release` calls. */
  retain(): void {
    this.#file.retain();
  }

  release(): void {
    this.#file.release();
  }

  /** Resolves once the last reader is gone, the handle closed and the cache clean of it. */
  async retire(): Promise<void> {
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

  /** Blocks `first` to `last` with one disk read, each checked. */
  async #readBlocks(first: number, last: number, into?: Buffer): Promise<Buffer[]> {
    const start = first * this.#stride;
    const end = Math.min((last + 1) * this.#stride, this.#footer.directoryPosition);
    const bytes = await this.#file.read(start, end - start, into);
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
    const bytes = await this.#file.read(position, Math.min(most, end - position));
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
