/**
 * Long-polls (PROTOCOL 5.7): a reader at the tail waits for the next change, for at most a while.
 *
 * Invariants
 * 1. Nothing is lost between the read that found nothing and the wait: both happen in one turn,
 *    or the tail is compared again.
 * 2. A waiter is answered once, and counted out once, whatever ends it.
 * 3. What one change wakes shares one body and, unless its request asks for more, one head.
 */
import type { HoldfastError, Timer } from '@holdfast/core';
import { comparePositions, formatPosition, type Position } from '../position.ts';
import type { StreamChange, StreamSlice, StreamWatcher } from '../stream-store.ts';
import type { CursorSource } from './cursor.ts';
import type { Exchange, ProtocolContext } from './exchange.ts';
import { bodyHeaders, sendRead } from './get-read.ts';
import { joinLatin1 } from '../http/send-body.ts';
import { bodyParts } from './send-slice.ts';
import type { ReadQuery } from './read-query.ts';
import { HEADERS } from './header-names.ts';

type From = NonNullable<ReadQuery['offset']>;

/** Up to here the body is kept as a string, which leaves in one write with the head. */
const MAX_STRING_BODY_BYTES = 16 * 1024;

/** The answer to one change, for everybody who waited at the tail before it. */
interface SharedAnswer {
  readonly slice: StreamSlice;
  /** Head for requests without an origin, with this cursor. */
  readonly headers: readonly string[];
  readonly cursor: string;
  readonly text: string | undefined;
  readonly parts: readonly Buffer[];
}

export class LongPolls {
  readonly #context: ProtocolContext;
  readonly #waiting = new Set<LongPoll>();
  readonly #answers = new WeakMap<StreamChange, SharedAnswer>();
  #wakes = 0;

  constructor(context: ProtocolContext) {
    this.#context = context;
  }

  /** Waiters answered by a change so far. */
  get wakes(): number {
    return this.#wakes;
  }

  open(exchange: Exchange, from: From, cursor: string | undefined): void {
    const { store, settings } = this.#context;
    const read = store.read({ path: exchange.path, from, maxBytes: settings.maxChunkBytes });
    if (!(read instanceof Promise)) {
      this.#found(exchange, read, from, cursor);
      return;
    }
    read
      .then((slice) => {
        const stale = comparePositions(store.stat(exchange.path).tail, slice.to) > 0;
        if (slice.byteLength === 0 && stale)
          this.open(exchange, slice.to, cursor); // I1
        else this.#found(exchange, slice, from, cursor);
      })
      .catch((error: unknown) => exchange.fail(error));
  }

  /** Answers everybody who waits; nobody waits afterwards. */
  drain(): void {
    for (const waiter of this.#waiting) waiter.timeOut();
  }

  #found(exchange: Exchange, slice: StreamSlice, from: From, cursor: string | undefined): void {
    if (slice.byteLength > 0) {
      sendRead(exchange, slice, false, this.#context.cursors.next(cursor));
    } else if (slice.endOfStream) {
      sendNothingNew(exchange, slice.to, true, cursor);
    } else {
      const waiter = new LongPoll(exchange, laterOf(from, slice.to), cursor, this);
      this.#waiting.add(waiter);
      waiter.start((ended) => this.#waiting.delete(ended));
    }
  }

  /** Answers a waiter with a change. */
  send(exchange: Exchange, change: StreamChange, cursor: string | undefined): void {
    this.#wakes++;
    const answer = this.#answerTo(exchange, change);
    const { response } = exchange;
    response.writeHead(200, this.#headFor(exchange, answer, cursor));
    if (answer.text !== undefined) {
      response.end(answer.text, 'latin1');
      return;
    }
    response.cork();
    for (const part of answer.parts) response.write(part);
    response.end();
    this.#context.memory.holdUnsent(response, answer.parts);
  }

  #headFor(exchange: Exchange, answer: SharedAnswer, client: string | undefined): string[] {
    const cursor = this.#context.cursors.next(client);
    // `writeHead` only reads the list: everybody may be given the same one.
    if (exchange.fields.origin === undefined && cursor === answer.cursor) {
      return answer.headers as string[];
    }
    return exchange.complete(bodyHeaders(exchange, answer.slice, false, cursor), true);
  }

  #answerTo(exchange: Exchange, change: StreamChange): SharedAnswer {
    const known = this.#answers.get(change);
    if (known !== undefined) return known;
    const slice = sliceOf(change);
    const parts = bodyParts(change.bytes, change.info.json, slice.byteLength);
    const cursor = this.#context.cursors.current();
    const headers = bodyHeaders(exchange, slice, false, cursor);
    const size = slice.byteLength;
    const answer: SharedAnswer = {
      slice,
      cursor,
      headers: [...exchange.completeForAnybody(headers)],
      text: size <= MAX_STRING_BODY_BYTES ? joinLatin1(parts) : undefined,
      parts,
    };
    this.#answers.set(change, answer);
    return answer;
  }
}

/** One reader that waits. Owned by `LongPolls`. */
class LongPoll implements StreamWatcher {
  readonly #exchange: Exchange;
  readonly #polls: LongPolls;
  readonly #position: Position;
  readonly #cursor: string | undefined;
  #timer: Timer | undefined;
  #unwatch: (() => void) | undefined;
  #onEnd: ((self: LongPoll) => void) | undefined;

  constructor(
    exchange: Exchange,
    position: Position,
    cursor: string | undefined,
    polls: LongPolls,
  ) {
    this.#exchange = exchange;
    this.#position = position;
    this.#cursor = cursor;
    this.#polls = polls;
  }

  start(onEnd: (self: LongPoll) => void): void {
    const { live, store, clock, settings } = this.#exchange.context;
    try {
      live.enter(this.#exchange.request);
    } catch (error) {
      onEnd(this);
      throw error;
    }
    this.#onEnd = onEnd;
    try {
      this.#unwatch = store.watch(this.#exchange.path, this);
    } catch (error) {
      this.#leave();
      throw error;
    }
    this.#exchange.response.once('close', this.#leave);
    this.#timer = clock.after(settings.longPollTimeoutMs, () => this.timeOut());
  }

  changed(change: StreamChange): void {
    if (this.#onEnd === undefined) return; // I2
    // Somebody who asked past the tail waits until it has passed him.
    if (comparePositions(change.to, this.#position) <= 0 && !change.closed) return;
    this.#leave();
    const exchange = this.#exchange;
    try {
      const { maxChunkBytes } = exchange.context.settings;
      if (change.to.bytes === change.from.bytes) {
        sendNothingNew(exchange, change.to, change.closed, this.#cursor);
      } else if (change.to.bytes - change.from.bytes > maxChunkBytes) {
        this.#polls.open(exchange, this.#position, this.#cursor);
      } else {
        this.#polls.send(exchange, change, this.#cursor);
      }
    } catch (error) {
      exchange.fail(error);
    }
  }

  ended(reason: HoldfastError): void {
    if (this.#onEnd === undefined) return;
    this.#leave();
    this.#exchange.fail(reason);
  }

  /** Nothing came, or the node drains. */
  timeOut(): void {
    if (this.#onEnd === undefined) return;
    this.#leave();
    const exchange = this.#exchange;
    try {
      const { tail, closed } = exchange.context.store.stat(exchange.path);
      sendNothingNew(exchange, tail, closed, this.#cursor);
    } catch (error) {
      exchange.fail(error);
    }
  }

  readonly #leave = (): void => {
    const onEnd = this.#onEnd;
    if (onEnd === undefined) return; // I2
    this.#onEnd = undefined;
    this.#timer?.cancel();
    this.#unwatch?.();
    this.#exchange.response.off('close', this.#leave);
    this.#exchange.context.live.leave(this.#exchange.request);
    onEnd(this);
  };
}

function sendNothingNew(
  exchange: Exchange,
  tail: Position,
  closed: boolean,
  cursor: string | undefined,
): void {
  const headers = [
    HEADERS.streamNextOffset,
    formatPosition(tail),
    HEADERS.streamUpToDate,
    'true',
    'Cache-Control',
    'no-store',
  ];
  const cursors: CursorSource = exchange.context.cursors;
  if (closed) headers.push(HEADERS.streamClosed, 'true');
  else headers.push(HEADERS.streamCursor, cursors.next(cursor));
  exchange.reply(204, headers);
}

function laterOf(from: From, tail: Position): Position {
  if (typeof from === 'string') return tail;
  return comparePositions(from, tail) > 0 ? from : tail;
}

/** A change as the read of it would have been. */
function sliceOf(change: StreamChange): StreamSlice {
  return {
    info: change.info,
    from: change.from,
    to: change.to,
    byteLength: change.to.bytes - change.from.bytes,
    upToDate: true,
    endOfStream: change.closed,
    bytes: change.bytes,
    async *pieces(): AsyncGenerator<readonly Buffer[]> {
      yield change.bytes;
    },
  };
}
