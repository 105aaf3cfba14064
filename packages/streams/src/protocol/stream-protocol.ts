/**
 * The Durable Streams Protocol over `node:http`: a function of a request and a response. No
 * framework and no objects per request beyond one `Exchange`: half of a small append is the
 * kernel's, the rest is what is spent here.
 *
 * Every path under `basePath` is a stream, but for `__ds`: there the protocol itself is spoken to. Values are parsed once, at this edge; the store behind
 * it speaks in domain values and typed errors, which `error-status.ts` turns into statuses.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HoldfastError, type Clock, type Logger, type Random } from '@holdfast/core';
import type { StreamStore } from '../stream-store.ts';
import { CrossOriginPolicy } from '../http/cross-origin-policy.ts';
import { CursorSource } from './cursor.ts';
import { deleteStream } from './delete-stream.ts';
import { Exchange, type ProtocolContext } from './exchange.ts';
import { getRead } from './get-read.ts';
import { headStream } from './head-stream.ts';
import { EXPOSED_HEADERS } from './header-names.ts';
import type { ReaderAdmission } from '../http/live-readers.ts';
import { createHttpBounds, type HttpBounds } from '../http/http-bounds.ts';
import { LongPolls } from './long-poll.ts';
import { answerOptions } from './options.ts';
import { postAppend } from './post-append.ts';
import { sendProblem } from './problem.ts';
import { DEFAULT_PROTOCOL_SETTINGS, type StreamProtocolSettings } from './protocol-settings.ts';
import { putStream } from './put-stream.ts';
import { readFields } from './request-headers.ts';
import { SseConnections, type SseCounters } from './sse.ts';
import { isControlTarget } from './subscriptions/control-path.ts';
import { ControlProtocol, type SubscriptionAccess } from './subscriptions/control-protocol.ts';
import { parseStreamPath, queryStart } from './stream-path.ts';

export interface StreamProtocolComponents {
  readonly store: StreamStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Shared with whatever else is served beside; absent: its own, by the settings. */
  readonly bounds?: HttpBounds;
  /** Bounds of one client's live readers, where the bounds are its own; absent: none. */
  readonly readerAdmission?: ReaderAdmission;
  /** Absent: nothing is served under `__ds`. */
  readonly subscriptions?: SubscriptionAccess;
}

export interface StreamProtocolStats {
  readonly requests: number;
  readonly liveReaders: number;
  /** Bytes of request bodies that are not whole yet. */
  readonly collectedBodyBytes: number;
  /** Memory of responses that clients are slow to take. */
  readonly unsentBytes: number;
  /** Responses ended to stay within it. */
  readonly unsentDropped: number;
  readonly longPollWakes: number;
  readonly sse: SseCounters;
}

export interface StreamProtocol {
  /** Answers the request, now or later. Never throws. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** Counts an answer of its server among those their clients have not taken. */
  holdUnsent(response: ServerResponse, parts: readonly Buffer[]): void;
  /** Long-polls answer 204, SSE ends with a control event, and no live reader comes in. */
  drain(): void;
  readonly liveReaders: number;
  readonly stats: StreamProtocolStats;
}

export function createStreamProtocol(
  components: StreamProtocolComponents,
  settings: Partial<StreamProtocolSettings> = {},
): StreamProtocol {
  const whole: StreamProtocolSettings = { ...DEFAULT_PROTOCOL_SETTINGS, ...settings };
  if (!whole.basePath.startsWith('/') || !whole.basePath.endsWith('/')) {
    throw new HoldfastError('INVALID_SETTINGS', `basePath needs slashes around it`);
  }
  const context: ProtocolContext = {
    store: components.store,
    clock: components.clock,
    logger: components.logger,
    settings: whole,
    crossOrigin: new CrossOriginPolicy(whole.cors, EXPOSED_HEADERS),
    cursors: new CursorSource(components.clock, components.random),
    ...(components.bounds ?? createHttpBounds(components, whole)),
  };
  return new HttpStreamProtocol(context, components.subscriptions);
}

class HttpStreamProtocol implements StreamProtocol {
  readonly #context: ProtocolContext;
  readonly #longPolls: LongPolls;
  readonly #sse: SseConnections;
  readonly #control: ControlProtocol | undefined;
  #requests = 0;

  constructor(context: ProtocolContext, subscriptions: SubscriptionAccess | undefined) {
    this.#context = context;
    this.#longPolls = new LongPolls(context);
    this.#sse = new SseConnections(context);
    if (subscriptions !== undefined) {
      const read = (exchange: Exchange): void => this.#read(exchange);
      this.#control = new ControlProtocol(context, subscriptions, { admitWrite, read });
    }
  }

  get liveReaders(): number {
    return this.#context.live.count;
  }

  get stats(): StreamProtocolStats {
    return {
      requests: this.#requests,
      liveReaders: this.#context.live.count,
      collectedBodyBytes: this.#context.bodies.taken,
      unsentBytes: this.#context.memory.held,
      unsentDropped: this.#context.memory.dropped,
      longPollWakes: this.#longPolls.wakes,
      sse: this.#sse.counters,
    };
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    this.#requests++;
    let path: string | undefined;
    try {
      const context = this.#context;
      const target = request.url ?? '';
      const end = queryStart(target);
      if (this.#control !== undefined && isControlTarget(target, end, context.settings.basePath)) {
        this.#control.handle(request, response);
        return;
      }
      path = parseStreamPath(target, end, context.settings.basePath);
      const fields = readFields(request.rawHeaders);
      this.#dispatch(new Exchange(context, request, response, fields, path, end));
    } catch (error) {
      sendProblem(this.#context, request, response, error, path);
    }
  }

  holdUnsent(response: ServerResponse, parts: readonly Buffer[]): void {
    this.#context.memory.holdUnsent(response, parts);
  }

  drain(): void {
    this.#context.live.drain();
    this.#longPolls.drain();
    this.#sse.drain();
  }

  #dispatch(exchange: Exchange): void {
    switch (exchange.request.method) {
      case 'POST':
        admitWrite(exchange);
        return postAppend(exchange);
      case 'GET':
      case 'HEAD':
        return this.#read(exchange);
      case 'PUT':
        admitWrite(exchange);
        return putStream(exchange);
      case 'DELETE':
        admitWrite(exchange);
        return deleteStream(exchange);
      case 'OPTIONS':
        return answerOptions(exchange);
      default:
        throw new HoldfastError('METHOD_NOT_ALLOWED', 'streams have no such method');
    }
  }

  #read(exchange: Exchange): void {
    if (exchange.request.method === 'HEAD') headStream(exchange);
    else getRead(exchange, this.#longPolls, this.#sse);
  }
}

function admitWrite(exchange: Exchange): void {
  const { origin, host, fetchSite } = exchange.fields;
  if (origin !== undefined || fetchSite !== undefined) {
    exchange.context.crossOrigin.admitWrite(origin, host, fetchSite);
  }
}
