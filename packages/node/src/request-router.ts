/**
 * Where a request goes: streams to the protocol, administration to its routes, health and the list
 * here, the rest nowhere.
 * Works on any Node request and response, also on the ones `FetchBridge` makes.
 *
 * Invariants
 * I1. While draining or closed, only health routes are answered; everything else is 503.
 * I2. After storage failed, no write reaches the protocol.
 * I3. `inFlight` counts what was handed to the protocol or to administration and is not answered
 *     yet.
 * I4. Wherever streams live: health and administration are where they always are.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HoldfastError, LIMITS, type Clock, type Logger } from '@holdfast/core';
import {
  ALLOWED_METHODS,
  answerProblem,
  asHoldfastError,
  type CrossOriginPolicy,
  type StreamStore,
} from '@holdfast/streams';
import { ADMIN_PATH, type AdminRouter } from './admin/admin-router.ts';
import type { Health } from './health.ts';
import { sendOptions, sendOwn } from './own-answer.ts';
import { listStreams, STREAM_LIST_PATH } from './stream-list-route.ts';

/** The part of the stream protocol that routing needs. */
export interface RequestHandler {
  handle(request: IncomingMessage, response: ServerResponse): void | Promise<void>;
  /** Counts a long answer of the node itself among those their clients have not taken. */
  holdUnsent?(response: ServerResponse, parts: readonly Buffer[]): void;
}

export interface RouterComponents {
  readonly protocol: RequestHandler;
  /** Absent: nothing is administered over HTTP. */
  readonly admin?: AdminRouter;
  readonly store: StreamStore;
  readonly health: Health;
  readonly crossOrigin: CrossOriginPolicy;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface RouterSettings {
  readonly basePath: string;
  /** Log each request at debug level. */
  readonly logRequests?: boolean;
}

const ABOUT = `This is a Holdfast storage node.

Streams live under BASE
  create  curl -X PUT  -H 'Content-Type: application/json' HOST/BASEchat/1
  append  curl -X POST -H 'Content-Type: application/json' -d '{"hi":1}' HOST/BASEchat/1
  read    curl HOST/BASEchat/1
Health: /livez /readyz
`;
const READ_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);
const READ_METHOD_NAMES = 'GET, HEAD, OPTIONS';
const JSON_TYPE = 'application/json';

export class RequestRouter {
  readonly #components: RouterComponents;
  readonly #basePath: string;
  readonly #logRequests: boolean;
  #inFlight = 0;
  #onIdle: (() => void) | undefined;

  constructor(components: RouterComponents, settings: RouterSettings) {
    this.#components = components;
    this.#basePath = settings.basePath;
    this.#logRequests = settings.logRequests ?? false;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Answers every request; never throws. */
  route(request: IncomingMessage, response: ServerResponse): void {
    if (this.#logRequests) this.#logWhenDone(request, response);
    try {
      this.#dispatch(request, response);
    } catch (error) {
      this.refuse(request, response, error);
    }
  }

  /** Answers with the problem, with what goes on every answer. Never throws. */
  refuse(request: IncomingMessage, response: ServerResponse, thrown: unknown): void {
    const error = asHoldfastError(thrown);
    if (error.kind === 'internal') {
      const cause = error.code === 'INTERNAL_ERROR' ? (error.cause ?? error) : error;
      this.#components.logger.error('request-failed', {
        error: cause instanceof Error ? (cause.stack ?? cause.message) : typeof cause,
      });
    }
    answerProblem(request, response, error, this.#components);
  }

  /** Resolves once nothing is in flight. One waiter at a time: the drain. */
  idle(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #dispatch(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? '/';
    if (url.length > LIMITS.maxUrlBytes) {
      // The rest of such a request is not worth reading.
      response.setHeader('Connection', 'close');
      throw new HoldfastError('URL_TOO_LONG', `url is longer than ${LIMITS.maxUrlBytes} bytes`);
    }
    const { health } = this.#components;
    if (this.#answerHealth(url, request, response)) return;
    if (!health.accepting) {
      response.setHeader('Connection', 'close');
      throw new HoldfastError('DRAINING', 'the node is shutting down'); // I1
    }
    if (url.startsWith(ADMIN_PATH))
      this.#toAdmin(url, request, response); // I4
    else if (url.startsWith(this.#basePath)) this.#toProtocol(request, response);
    else this.#answerOwn(url, request, response);
  }

  #toProtocol(request: IncomingMessage, response: ServerResponse): void {
    const { health, protocol } = this.#components;
    if (health.storageFailed && !READ_METHODS.has(request.method ?? '')) {
      throw new HoldfastError('NODE_FAILED', 'storage failed, the node has to be restarted'); // I2
    }
    this.#inFlight++; // I3
    response.once('close', this.#done);
    const handled = protocol.handle(request, response);
    if (handled !== undefined) {
      handled.catch((error: unknown) => this.refuse(request, response, error));
    }
  }

  #toAdmin(url: string, request: IncomingMessage, response: ServerResponse): void {
    const { admin } = this.#components;
    if (admin === undefined) throw new HoldfastError('ROUTE_NOT_FOUND', 'nothing is served here');
    this.#inFlight++; // I3
    response.once('close', this.#done);
    void admin.handle(request, response, url.slice(ADMIN_PATH.length));
  }

  readonly #done = (): void => {
    if (--this.#inFlight > 0) return;
    const onIdle = this.#onIdle;
    this.#onIdle = undefined;
    onIdle?.();
  };

  #answerOwn(url: string, request: IncomingMessage, response: ServerResponse): void {
    const { crossOrigin, protocol, store } = this.#components;
    const { path, query } = splitUrl(url);
    if (url === '*' && request.method === 'OPTIONS') {
      sendOptions(request, response, crossOrigin, ALLOWED_METHODS);
    } else if (path === STREAM_LIST_PATH) {
      if (isRead(request, response, crossOrigin)) {
        const body = JSON.stringify(listStreams(store, query));
        const whole = { status: 200, contentType: JSON_TYPE, body };
        const sent = sendOwn(request, response, crossOrigin, whole);
        protocol.holdUnsent?.(response, [sent]);
      }
    } else if (path === '/') {
      if (isRead(request, response, crossOrigin)) this.#answerAbout(request, response);
    } else {
      throw new HoldfastError('ROUTE_NOT_FOUND', 'nothing is served here');
    }
  }

  #answerAbout(request: IncomingMessage, response: ServerResponse): void {
    const host = `http://${request.headers.host ?? 'localhost'}`;
    const body = ABOUT.replaceAll('HOST/BASE', () => host + this.#basePath).replace(
      'BASE',
      () => this.#basePath,
    );
    const contentType = 'text/plain; charset=utf-8';
    sendOwn(request, response, this.#components.crossOrigin, { status: 200, contentType, body });
  }

  #answerHealth(url: string, request: IncomingMessage, response: ServerResponse): boolean {
    if (!url.startsWith('/livez') && !url.startsWith('/readyz')) return false;
    const { path, query } = splitUrl(url);
    if (path !== '/livez' && path !== '/readyz') return false;
    const { crossOrigin, health } = this.#components;
    if (!isRead(request, response, crossOrigin)) return true;
    const answer = (status: number, body: object, headers: readonly string[] = []): true => {
      const text = JSON.stringify(body);
      const whole = { status, contentType: JSON_TYPE, body: text, headers };
      sendOwn(request, response, crossOrigin, whole);
      return true;
    };
    if (path === '/livez') return answer(200, { status: 'alive' });
    const report = health.report();
    const shown = new URLSearchParams(query).has('verbose') ? report : { status: report.status };
    if (health.ready) return answer(200, shown);
    return answer(503, shown, ['Retry-After', String(LIMITS.retryAfterSeconds)]);
  }

  #logWhenDone(request: IncomingMessage, response: ServerResponse): void {
    const { clock, logger } = this.#components;
    const startedAt = clock.monotonicMs();
    response.once('close', () => {
      logger.debug('request', {
        method: request.method,
        status: response.statusCode,
        durationMs: Math.round(clock.monotonicMs() - startedAt),
        finished: response.writableFinished,
      });
    });
  }
}

function splitUrl(url: string): { path: string; query: string } {
  const mark = url.indexOf('?');
  return mark < 0
    ? { path: url, query: '' }
    : { path: url.slice(0, mark), query: url.slice(mark + 1) };
}

/** `false` when it was OPTIONS, which is answered. Throws `METHOD_NOT_ALLOWED`. */
function isRead(
  request: IncomingMessage,
  response: ServerResponse,
  crossOrigin: CrossOriginPolicy,
): boolean {
  if (request.method === 'GET' || request.method === 'HEAD') return true;
  if (request.method === 'OPTIONS') {
    sendOptions(request, response, crossOrigin, READ_METHOD_NAMES);
    return false;
  }
  response.setHeader('Allow', READ_METHOD_NAMES);
  throw new HoldfastError('METHOD_NOT_ALLOWED', 'this route is read only');
}
