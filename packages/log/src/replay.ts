/**
 * Reads records back in LSN order, one batch in memory.
 *
 * Invariants
 * 1. Only durable batches are read; the end is fixed when the iteration starts.
 * 2. Every batch is checked and has to go on where the one before ended: damage rejects, and
 *    nothing behind it is given out.
 * 3. While an iteration is open its floor keeps what it has still to read.
 */
import { type BlockCodec, type FileSystem, HoldfastError, type Lsn, Turns } from '@holdfast/core';
import { type FrameHome, type RecordFilter, decodeRecords } from './batch-frame.ts';
import type { Floors } from './floors.ts';
import type { LiveSegment, LiveSegments } from './live-segments.ts';
import type { LogFloor, ReplayRange, StoredRecord } from './log.ts';
import {
  type FramePlace,
  SegmentReader,
  firstPlace,
  homeOf,
  placeAfter,
} from './segment-reader.ts';
import { damagedBatch } from './tail-verdict.ts';

export interface ReplayParts {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly segments: LiveSegments;
  readonly floors: Floors;
}

type Step = IteratorResult<StoredRecord, undefined>;

const DONE: Step = { done: true, value: undefined };

/** The records of `range`, up to `durableLsn` at most. */
export class Replay implements AsyncIterator<StoredRecord, undefined> {
  readonly #parts: ReplayParts;
  readonly #filter: RecordFilter;
  readonly #floor: LogFloor;
  /** Segments still to be read. */
  readonly #pending: LiveSegment[];
  #reader: SegmentReader | undefined;
  #segment: LiveSegment | undefined;
  #home: FrameHome | undefined;
  #place: FramePlace | undefined;
  #records: StoredRecord[] = [];
  #cursor = 0;
  #finished = false;
  /** Calls to `next` that need the disk run one after the other. */
  readonly #turns: Turns = new Turns();

  constructor(parts: ReplayParts, range: ReplayRange, durableLsn: Lsn) {
    this.#parts = parts;
    const segments = parts.segments.all();
    const oldest = segments[0]?.firstLsn ?? 1;
    const from = range.from ?? oldest;
    const to = Math.min(range.to ?? durableLsn, durableLsn);
    if (from < oldest && from <= to && from > 0) throw truncated(from, Math.min(to, oldest - 1));
    this.#filter = {
      from,
      to,
      ...(range.types === undefined ? {} : { types: new Set(range.types) }),
      ...(range.shard === undefined ? {} : { shard: range.shard }),
      ...(range.tenant === undefined ? {} : { tenant: range.tenant }),
    };
    this.#pending = segments.filter((segment) => segment.lastLsn >= from && segment.firstLsn <= to);
    this.#floor = parts.floors.add('replay', from - 1);
  }

  next(): Promise<Step> {
    const record = this.#records[this.#cursor];
    if (record !== undefined) {
      this.#cursor++;
      return Promise.resolve({ done: false, value: record });
    }
    return this.#turns.run(() => this.#advance());
  }

  async return(): Promise<Step> {
    await this.#turns.idle();
    await this.#finish();
    return DONE;
  }

  async #advance(): Promise<Step> {
    try {
      while (!this.#finished) {
        const record = this.#records[this.#cursor];
        if (record !== undefined) {
          this.#cursor++;
          return { done: false, value: record };
        }
        if (!(await this.#readBatch())) await this.#finish();
      }
      return DONE;
    } catch (error) {
      await this.#finish();
      throw error;
    }
  }

  /** The next batch with records of interest; false at the end. */
  async #readBatch(): Promise<boolean> {
    this.#records = [];
    this.#cursor = 0;
    for (;;) {
      if (this.#segment === undefined && !(await this.#openSegment())) return false;
      const segment = this.#segment as LiveSegment;
      const place = this.#place as FramePlace;
      if (place.nextLsn > Math.min(segment.lastLsn, this.#filter.to)) {
        await this.#closeSegment();
        continue;
      }
      const reader = this.#reader as SegmentReader;
      const frame = await reader.frame(this.#home as FrameHome, place);
      if (frame === undefined) {
        throw damagedBatch(segment.path, place, undefined, 'an acknowledged batch is damaged');
      }
      this.#place = placeAfter(frame.head);
      if (frame.head.lastLsn < this.#filter.from) continue;
      this.#records = decodeRecords(frame.records, frame.head, this.#filter);
      if (this.#records.length > 0) return true;
    }
  }

  async #openSegment(): Promise<boolean> {
    const segment = this.#pending.shift();
    if (segment === undefined) return false;
    this.#floor.raise((segment.firstLsn - 1) as Lsn);
    const reader = await SegmentReader.open(this.#parts.fileSystem, segment.path);
    this.#reader = reader;
    const header = await reader.header(this.#parts.codec, segment.id);
    if (header === undefined || header.firstLsn !== segment.firstLsn) {
      const start = { position: 0, nextLsn: segment.firstLsn };
      throw damagedBatch(segment.path, start, segment.lastLsn, 'a segment header is damaged');
    }
    this.#segment = segment;
    this.#home = homeOf(header, this.#parts.codec);
    this.#place = firstPlace(header);
    return true;
  }

  async #closeSegment(): Promise<void> {
    const reader = this.#reader;
    this.#reader = undefined;
    this.#segment = undefined;
    await reader?.close();
  }

  async #finish(): Promise<void> {
    this.#finished = true;
    this.#records = [];
    this.#floor.release();
    await this.#closeSegment();
  }
}

function truncated(firstLsn: number, lastLsn: number): HoldfastError {
  return new HoldfastError(
    'LSN_GAP',
    `records were asked for that the log no longer holds firstLsn=${firstLsn} lastLsn=${lastLsn}`,
    { details: { firstLsn, lastLsn } },
  );
}
