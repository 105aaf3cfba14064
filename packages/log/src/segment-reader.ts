/**
 * Reads the frames of one segment in order, through a window of a few hundred KiB.
 *
 * Invariants
 * 1. A frame is given out only when it is intact and goes on exactly where the one before
 *    ended: position, LSN and chain.
 * 2. The memory of a window is never reused, so what was given out may be kept.
 */
import {
  type BlockCodec,
  type FileHandle,
  type FileSystem,
  HoldfastError,
  LIMITS,
  type SegmentId,
} from '@holdfast/core';
import {
  FRAME_HEAD_BYTES,
  type FrameHead,
  type FrameHome,
  openFrame,
  paddedLength,
  readFrameHead,
} from './batch-frame.ts';
import {
  SEGMENT_HEADER_BYTES,
  type StoredSegmentHeader,
  decodeSegmentHeader,
  incarnationOf,
} from './segment-header.ts';

export interface StoredFrame {
  readonly head: FrameHead;
  /** Memory that holds the frame, from `at` on. */
  readonly buffer: Buffer;
  readonly at: number;
  /** What `decodeRecords` reads. */
  readonly records: Buffer;
}

/** The frame after which reading stands. */
export interface FramePlace {
  /** Byte offset of the next frame. */
  readonly position: number;
  readonly nextLsn: number;
  /** What the next frame must chain to. */
  readonly tag: Buffer;
}

export class SegmentReader {
  readonly path: string;
  readonly size: number;
  readonly #file: FileHandle;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;

  private constructor(file: FileHandle, size: number) {
    this.path = file.path;
    this.#file = file;
    this.size = size;
  }

  static async open(fileSystem: FileSystem, path: string): Promise<SegmentReader> {
    const file = await fileSystem.open(path, 'read');
    try {
      return new SegmentReader(file, await file.size());
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The header, if an intact one of segment `id` stands at the start. */
  async header(codec: BlockCodec, id: SegmentId): Promise<StoredSegmentHeader | undefined> {
    const bytes = await this.bytes(0, Math.min(SEGMENT_HEADER_BYTES, this.size));
    return decodeSegmentHeader(codec, bytes, id);
  }

  /** The frame at `place`; `undefined` when there is no intact one. I1. */
  async frame(home: FrameHome, place: FramePlace): Promise<StoredFrame | undefined> {
    const { position } = place;
    if (this.size - position < FRAME_HEAD_BYTES) return undefined;
    if (!this.#holds(position, FRAME_HEAD_BYTES)) await this.#load(position, FRAME_HEAD_BYTES);
    let head = readFrameHead(this.#window, position - this.#windowAt, home, position);
    if (head === undefined || head.length > this.size - position) return undefined;
    if (!this.#holds(position, head.length)) {
      await this.#load(position, head.length);
      head = readFrameHead(this.#window, position - this.#windowAt, home, position);
      if (head === undefined) return undefined;
    }
    const buffer = this.#window;
    const at = position - this.#windowAt;
    const records = openFrame(buffer, at, home, position);
    if (records === undefined) return undefined;
    if (head.firstLsn !== place.nextLsn || !head.previousTag.equals(place.tag)) {
      throw new HoldfastError(
        'LSN_GAP',
        `batch does not go on where the one before ended path=${this.path} position=${position} expected=${place.nextLsn} found=${head.firstLsn}`,
        { details: { path: this.path, position, firstLsn: place.nextLsn } },
      );
    }
    return { head, buffer, at, records };
  }

  /** A view of `length` bytes at `position`; fewer at the end of the file. */
  async bytes(position: number, length: number): Promise<Buffer> {
    const wanted = Math.min(length, this.size - position);
    if (wanted <= 0) return Buffer.alloc(0);
    if (!this.#holds(position, wanted)) await this.#load(position, wanted);
    const at = position - this.#windowAt;
    return this.#window.subarray(at, at + wanted);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #holds(position: number, length: number): boolean {
    const at = position - this.#windowAt;
    return at >= 0 && at + length <= this.#window.length;
  }

  async #load(position: number, needed: number): Promise<void> {
    const length = Math.min(Math.max(needed, LIMITS.logReadBytes), this.size - position);
    const window = Buffer.allocUnsafeSlow(length);
    const read = await this.#file.read(window, position);
    this.#window = window.subarray(0, read);
    this.#windowAt = position;
    if (read < needed) {
      throw new HoldfastError(
        'CHECKSUM_MISMATCH',
        `segment became shorter while it was read path=${this.path} position=${position}`,
        { details: { path: this.path, position } },
      );
    }
  }
}

/** @param codec the one that opened the header */
export function homeOf(header: StoredSegmentHeader, codec: BlockCodec): FrameHome {
  return {
    id: header.id,
    incarnation: incarnationOf(header.salt),
    codec: codec.salted(header.salt),
  };
}

/** Where the first frame of a segment stands. */
export function firstPlace(header: StoredSegmentHeader): FramePlace {
  return { position: SEGMENT_HEADER_BYTES, nextLsn: header.firstLsn, tag: header.tag };
}

/** Where the frame after `head` stands. */
export function placeAfter(head: FrameHead): FramePlace {
  return {
    position: head.position + paddedLength(head.length),
    nextLsn: head.lastLsn + 1,
    tag: head.tag,
  };
}
