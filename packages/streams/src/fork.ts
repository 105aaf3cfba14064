/**
 * Forks: what of its ancestors a stream shows, and where a new fork branches off.
 *
 * Invariants
 * 1. A stream shows its own data from its base on, and before it what its source showed up to
 *    there: no ancestor shows more than the smallest base between it and the reader.
 * 2. A base may lie inside a message of an ancestor (a sub-offset in bytes); up to there it is
 *    one message for the fork and everything that forks it.
 */
import { assert, HoldfastError } from '@holdfast/core';
import { type MessageRun, startOf } from './message-run.ts';
import { comparePositions, type Position, START } from './position.ts';
import type { StreamDirectory } from './stream-directory.ts';
import type { ForkRequest } from './stream-store.ts';
import type { Stream } from './stream.ts';

/** The part of one stream's own data that a reader sees: from its base up to `to`. */
export interface Reach {
  readonly stream: Stream;
  readonly from: Position;
  readonly to: Position;
}

/** What a stream shows, oldest first, without empty parts. */
export function reachesOf(directory: StreamDirectory, stream: Stream): Reach[] {
  let reader: Stream | undefined = stream;
  let to = stream.applied.tail;
  const reaches: Reach[] = [];
  while (reader !== undefined && to.messages > 0) {
    const from: Position = reader.base;
    if (comparePositions(from, to) < 0) reaches.push({ stream: reader, from, to });
    if (comparePositions(from, to) < 0) to = from;
    if (reader.fork === undefined) break;
    const source: Stream | undefined = directory.byId(reader.fork.sourceId);
    assert(source !== undefined, `a fork lost its source fork=${reader.id}`);
    reader = source;
  }
  return reaches.reverse();
}

/** The part that holds `message`. */
export function reachOf(reaches: readonly Reach[], message: number): Reach {
  const reach = reaches.find(({ to }) => message < to.messages);
  assert(reach !== undefined, 'a message is in no part of its stream');
  return reach;
}

/** Links from a stream to its oldest ancestor. */
export function forkDepth(directory: StreamDirectory, stream: Stream): number {
  let depth = 0;
  let at: Stream | undefined = stream;
  while (at?.fork !== undefined) {
    depth++;
    at = directory.byId(at.fork.sourceId);
  }
  return depth;
}

/**
 * Where a fork begins. It is fed runs until the base is known, by a caller that has them in
 * memory or reads them from disk.
 */
export class ForkPoint {
  readonly #source: Stream;
  readonly #request: ForkRequest;
  readonly #reaches: readonly Reach[];
  #messagesLeft: number;
  #at: Position;
  base: Position | undefined;

  constructor(directory: StreamDirectory, source: Stream, request: ForkRequest) {
    const { tail } = source.applied;
    this.#source = source;
    this.#request = request;
    this.#at = request.at ?? tail;
    this.#messagesLeft = request.subOffset;
    this.#reaches = reachesOf(directory, source);
    const order = comparePositions(this.#at, tail);
    if (order > 0 || (order === 0 && request.subOffset > 0)) throw beyond();
    // Only a made-up offset counts all messages and fewer bytes than they have.
    if (order < 0 && this.#at.messages >= tail.messages) throw inside();
    if (order === 0 || (comparePositions(this.#at, START) === 0 && request.subOffset === 0)) {
      this.base = this.#at;
    }
  }

  /** What `step` needs next. */
  get next(): { readonly stream: Stream; readonly message: number } {
    const { messages } = this.#at;
    return { stream: reachOf(this.#reaches, messages).stream, message: messages };
  }

  step(run: MessageRun): void {
    const reach = reachOf(this.#reaches, this.#at.messages);
    const index = this.#at.messages - run.firstMessage;
    if (run.firstByte + startOf(run, index) !== this.#at.bytes) {
      throw inside();
    }
    if (this.#request.subOffset === 0) this.base = this.#at;
    else if (this.#source.json) this.#stepMessages(run, index, reach.to);
    else this.#stepBytes(run, index, reach.to);
  }

  #stepBytes(run: MessageRun, index: number, cap: Position): void {
    const { messages, bytes } = this.#at;
    const end = Math.min(run.firstByte + run.endOf(index), cap.bytes);
    const base = bytes + this.#request.subOffset;
    if (base > end) throw beyond();
    this.base = { messages: messages + 1, bytes: base };
  }

  /**
   * Counts messages up to the end of the append. An append may lie in several runs; where a
   * fork cut one short, it ends there for all who read through that fork.
   */
  #stepMessages(run: MessageRun, from: number, cap: Position): void {
    const end = Math.min(run.count, cap.messages - run.firstMessage);
    for (let index = from; index < end; index++) {
      this.#messagesLeft--;
      this.#at = {
        messages: run.firstMessage + index + 1,
        bytes: run.firstByte + run.endOf(index),
      };
      if (this.#messagesLeft === 0) {
        this.base = this.#at;
        return;
      }
      if (run.endsAppend(index)) throw beyond();
    }
    if (this.#at.messages >= cap.messages) throw beyond();
  }
}

function inside(): HoldfastError {
  return new HoldfastError('INVALID_OFFSET', 'fork offset lies inside a message');
}

function beyond(): HoldfastError {
  return new HoldfastError(
    'FORK_OFFSET_BEYOND_TAIL',
    'fork offset names a place behind the data of the source',
  );
}
