/**
 * Reads the whole log at start, decides what its end is, and makes that end durable.
 * FORMAT.md, "Recovery".
 *
 * Invariants
 * 1. Every byte of every batch is checked; damage to acknowledged data rejects and changes
 *    nothing.
 * 2. A header that names the last frame of the segment before proves where that one ended:
 *    nothing behind that frame was acknowledged, whatever it looks like.
 * 3. Only the end of the last segment is ever written to, and doing it twice, or half and
 *    then again, ends in the same state.
 */
import {
  type BlockCodec,
  type FileHandle,
  type FileSystem,
  HoldfastError,
  LIMITS,
  type Lsn,
  type SegmentId,
  cut,
  isZero,
  writeFully,
} from '@holdfast/core';
import type { LiveSegment } from './live-segments.ts';
import type { ChainTail } from './segment-supply.ts';
import { type StoredSegmentHeader, TAG_BYTES, parseSegmentFileName } from './segment-header.ts';
import {
  type FramePlace,
  SegmentReader,
  type StoredFrame,
  firstPlace,
  homeOf,
  placeAfter,
} from './segment-reader.ts';
import { damagedBatch, judgeTail } from './tail-verdict.ts';

export interface RecoveredLog {
  /** Those that hold records, oldest first. */
  readonly segments: readonly LiveSegment[];
  /** Files without a record of the log; may go once a newer segment is durable. */
  readonly leftovers: readonly string[];
  /** What the next segment's header has to name. */
  readonly tail: ChainTail;
  readonly nextSegmentId: number;
  readonly nextLsn: Lsn;
  readonly lastCommittedAtMs: number;
  readonly records: number;
  readonly tornBytes: number;
}

interface FoundSegment {
  readonly path: string;
  readonly header: StoredSegmentHeader;
}

/** What is known of the log up to some segment. */
interface Progress {
  segments: LiveSegment[];
  leftovers: string[];
  tail: ChainTail;
  nextLsn: number;
  lastCommittedAtMs: number;
  records: number;
  tornBytes: number;
}

export class Recovery {
  readonly #fileSystem: FileSystem;
  readonly #codec: BlockCodec;
  readonly #directory: string;

  readonly #readOnly: boolean;

  /** @param options `readOnly`: says what recovery would find, and leaves the end as it is. */
  constructor(
    fileSystem: FileSystem,
    codec: BlockCodec,
    directory: string,
    options: { readonly readOnly?: boolean } = {},
  ) {
    this.#fileSystem = fileSystem;
    this.#codec = codec;
    this.#directory = directory;
    this.#readOnly = options.readOnly === true;
  }

  async run(): Promise<RecoveredLog> {
    const { found, blank, highestId } = await this.#findSegments();
    const oldest = found[0]?.header;
    const progress: Progress = {
      segments: [],
      leftovers: blank,
      tail: {
        segmentId: oldest?.previousId ?? (0 as SegmentId),
        tag: oldest?.previousTag ?? Buffer.alloc(TAG_BYTES),
      },
      nextLsn: oldest?.firstLsn ?? 1,
      lastCommittedAtMs: 0,
      records: 0,
      tornBytes: 0,
    };
    for (const [index, segment] of found.entries()) {
      await this.#recoverSegment(segment, found[index + 1], progress);
    }
    return {
      ...progress,
      nextLsn: progress.nextLsn as Lsn,
      nextSegmentId: highestId + 1,
    };
  }

  /** All segment files by id: those with a header, and those that were never begun. */
  async #findSegments(): Promise<{ found: FoundSegment[]; blank: string[]; highestId: number }> {
    const names = await this.#fileSystem.list(this.#directory);
    const ids = names.map(parseSegmentFileName).filter((id) => id !== undefined);
    ids.sort((a, b) => a - b);
    const found: FoundSegment[] = [];
    const blank = new Map<SegmentId, string>();
    for (const id of ids) {
      const path = `${this.#directory}/${String(id).padStart(16, '0')}.seg`;
      const reader = await SegmentReader.open(this.#fileSystem, path);
      try {
        const header = await reader.header(this.#codec, id);
        if (header !== undefined) found.push({ path, header });
        else if (await isBlank(reader)) blank.set(id, path);
        else throw damagedHeader(path);
      } finally {
        await reader.close();
      }
    }
    for (const { header } of found) {
      // A segment that another goes on from held batches once.
      const wiped = blank.get(header.previousId);
      if (wiped !== undefined) throw damagedHeader(wiped);
    }
    return { found, blank: [...blank.values()], highestId: ids.at(-1) ?? 0 };
  }

  async #recoverSegment(
    segment: FoundSegment,
    next: FoundSegment | undefined,
    progress: Progress,
  ): Promise<void> {
    const { path, header } = segment;
    this.#assertGoesOn(segment, progress);
    progress.lastCommittedAtMs = Math.max(progress.lastCommittedAtMs, header.createdAtMs);
    if (next !== undefined && next.header.previousId < header.id) {
      // I2. The next segment goes on from an earlier one: nothing here was acknowledged.
      progress.leftovers.push(path);
      return;
    }
    const reader = await SegmentReader.open(this.#fileSystem, path);
    try {
      const bound = next?.header.previousId === header.id ? next.header : undefined;
      const end = await this.#readFrames(reader, segment, bound, progress);
      if (next === undefined) await this.#settleEnd(reader, segment, end, progress);
      if (end.last === undefined) {
        progress.leftovers.push(path);
        return;
      }
      progress.segments.push({
        id: header.id,
        path,
        firstLsn: header.firstLsn,
        lastLsn: (end.place.nextLsn - 1) as Lsn,
        bytes: end.place.position,
        keyId: header.keyId,
      });
      progress.tail = { segmentId: header.id, tag: Buffer.from(end.place.tag) };
      progress.nextLsn = end.place.nextLsn;
    } finally {
      await reader.close();
    }
  }

  /** The segment must be the one that follows what was read so far. */
  #assertGoesOn({ path, header }: FoundSegment, progress: Progress): void {
    const { tail, nextLsn } = progress;
    if (
      header.previousId === tail.segmentId &&
      header.firstLsn === nextLsn &&
      header.previousTag.equals(tail.tag)
    ) {
      return;
    }
    const missing = header.previousId > tail.segmentId;
    const lost = `firstLsn=${nextLsn} lastLsn=${header.firstLsn - 1}`;
    throw new HoldfastError(
      missing ? 'FILE_MISSING' : 'LSN_GAP',
      `${missing ? 'a segment is missing' : 'segments do not fit together'}, restore from a backup or replica before=${path} ${lost}`,
      { details: { path, firstLsn: nextLsn, lastLsn: header.firstLsn - 1 } },
    );
  }

  /** @param bound the header that names this segment as the one before it */
  async #readFrames(
    reader: SegmentReader,
    segment: FoundSegment,
    bound: StoredSegmentHeader | undefined,
    progress: Progress,
  ): Promise<{ place: FramePlace; last: StoredFrame | undefined }> {
    const home = homeOf(segment.header, this.#codec);
    let place = firstPlace(segment.header);
    let last: StoredFrame | undefined;
    for (;;) {
      if (bound !== undefined && endsBefore(bound, place)) break;
      const frame = await reader.frame(home, place);
      if (frame === undefined) {
        if (bound === undefined) break;
        const lastLsn = await this.#lastLostLsn(reader, segment, place, bound);
        throw damagedBatch(reader.path, place, lastLsn, 'an acknowledged batch is damaged');
      }
      last = frame;
      place = placeAfter(frame.head);
      progress.records += frame.head.recordCount;
      progress.lastCommittedAtMs = Math.max(progress.lastCommittedAtMs, frame.head.committedAtMs);
    }
    return { place, last };
  }

  /** How far the damage at `place` of a sealed segment reaches: to the next intact head. */
  async #lastLostLsn(
    reader: SegmentReader,
    segment: FoundSegment,
    place: FramePlace,
    bound: StoredSegmentHeader,
  ): Promise<number> {
    try {
      await judgeTail(reader, homeOf(segment.header, this.#codec), place, 0);
    } catch (error) {
      const lastLsn = error instanceof HoldfastError ? error.details['lastLsn'] : undefined;
      if (typeof lastLsn === 'number') return lastLsn;
    }
    return bound.firstLsn - 1;
  }

  /** The end of the log: cuts a torn batch and makes the last whole one durable. I3. */
  async #settleEnd(
    reader: SegmentReader,
    segment: FoundSegment,
    end: { place: FramePlace; last: StoredFrame | undefined },
    progress: Progress,
  ): Promise<void> {
    const { header, path } = segment;
    const { position } = end.place;
    const shouldReach = end.last?.head.zeroedTo ?? header.zeroedTo;
    const home = homeOf(header, this.#codec);
    const verdict = await judgeTail(reader, home, end.place, shouldReach);
    if (verdict.kind === 'torn') progress.tornBytes += verdict.zeroTo - position;
    if (this.#readOnly || (verdict.kind === 'clean' && end.last === undefined)) return;
    const file = await this.#fileSystem.open(path, 'write');
    try {
      if (verdict.kind === 'torn') {
        await writeZeros(file, position, verdict.zeroTo);
        await cut('log.recoveryZeroing');
      }
      if (end.last !== undefined) await rewrite(file, end.last);
      await file.datasync();
      await cut('log.recoverySettled');
    } finally {
      await file.close();
    }
  }
}

/** Whether `header` names `place` as the end of its segment. */
function endsBefore(header: StoredSegmentHeader, place: FramePlace): boolean {
  return header.firstLsn === place.nextLsn && header.previousTag.equals(place.tag);
}

async function writeZeros(file: FileHandle, from: number, to: number): Promise<void> {
  const zeros = Buffer.alloc(Math.min(to - from, LIMITS.logReadBytes));
  for (let at = from; at < to; at += zeros.length) {
    await writeFully(file, zeros.subarray(0, Math.min(zeros.length, to - at)), at);
  }
}

/**
 * Writes the last whole frame once more, as it is. After a failed sync it may stand in the
 * page cache only, marked clean: another sync alone would prove nothing.
 */
async function rewrite(file: FileHandle, frame: StoredFrame): Promise<void> {
  const { head, buffer, at } = frame;
  await writeFully(file, buffer.subarray(at, at + head.length), head.position);
}

/** A file that was never begun: zeros at most. The header is written over synced zeros. */
async function isBlank(reader: SegmentReader): Promise<boolean> {
  for (let at = 0; at < reader.size; at += LIMITS.blockBytes) {
    if (!isZero(await reader.bytes(at, LIMITS.blockBytes))) return false;
  }
  return true;
}

function damagedHeader(path: string): HoldfastError {
  return new HoldfastError(
    'CHECKSUM_MISMATCH',
    `segment header is damaged or of another database path=${path} position=0`,
    { details: { path, position: 0 } },
  );
}
