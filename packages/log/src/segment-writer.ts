/**
 * The one segment file that is written. FORMAT.md, "Log".
 *
 * Invariants
 * 1. A frame is written only below `zeroedTo`: over zeros that were synced, after a header
 *    that was synced.
 * 2. No byte below `tail` is written again.
 * 3. Zeros are written and synced through a handle of their own: the kernel reports a failed
 *    sync once per handle, so a failed extension can not use up the report the batches need.
 *
 * Owned by the segment supply; one frame and one extension are under way at most.
 */
import {
  type BlockCodec,
  type FileHandle,
  type FileSystem,
  LIMITS,
  type SegmentId,
  assert,
  cut,
  writeFully,
  writeFullySync,
} from '@holdfast/core';
import type { FrameHome } from './batch-frame.ts';
import {
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  encodeSegmentHeader,
  incarnationOf,
  segmentFileName,
} from './segment-header.ts';

/** Kept free behind every batch, so that the closing frame always fits. */
export const CLOSING_FRAME_BYTES: number = LIMITS.blockBytes;

/** Zeros written per call: longer calls would hold up the batches written beside them. */
const ZEROS: Buffer = Buffer.alloc(256 * 1024);

export class SegmentWriter implements FrameHome {
  readonly id: SegmentId;
  readonly path: string;
  readonly #file: FileHandle;
  readonly #zeroing: FileHandle;
  incarnation = 0;
  /** Tag of the last frame, or of the header. */
  lastTag: Buffer = Buffer.alloc(16);
  #tail = 0;
  #zeroedTo = 0;

  private constructor(id: SegmentId, file: FileHandle, zeroing: FileHandle) {
    this.id = id;
    this.path = file.path;
    this.#file = file;
    this.#zeroing = zeroing;
  }

  /** Makes a file of `bytes` synced zeros with a durable name, but no header yet. */
  static async prepare(
    fileSystem: FileSystem,
    directory: string,
    id: SegmentId,
    bytes: number,
  ): Promise<SegmentWriter> {
    const path = `${directory}/${segmentFileName(id)}`;
    const file = await fileSystem.open(path, 'create');
    let zeroing: FileHandle | undefined;
    try {
      zeroing = await fileSystem.open(path, 'write');
      const writer = new SegmentWriter(id, file, zeroing);
      await writer.extend(SEGMENT_HEADER_BYTES + bytes);
      await fileSystem.syncDirectory(directory);
      await cut('log.segmentPrepared');
      return writer;
    } catch (error) {
      await zeroing?.close().catch(() => undefined);
      await file.close().catch(() => undefined);
      // All zero and without a header: the next start removes it if this does not.
      await fileSystem.unlink(path).catch(() => undefined);
      throw error;
    }
  }

  /** Byte offset of the next frame; 0 before the header is written. */
  get tail(): number {
    return this.#tail;
  }

  /** Everything from the tail up to here is synced zeros. */
  get zeroedTo(): number {
    return this.#zeroedTo;
  }

  /** Whether the segment holds frames. */
  get hasFrames(): boolean {
    return this.#tail > SEGMENT_HEADER_BYTES;
  }

  /** Writes the header and makes it durable: the segment becomes the active one. */
  async begin(codec: BlockCodec, header: Omit<SegmentHeader, 'id' | 'zeroedTo'>): Promise<void> {
    assert(this.#tail === 0, 'segment has a header already');
    const { bytes, tag } = encodeSegmentHeader(codec, {
      ...header,
      id: this.id,
      zeroedTo: this.#zeroedTo,
    });
    writeFullySync(this.#file, bytes, 0);
    await this.#file.datasync();
    this.lastTag = Buffer.from(tag);
    this.incarnation = incarnationOf(header.salt);
    this.#tail = SEGMENT_HEADER_BYTES;
  }

  /** Whether a frame of `bytes` can be written now. */
  fits(bytes: number): boolean {
    return this.#tail + bytes + CLOSING_FRAME_BYTES <= this.#zeroedTo;
  }

  /** Hands the frame at the tail to the operating system; `datasync` makes it durable. */
  write(frame: Buffer, tag: Buffer): void {
    assert(
      this.#tail > 0 && this.#tail + frame.length <= this.#zeroedTo,
      'frame beyond the synced zeros',
    );
    writeFullySync(this.#file, frame, this.#tail);
    this.#tail += frame.length;
    tag.copy(this.lastTag);
  }

  datasync(): Promise<void> {
    return this.#file.datasync();
  }

  /** Moves `zeroedTo` to `end`, which may take a while; frames may be written meanwhile. */
  async extend(end: number): Promise<void> {
    for (let at = this.#zeroedTo; at < end; at += ZEROS.length) {
      await writeFully(this.#zeroing, ZEROS.subarray(0, Math.min(ZEROS.length, end - at)), at);
    }
    await this.#zeroing.datasync();
    this.#zeroedTo = Math.max(this.#zeroedTo, end);
    await cut('log.extended');
  }

  async close(): Promise<void> {
    await this.#zeroing.close();
    await this.#file.close();
  }
}
