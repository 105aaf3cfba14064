/**
 * One SSE connection (PROTOCOL 5.8).
 *
 * A reader first catches up from the store, a piece at a time and never faster than its client
 * takes it. At the tail it is live: every change is sent as the one frame all readers share.
 *
 * States: starting → catching-up ⇄ live → ending → gone; any → gone.
 *
 * Invariants
 * 1. It watches before it reads: a change during catch-up only marks that there is more to read,
 *    so none is lost and none is sent twice.
 * 2. Every data event is followed by a control event in the same write: wherever a connection
 *    breaks, the client resumes from its last control event.
 * 3. Unsent bytes of a live reader stay within `maxSseBufferedBytes`; beyond it is dropped.
 * 4. Unsent bytes of all readers are counted together, and what is read from disk has room first:
 *    `ResponseMemory`, which may drop this reader for another.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { StreamChange, StreamSlice, StreamWatcher } from '../stream-store.ts';
import { comparePositions, type Position } from '../position.ts';
import { compareDecimal } from './cursor.ts';
import type { Exchange } from './exchange.ts';
import { factsOf } from './media-type.ts';
import type { ReadQuery } from './read-query.ts';
import { encodeEvents, needsBase64, type SseFrame } from './sse-frames.ts';
import { pieceMemory } from './send-slice.ts';
import type { HeldResponse } from '../http/response-memory.ts';
import type { SseConnections } from './sse.ts';
import { untilDrained } from '../http/write-gate.ts';
import { HEADERS } from './header-names.ts';

/** Bytes of one data event while catching up. Larger: fewer events, more memory per reader. */
const CATCH_UP_EVENT_BYTES = 256 * 1024;

type State = 'starting' | 'catching-up' | 'live' | 'ending' | 'gone';

export class SseReader implements StreamWatcher {
  readonly #exchange: Exchange;
  readonly #connections: SseConnections;
  readonly #openedAtMs: number;
  /** The first cursor given out, when it is ahead of the current one. */
  #cursorFloor: string | undefined;
  #state: State = 'starting';
  #position: Position = { messages: 0, bytes: 0 };
  #moved = false;
  /** Leave at the next control event. */
  #leaving = false;
  #endedAtMs = 0;
  #unwatch: (() => void) | undefined;
  /** Once the client was slow for the first time. */
  #held: HeldResponse | undefined;
  /** Set when frames may go to the socket directly, already framed as chunks. */
  #socket: Socket | undefined;

  constructor(exchange: Exchange, connections: SseConnections, cursor: string | undefined) {
    this.#exchange = exchange;
    this.#connections = connections;
    this.#openedAtMs = exchange.context.clock.monotonicMs();
    const first = exchange.context.cursors.next(cursor);
    this.#cursorFloor = cursor !== undefined && first !== this.#current() ? first : undefined;
  }

  get request(): IncomingMessage {
    return this.#exchange.request;
  }

  start(from: NonNullable<ReadQuery['offset']>): void {
    const { response, path, context } = this.#exchange;
    response.once('close', this.#gone);
    try {
      this.#unwatch = context.store.watch(path, this); // I1
    } catch (error) {
      this.#refuse(error);
      return;
    }
    this.#catchUp(from).catch((error: unknown) => this.#refuse(error));
  }

  changed(change: StreamChange): void {
    if (this.#state !== 'live') {
      this.#moved = true; // I1
      return;
    }
    if (comparePositions(change.to, this.#position) <= 0 && !change.closed) return;
    const { maxSseBufferedBytes } = this.#exchange.context.settings;
    const behind = comparePositions(this.#position, change.from) < 0;
    if (behind || change.to.bytes - change.from.bytes > maxSseBufferedBytes) {
      this.#fallBehind();
      return;
    }
    this.#connections.deliveries++;
    this.#position = change.to;
    this.send(this.#connections.frameOf(change, this.#cursor()));
    if (change.closed) this.#end();
  }

  ended(): void {
    // The read may say why; if it had got all it needs, nothing else would end the connection.
    if (this.#state === 'starting') this.#leaving = true;
    else this.#end();
  }

  /** Sends to a live reader, or drops it when it does not read. */
  send(frame: SseFrame): void {
    if (this.#state !== 'live') return;
    const out = this.#socket ?? this.#exchange.response;
    const { maxSseBufferedBytes } = this.#exchange.context.settings;
    if (out.writableLength > 0 && out.writableLength + frame.chunked.length > maxSseBufferedBytes) {
      this.#connections.dropped++; // I3
      this.#exchange.response.destroy();
      return;
    }
    if (this.#socket === undefined) this.#exchange.response.write(frame.plain);
    else this.#socket.write(frame.chunked);
    if (out.writableLength > 0) this.#hold(frame);
  }

  /** The system did not take all of what was just written. */
  #hold(frame: SseFrame): void {
    const { context, response } = this.#exchange;
    this.#held ??= context.memory.open(response);
    this.#held.add([frame.plain]); // I4
  }

  /** Ends the connection when its time has come; `true` when it is ending. */
  retire(nowMs: number): boolean {
    const { sseRotateMs, writeIdleTimeoutMs } = this.#exchange.context.settings;
    if (this.#state === 'ending') {
      // It was told to end and does not read even that.
      if (nowMs - this.#endedAtMs >= writeIdleTimeoutMs) this.#exchange.response.destroy();
      return true;
    }
    if (nowMs - this.#openedAtMs < sseRotateMs) return false;
    if (this.#state === 'live') this.#end();
    else this.#leaving = true;
    return true;
  }

  /** Says where the reader stands and ends the connection. */
  drain(): void {
    this.#leaving = true;
    if (this.#state !== 'live') return;
    const { info, upToDate } = this.#standing();
    if (info !== undefined) {
      this.send(
        encodeEvents(info, [], {
          next: this.#position,
          cursor: this.#cursor(),
          upToDate,
          closed: false,
        }),
      );
    }
    this.#end();
  }

  async #catchUp(from: NonNullable<ReadQuery['offset']>): Promise<void> {
    const { store, settings, clock } = this.#exchange.context;
    const maxBytes = Math.min(CATCH_UP_EVENT_BYTES, settings.maxChunkBytes);
    let next = from;
    for (;;) {
      this.#moved = false;
      const read = store.read({ path: this.#exchange.path, from: next, maxBytes });
      const slice = read instanceof Promise ? await read : read;
      if (slice.bytes === undefined) await this.#sendStored(slice, next);
      else if (!this.#isOver()) this.#sendSlice(slice, slice.bytes, next);
      if (this.#isOver()) return;
      if (slice.endOfStream || this.#leaving) {
        this.#end();
        return;
      }
      const { response } = this.#exchange;
      if (response.writableNeedDrain || response.destroyed) {
        if (!(await untilDrained(response, clock, settings))) return;
        if (this.#isOver()) return;
      }
      this.#held?.settle();
      if (slice.upToDate && !this.#moved) {
        this.#state = 'live';
        return;
      }
      next = this.#position;
    }
  }

  #sendSlice(
    slice: StreamSlice,
    bytes: readonly Buffer[],
    from: NonNullable<ReadQuery['offset']>,
  ): void {
    const first = this.#state === 'starting';
    if (first) this.#sendHead(slice);
    // Somebody who asked past the tail stays where he asked.
    const past = typeof from !== 'string' && comparePositions(from, slice.to) > 0;
    this.#position = past ? from : slice.to;
    // Read once more and found nothing: the client knows where it stands.
    if (!first && slice.byteLength === 0 && !slice.endOfStream) return;
    const frame = encodeEvents(slice.info, bytes, {
      next: slice.to,
      cursor: this.#cursor(),
      upToDate: slice.upToDate,
      closed: slice.endOfStream,
    });
    const { response } = this.#exchange;
    response.write(frame.plain);
    if (response.writableLength > 0) this.#hold(frame);
  }

  /** A piece is gone when the next one comes: more than one are copied together. */
  async #sendStored(slice: StreamSlice, from: NonNullable<ReadQuery['offset']>): Promise<void> {
    const { context, response } = this.#exchange;
    const held = (this.#held ??= context.memory.open(response));
    const room = context.memory.room(held, pieceMemory(slice.byteLength)); // I4
    if (room !== undefined) await room;
    const copies: Buffer[] = [];
    let left = slice.byteLength;
    let sent = false;
    for await (const buffers of slice.pieces()) {
      if (this.#isOver()) return;
      for (const buffer of buffers) left -= buffer.length;
      if (left === 0 && copies.length === 0) {
        this.#sendSlice(slice, buffers, from);
        sent = true;
        break;
      }
      for (const buffer of buffers) copies.push(Buffer.from(buffer));
    }
    // Also what is empty is told: where the reader stands.
    if (!sent && !this.#isOver()) this.#sendSlice(slice, copies, from);
    held.giveRoom();
  }

  #sendHead(slice: StreamSlice): void {
    this.#state = 'catching-up';
    const { request, response } = this.#exchange;
    const headers = [
      ...factsOf('text/event-stream').headers,
      'Cache-Control',
      'no-cache',
      'X-Accel-Buffering',
      'no',
    ];
    if (needsBase64(slice.info)) headers.push(HEADERS.streamSseDataEncoding, 'base64');
    response.writeHead(200, this.#exchange.complete(headers, true));
    // A pipelined request has no socket before its turn, HTTP/1.0 no chunks, HTTP/2 neither.
    if (response.socket !== null && response.socket === request.socket) {
      if (response.chunkedEncoding) this.#socket = response.socket;
    }
  }

  #fallBehind(): void {
    this.#state = 'catching-up';
    this.#catchUp(this.#position).catch((error: unknown) => this.#refuse(error));
  }

  #end(): void {
    if (this.#isOver()) return;
    this.#state = 'ending';
    this.#endedAtMs = this.#exchange.context.clock.monotonicMs();
    this.#exchange.response.end();
  }

  #refuse(error: unknown): void {
    if (this.#isOver()) return;
    this.#gone();
    this.#exchange.fail(error);
  }

  readonly #gone = (): void => {
    this.#state = 'gone';
    this.#exchange.response.off('close', this.#gone);
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#connections.remove(this);
  };

  #isOver(): boolean {
    return this.#state === 'ending' || this.#state === 'gone';
  }

  #standing(): { info: StreamSlice['info'] | undefined; upToDate: boolean } {
    try {
      const info = this.#exchange.context.store.stat(this.#exchange.path);
      return { info, upToDate: comparePositions(this.#position, info.tail) >= 0 };
    } catch {
      return { info: undefined, upToDate: false };
    }
  }

  /** Never behind what this connection was given first. */
  #cursor(): string {
    const current = this.#current();
    if (this.#cursorFloor === undefined) return current;
    if (compareDecimal(this.#cursorFloor, current) > 0) return this.#cursorFloor;
    this.#cursorFloor = undefined;
    return current;
  }

  #current(): string {
    return this.#exchange.context.cursors.current();
  }
}
