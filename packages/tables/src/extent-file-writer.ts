/**
 * Lays extents down in memory and writes them as one immutable file. FORMAT.md, "Extent file".
 *
 * Invariants
 * 1. The layout depends only on the lengths and the order of the extents: `add` knows the
 *    place at once and `write` may run any number of times.
 * 2. Parts are kept, not copied, and must not change; `read` serves them until the writer is
 *    let go.
 *
 * 3. A file is under one key, the one that is active when its writing begins.
 *
 * Owner: one checkpoint or rewrite.
 */
import {
  assert,
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  type BlockCodec,
  ByteWriter,
  type FileId,
  type FileSystem,
  HoldfastError,
  LIMITS,
} from '@holdfast/core';
import type { ExtentFileInfo } from './extent-file-info.ts';
import { dataBytesOf, encodeExtentFooter } from './extent-format.ts';
import type { ExtentRef } from './extent-ref.ts';
import { NewFile } from './new-file.ts';

interface Extent {
  readonly owner: Buffer;
  readonly ref: ExtentRef;
}

export class ExtentFileWriter {
  readonly fileId: FileId;
  readonly #blockBytes: number;
  readonly #extents: Extent[] = [];
  readonly #parts: Uint8Array[] = [];
  /** Position of each part in the payload space. */
  readonly #starts: number[] = [];
  #payloadBytes = 0;

  /** @param blockBytes payload of one data block; see `LIMITS.extentBlockBytes`. */
  constructor(fileId: FileId, blockBytes: number) {
    this.fileId = fileId;
    this.#blockBytes = blockBytes;
  }

  get payloadBytes(): number {
    return this.#payloadBytes;
  }

  get extents(): number {
    return this.#extents.length;
  }

  /** @param owner key of the row that will hold the ref. */
  add(owner: Buffer, parts: readonly Uint8Array[]): ExtentRef {
    if (owner.length > LIMITS.maxRowKeyBytes) {
      throw new HoldfastError('RECORD_TOO_LARGE', `owner key is too long bytes=${owner.length}`);
    }
    const position = this.#payloadBytes;
    for (const part of parts) {
      if (part.length === 0) continue;
      this.#parts.push(part);
      this.#starts.push(this.#payloadBytes);
      this.#payloadBytes += part.length;
    }
    const ref = { fileId: this.fileId, position, length: this.#payloadBytes - position };
    this.#extents.push({ owner, ref });
    return ref;
  }

  /** Bytes `offset` to `offset + length` of an extent, as views of its parts. */
  read(ref: ExtentRef, offset: number, length: number): Buffer[] {
    const end = ref.position + offset + length;
    assert(ref.fileId === this.fileId, 'an extent ref is read from another file');
    assert(
      offset >= 0 && length >= 0 && offset + length <= ref.length && end <= this.#payloadBytes,
      'a read reaches outside of its extent',
    );
    const views: Buffer[] = [];
    let at = ref.position + offset;
    for (let index = this.#partAt(at); at < end; index++) {
      const part = this.#parts[index] as Uint8Array;
      const skip = at - (this.#starts[index] as number);
      const size = Math.min(part.length - skip, end - at);
      views.push(Buffer.from(part.buffer, part.byteOffset + skip, size));
      at += size;
    }
    return views;
  }

  /**
   * Writes and syncs the file; a leftover of the same name is replaced. After a rejection
   * nothing is left, and it may be called again. The caller syncs the directory.
   */
  async write(
    components: { readonly fileSystem: FileSystem; readonly codec: BlockCodec },
    path: string,
  ): Promise<ExtentFileInfo> {
    const codec = components.codec.pinned();
    const file = await NewFile.create(components.fileSystem, path);
    try {
      await this.#writeData(file, codec);
      const directoryPosition = file.bytes;
      assert(
        directoryPosition === dataBytesOf(this.#payloadBytes, this.#blockBytes),
        'extent data has another size than its layout',
      );
      await this.#writeDirectory(file, codec);
      const { fileId } = this;
      const counts = { payloadBytes: this.#payloadBytes, extents: this.#extents.length };
      const footer = encodeExtentFooter({
        blockBytes: this.#blockBytes,
        directoryPosition,
        ...counts,
      });
      const place = { type: BLOCK_TYPES.extentFooter, fileId, position: file.bytes };
      await file.append(codec.encodeNew(footer, place));
      return { fileId, ...counts, ...(await file.finish()) };
    } catch (error) {
      await file.abandon();
      throw error;
    }
  }

  /** Fills one big buffer with whole blocks, writes it, and uses it again. */
  async #writeData(file: NewFile, codec: BlockCodec): Promise<void> {
    const stride = BLOCK_HEADER_BYTES + this.#blockBytes;
    const blocks = Math.ceil(this.#payloadBytes / this.#blockBytes);
    const perWrite = Math.min(blocks, Math.max(1, Math.floor(LIMITS.fileReadBytes / stride)));
    const buffer = Buffer.allocUnsafeSlow(perWrite * stride);
    const source = { part: 0, at: 0 };
    for (let block = 0; block < blocks;) {
      let used = 0;
      for (; block < blocks && used + stride <= buffer.length; block++) {
        const payloadLength = Math.min(
          this.#blockBytes,
          this.#payloadBytes - block * this.#blockBytes,
        );
        this.#copyParts(source, buffer, used + BLOCK_HEADER_BYTES, payloadLength);
        codec.encode(buffer, used, {
          type: BLOCK_TYPES.extentData,
          payloadLength,
          fileId: this.fileId,
          position: block * stride,
        });
        used += BLOCK_HEADER_BYTES + payloadLength;
      }
      await file.append(buffer.subarray(0, used));
    }
  }

  /** Copies the next `length` bytes of all parts. */
  #copyParts(
    source: { part: number; at: number },
    target: Buffer,
    start: number,
    length: number,
  ): void {
    const end = start + length;
    for (let to = start; to < end;) {
      const part = this.#parts[source.part] as Uint8Array;
      const size = Math.min(part.length - source.at, end - to);
      target.set(part.subarray(source.at, source.at + size), to);
      to += size;
      source.at += size;
      if (source.at === part.length) {
        source.part++;
        source.at = 0;
      }
    }
  }

  async #writeDirectory(file: NewFile, codec: BlockCodec): Promise<void> {
    for (let next = 0; next < this.#extents.length;) {
      const payload = new ByteWriter(this.#blockBytes);
      do {
        const { owner, ref } = this.#extents[next] as Extent;
        payload.bytes(owner).varint(ref.position).varint(ref.length);
        next++;
      } while (
        next < this.#extents.length &&
        payload.length + (this.#extents[next] as Extent).owner.length + MAX_VARINTS_BYTES <=
          this.#blockBytes
      );
      const place = {
        type: BLOCK_TYPES.extentDirectory,
        fileId: this.fileId,
        position: file.bytes,
      };
      await file.append(codec.encodeNew(payload.finish(), place));
    }
  }

  /** Index of the part that holds `position`. */
  #partAt(position: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as number) <= position) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** Three varints of at most eight bytes. */
const MAX_VARINTS_BYTES = 24;
