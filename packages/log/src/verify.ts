/**
 * Re-reads every byte of the log and reports what is wrong; changes nothing.
 *
 * Invariants
 * 1. Damage does not end it: it goes on at the next intact head and names the records lost.
 * 2. Of the active segment only what was durable at the start of its turn is judged.
 * 3. It keeps no segment from going: at a slow pace the log would grow meanwhile.
 */
import {
  type BlockCodec,
  type FileSystem,
  HoldfastError,
  LIMITS,
  type Lsn,
  hasCode,
  isHoldfastError,
  isZero,
  systemErrorCode,
} from '@holdfast/core';
import { type FrameHome, decodeRecords, readFrameHead } from './batch-frame.ts';
import type { LiveSegment } from './live-segments.ts';
import type { VerifyProblem, VerifyReport } from './log.ts';
import {
  type FramePlace,
  SegmentReader,
  type StoredFrame,
  firstPlace,
  homeOf,
  placeAfter,
} from './segment-reader.ts';
import { SEGMENT_HEADER_USED_BYTES } from './segment-header.ts';

const EVERYTHING = { from: 0, to: Number.MAX_SAFE_INTEGER };

export class Verification {
  readonly #fileSystem: FileSystem;
  readonly #codec: BlockCodec;
  readonly #pace: (bytes: number) => Promise<void> | undefined;
  readonly #isNeeded: (segment: LiveSegment) => boolean;
  readonly #problems: VerifyProblem[] = [];
  #batches = 0;
  #records = 0;
  #bytes = 0;

  /**
   * @param pace awaited after every batch, with its bytes; what it rejects with ends the work.
   * @param isNeeded false once a segment may go, or went.
   */
  constructor(
    fileSystem: FileSystem,
    codec: BlockCodec,
    pace: (bytes: number) => Promise<void> | undefined = () => undefined,
    isNeeded: (segment: LiveSegment) => boolean = () => true,
  ) {
    this.#fileSystem = fileSystem;
    this.#codec = codec;
    this.#pace = pace;
    this.#isNeeded = isNeeded;
  }

  /** @param open the segment whose end is not judged: the active one, or where a crash tore. */
  async run(
    all: readonly LiveSegment[],
    open: LiveSegment | undefined,
    onSegment: (bytes: number) => void = () => undefined,
  ): Promise<VerifyReport> {
    for (const segment of all) {
      if (!this.#isNeeded(segment)) continue;
      await this.#segment(segment, segment === open);
      onSegment(this.#bytes);
    }
    return {
      segments: all.length,
      batches: this.#batches,
      records: this.#records,
      bytes: this.#bytes,
      problems: this.#problems,
    };
  }

  async #segment(segment: LiveSegment, active: boolean): Promise<void> {
    const end = segment.bytes;
    const lastLsn = segment.lastLsn;
    let reader: SegmentReader | undefined;
    try {
      reader = await SegmentReader.open(this.#fileSystem, segment.path);
      const header = await reader.header(this.#codec, segment.id);
      if (header === undefined) {
        this.#lost(segment, 0, 'segment header is damaged', segment.firstLsn, lastLsn);
        return;
      }
      await this.#zeros(reader, SEGMENT_HEADER_USED_BYTES, LIMITS.blockBytes);
      const home = homeOf(header, this.#codec);
      await this.#frames(reader, segment, home, firstPlace(header), end, lastLsn);
      if (!active) await this.#zeros(reader, end, reader.size);
      this.#bytes += active ? end : reader.size;
    } catch (error) {
      if (isHoldfastError(error) && error.kind === 'closed') throw error;
      // What cannot be read for want of a key is not damaged.
      if (hasCode(error, 'KEY_MISSING')) throw error;
      if (!this.#isNeeded(segment)) return;
      assertHandles(error, segment.path);
      const message = isHoldfastError(error) ? error.message : `cannot be read: ${String(error)}`;
      this.#lost(segment, 0, message, segment.firstLsn, lastLsn);
    } finally {
      await reader?.close();
    }
  }

  async #frames(
    reader: SegmentReader,
    segment: LiveSegment,
    home: FrameHome,
    start: FramePlace,
    end: number,
    lastLsn: number,
  ): Promise<void> {
    let place = start;
    while (place.position < end) {
      const frame = await this.#tryFrame(reader, home, place);
      if (frame === undefined) {
        const next = await this.#nextPlace(reader, home, place.position, end);
        const lost = next === undefined ? lastLsn : next.nextLsn - 1;
        const message = 'an acknowledged batch is damaged';
        this.#lost(segment, place.position, message, place.nextLsn, lost);
        if (next === undefined) return;
        place = next;
        continue;
      }
      const { head } = frame;
      this.#batches++;
      this.#records += decodeRecords(frame.records, head, EVERYTHING).length;
      await this.#zeros(reader, place.position + head.length, placeAfter(head).position);
      place = placeAfter(head);
      await this.#pace(head.length);
    }
  }

  async #tryFrame(
    reader: SegmentReader,
    home: FrameHome,
    place: FramePlace,
  ): Promise<StoredFrame | undefined> {
    try {
      return await reader.frame(home, place);
    } catch (error) {
      if (isHoldfastError(error) && error.kind === 'corrupt') return undefined;
      throw error;
    }
  }

  /** I1. Where an intact head stands behind the damage at `position`. */
  async #nextPlace(
    reader: SegmentReader,
    home: FrameHome,
    position: number,
    end: number,
  ): Promise<FramePlace | undefined> {
    for (let at = position + LIMITS.blockBytes; at < end; at += LIMITS.blockBytes) {
      const block = await reader.bytes(at, LIMITS.sectorBytes);
      const head = readFrameHead(block, 0, home, at);
      if (head === undefined) continue;
      return { position: at, nextLsn: head.firstLsn, tag: Buffer.from(head.previousTag) };
    }
    return undefined;
  }

  async #zeros(reader: SegmentReader, from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += LIMITS.blockBytes) {
      const bytes = await reader.bytes(at, Math.min(LIMITS.blockBytes, to - at));
      if (isZero(bytes)) continue;
      this.#problems.push({
        path: reader.path,
        position: at,
        message: 'bytes that must be zero are not; no record is lost',
      });
    }
  }

  #lost(
    segment: LiveSegment,
    position: number,
    message: string,
    firstLsn: number,
    lastLsn: number,
  ): void {
    const problem = { path: segment.path, position, message };
    const range = firstLsn > lastLsn ? {} : { firstLsn: firstLsn as Lsn, lastLsn: lastLsn as Lsn };
    this.#problems.push({ ...problem, ...range });
  }
}

/** Without a file handle nothing is known of the segment. */
function assertHandles(cause: unknown, path: string): void {
  const systemCode = systemErrorCode(cause);
  if (systemCode !== 'EMFILE' && systemCode !== 'ENFILE') return;
  throw new HoldfastError('STORAGE_UNAVAILABLE', `no file handle is left to read path=${path}`, {
    cause,
    details: { path, systemCode },
  });
}
