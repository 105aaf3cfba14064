/**
 * Reads: from a position to a bounded slice of whole messages, stitched over ancestors.
 *
 * The plan of a slice is a list of byte ranges. It needs only message boundaries, which are
 * mostly in memory; the bytes follow when the slice is sent. With everything in memory a read
 * is synchronous.
 */
import { ForkPoint, type Reach, reachesOf, reachOf } from './fork.ts';
import { countEndingBy, type MessageRun, startOf } from './message-run.ts';
import { PieceBuffers } from './piece-buffers.ts';
import { comparePositions, type Position } from './position.ts';
import type { StoredMessages } from './stored-messages.ts';
import type { StreamExtent } from './stream-rows.ts';
import type { StreamDirectory } from './stream-directory.ts';
import { type ByteRange, MemorySlice, StoredSlice } from './stream-slice.ts';
import type { ForkRequest, StreamSlice } from './stream-store.ts';
import type { Stream } from './stream.ts';

export class StreamReader {
  readonly #directory: StreamDirectory;
  readonly #stored: StoredMessages;
  readonly #buffers: PieceBuffers;

  constructor(directory: StreamDirectory, stored: StoredMessages, pieceBytes: number) {
    this.#directory = directory;
    this.#stored = stored;
    this.#buffers = new PieceBuffers(pieceBytes);
  }

  read(stream: Stream, from: Position, maxBytes: number): StreamSlice | Promise<StreamSlice> {
    const { tail } = stream.applied;
    if (comparePositions(from, tail) >= 0) return new MemorySlice(stream, tail, tail, true, []);
    const plan = new SlicePlan(this.#directory, stream, from, Math.max(maxBytes, 1));
    while (!plan.done) {
      const { stream: owner, message } = plan.next;
      const run = this.#stored.run(owner, message);
      if (run === undefined) return this.#readOn(plan);
      plan.take(run);
    }
    return this.#slice(plan);
  }

  /** The base of a new fork; throws `FORK_OFFSET_BEYOND_TAIL` or `INVALID_OFFSET`. */
  forkBase(source: Stream, request: ForkRequest): Position | Promise<Position> {
    const point = new ForkPoint(this.#directory, source, request);
    while (point.base === undefined) {
      const { stream, message } = point.next;
      const run = this.#stored.run(stream, message);
      if (run === undefined) return this.#forkBaseOn(point);
      point.step(run);
    }
    return point.base;
  }

  async #readOn(plan: SlicePlan): Promise<StreamSlice> {
    while (!plan.done) {
      const { stream, message } = plan.next;
      const run = this.#stored.run(stream, message);
      if (run !== undefined) {
        plan.take(run);
        continue;
      }
      const extent = await this.#stored.extent(stream, message);
      if (!plan.takeWhole(extent)) plan.take(await this.#stored.index(stream, extent));
    }
    return this.#slice(plan);
  }

  async #forkBaseOn(point: ForkPoint): Promise<Position> {
    while (point.base === undefined) {
      const { stream, message } = point.next;
      const run = this.#stored.run(stream, message);
      if (run !== undefined) {
        point.step(run);
        continue;
      }
      const extent = await this.#stored.extent(stream, message);
      point.step(await this.#stored.index(stream, extent));
    }
    return point.base;
  }

  #slice(plan: SlicePlan): StreamSlice {
    const { stream, from, to, ranges } = plan;
    const upToDate = comparePositions(to, stream.applied.tail) === 0;
    if (ranges.every((range) => this.#stored.inMemory(range.stream, range.from))) {
      const bytes = ranges.flatMap((range) =>
        this.#stored.views(range.stream, range.from, range.to),
      );
      return new MemorySlice(stream, from, to, upToDate, bytes);
    }
    const bounds = { from, to, upToDate, ranges };
    return new StoredSlice(stream, bounds, this.#stored, this.#buffers);
  }
}

/** A slice being planned: is fed the run that holds `next` until it is `done`. */
class SlicePlan {
  readonly stream: Stream;
  readonly ranges: ByteRange[] = [];
  readonly #tail: Position;
  readonly #reaches: readonly Reach[];
  readonly #wanted: Position;
  #budget: number;
  #message: number;
  /** Byte at which `#message` starts; unknown until the first run. */
  #byte: number | undefined;
  #from: Position | undefined;
  done = false;

  constructor(directory: StreamDirectory, stream: Stream, wanted: Position, maxBytes: number) {
    this.stream = stream;
    this.#tail = stream.applied.tail;
    this.#reaches =
      stream.fork === undefined
        ? [{ stream, from: stream.base, to: this.#tail }]
        : reachesOf(directory, stream);
    this.#wanted = wanted;
    this.#budget = maxBytes;
    this.#message = Math.min(wanted.messages, this.#tail.messages - 1);
  }

  get next(): { readonly stream: Stream; readonly message: number } {
    return { stream: reachOf(this.#reaches, this.#message).stream, message: this.#message };
  }

  get from(): Position {
    return this.#from as Position;
  }

  get to(): Position {
    return { messages: this.#message, bytes: this.#byte as number };
  }

  take(run: MessageRun): void {
    const reach = reachOf(this.#reaches, this.#message);
    const index = this.#message - run.firstMessage;
    const start = run.firstByte + startOf(run, index);
    if (this.#byte === undefined && !this.#locate(start)) return;

    const visible = Math.min(run.count, reach.to.messages - run.firstMessage);
    const visibleEnd = Math.min(run.firstByte + run.endOf(visible - 1), reach.to.bytes);
    const limit = start + this.#budget;
    let end = visible;
    if (visibleEnd > limit) {
      end = Math.min(countEndingBy(run, limit - run.firstByte), visible - 1);
      this.done = true;
    }
    if (end <= index) {
      if (this.ranges.length > 0) return;
      end = index + 1;
    }
    const to = end === visible ? visibleEnd : run.firstByte + run.endOf(end - 1);
    this.#add(reach.stream, run.firstMessage + end, start, to);
  }

  /** Takes an extent without its index, if all of it is wanted. */
  takeWhole(extent: StreamExtent): boolean {
    const { firstByte, firstMessage, bytes, messages } = extent;
    const reach = reachOf(this.#reaches, this.#message);
    const exact = this.#wanted.messages === firstMessage && this.#wanted.bytes === firstByte;
    if (this.#byte === undefined ? !exact : this.#message !== firstMessage) return false;
    if (bytes > this.#budget || firstMessage + messages > reach.to.messages) return false;
    if (firstByte + bytes > reach.to.bytes) return false;
    this.#byte = firstByte;
    this.#from ??= { messages: firstMessage, bytes: firstByte };
    this.#add(reach.stream, firstMessage + messages, firstByte, firstByte + bytes);
    return true;
  }

  /** The message that contains the wanted position is the one that starts at or before it. */
  #locate(start: number): boolean {
    const before = this.#message === this.#wanted.messages && this.#wanted.bytes < start;
    if (before && this.#message > 0) {
      this.#message--;
      return false;
    }
    this.#byte = start;
    this.#from = { messages: this.#message, bytes: start };
    return true;
  }

  #add(stream: Stream, message: number, from: number, to: number): void {
    const last = this.ranges.at(-1);
    if (last?.stream === stream) last.to = to;
    else this.ranges.push({ stream, from, to });
    this.#message = message;
    this.#byte = to;
    this.#budget -= to - from;
    if (message >= this.#tail.messages || this.#budget <= 0) this.done = true;
  }
}
