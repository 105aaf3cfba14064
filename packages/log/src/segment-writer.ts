/**
 * The one segment file that is written. FORMAT.md, "Log".
 *
 * Invariants
 * 1. A frame is written only below `zeroedTo`: over zeros that were synced, after a header
 *    that was synced. (With `reserve` the zeros need no sync: such a file counts only once all of
 *    it is synced.)
 * 2. No byte below `tail` is written again.
 * 3. One sync of the file is under way at a time: some systems report a failed sync to one
 *    caller only. So zeros are written beside the batches, but it is the sync of the next
 *    batch that makes them durable.
 *
 * Owned by the segment supply; one frame and one run of zeros are under way at most.
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
  incarnation = 0;
  /** Tag of the last frame, or of the header. */
  lastTag: Buffer = Buffer.alloc(16);
  #codec: BlockCodec | undefined;
  #tail = 0;
  #zeroedTo = 0;
  #writtenTo = 0;

  private constructor(id: SegmentId, file: FileHandle) {
    this.id = id;
    this.path = file.path;
    this.#file = file;
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
    try {
      const writer = new SegmentWriter(id, file);
      await writer.writeZeros(SEGMENT_HEADER_BYTES + bytes);
      await writer.datasync();
      await fileSystem.syncDirectory(directory);
      await cut('log.segmentPrepared');
      return writer;
    } catch (error) {
      await file.close().catch(() => undefined);
      // All zero and without a header: the next start removes it if this does not.
      await fileSystem.unlink(path).catch(() => undefined);
      throw error;
    }
  }

  /** For the frames: it exists once the header does. */
  get codec(): BlockCodec {
    assert(this.#codec !== undefined, 'segment has no header yet');
    return this.#codec;
  }

  /** Byte offset of the next frame; 0 before the header is written. */
  get tail(): number {
    return this.#tail;
  }

  /** Everything from the tail up to here is synced zeros. */
  get zeroedTo(): number {
    return this.#zeroedTo;
  }

  /** Zeros are written up to here; the next `datasync` moves `zeroedTo` along. */
  get writtenTo(): number {
    return this.#writtenTo;
  }

  /** Whether the segment holds frames. */
  get hasFrames(): boolean {
    return this.#tail > SEGMENT_HEADER_BYTES;
  }

  /**
   * Writes the header and makes it durable: the segment becomes the active one. Header and frames are
   * under the key that is active now.
   */
  async begin(codec: BlockCodec, header: Omit<SegmentHeader, 'id' | 'zeroedTo'>): Promise<void> {
    assert(this.#tail === 0, 'segment has a header already');
    const pinned = codec.pinned();
    const { bytes, tag } = encodeSegmentHeader(pinned, {
      ...header,
      id: this.id,
      zeroedTo: this.#zeroedTo,
    });
    writeFullySync(this.#file, bytes, 0);
    await this.#file.datasync();
    this.lastTag = Buffer.from(tag);
    this.incarnation = incarnationOf(header.salt);
    this.#codec = pinned.salted(header.salt);
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

  /** Makes everything written before the call durable. */
  async datasync(): Promise<void> {
    const covered = this.#writtenTo;
    await this.#file.datasync();
    this.#zeroedTo = covered;
  }

  /** Zeros up to `end`, which may take a while; frames may be written and synced meanwhile. */
  async writeZeros(end: number): Promise<void> {
    for (let at = this.#writtenTo; at < end; at += ZEROS.length) {
      await writeFully(this.#file, ZEROS.subarray(0, Math.min(ZEROS.length, end - at)), at);
    }
    this.#writtenTo = Math.max(this.#writtenTo, end);
    await cut('log.extended');
  }

  /**
   * `writeZeros` and `datasync` for a log that nobody reads before its last byte is synced: what
   * is not written reads as zeros already.
   */
  async reserve(end: number): Promise<void> {
    await this.#file.truncate(end);
    this.#writtenTo = end;
    this.#zeroedTo = end;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
