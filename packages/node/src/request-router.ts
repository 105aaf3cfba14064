/**
 * Where a request goes: streams and stores to their protocols, administration to its routes, what
 * the node says of itself here, the rest nowhere.
 * Works on any Node request and response, also on the ones `FetchBridge` makes.
 *
 * Invariants
 * I1. While draining or closed, only health routes are answered; everything else is 503.
 * I2. After storage failed, no write reaches the protocol.
 * I3. `inFlight` counts what was handed to a protocol or to administration and is not answered yet.
 * I4. Wherever streams live: health, administration and stores are where they always are.
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
import { isKvTarget } from './kv/http/kv-target.ts';
import { OWN_ROUTES, type OwnRoute } from './own-routes.ts';

/** The part of a protocol that routing needs. */
export interface RequestHandler {
  handle(request: IncomingMessage, response: ServerResponse): void | Promise<void>;
  /** Counts a long answer of the node itself among those their clients have not taken. */
  holdUnsent?(response: ServerResponse, parts: readonly Buffer[]): void;
}

export interface RouterComponents {
  readonly protocol: RequestHandler;
  /** Of key-value stores. Absent: none are served. */
  readonly kv?: RequestHandler;
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

const READ_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);
const READ_METHOD_NAMES = 'GET, HEAD, OPTIONS';
/** By path. */
const OWN = new Map(OWN_ROUTES.map((route) => [route.path, route]));

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
    const { health, protocol } = this.#components;
    if (this.#answerHealth(url, request, response)) return;
    if (!health.accepting) {
      response.setHeader('Connection', 'close');
      throw new HoldfastError('DRAINING', 'the node is shutting down'); // I1
    }
    if (url.startsWith(ADMIN_PATH))
      this.#toAdmin(url, request, response); // I4
    else if (isKvTarget(url)) this.#toHandler(this.#components.kv, request, response);
    else if (url.startsWith(this.#basePath)) this.#toHandler(protocol, request, response);
    else this.#answerOwn(url, request, response);
  }

  #toHandler(
    handler: RequestHandler | undefined,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    const { health } = this.#components;
    if (handler === undefined) throw new HoldfastError('ROUTE_NOT_FOUND', 'nothing is served here');
    if (health.storageFailed && !READ_METHODS.has(request.method ?? '')) {
      throw new HoldfastError('NODE_FAILED', 'storage failed, the node has to be restarted'); // I2
    }
    this.#inFlight++; // I3
    response.once('close', this.#done);
    const handled = handler.handle(request, response);
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
    const { crossOrigin } = this.#components;
    if (url === '*' && request.method === 'OPTIONS') {
      sendOptions(request, response, crossOrigin, ALLOWED_METHODS);
      return;
    }
    const { path, query } = splitUrl(url);
    const route = OWN.get(path);
    if (route === undefined) throw new HoldfastError('ROUTE_NOT_FOUND', 'nothing is served here');
    this.#answerWith(route, query, request, response);
  }

  /** I4: also while draining. */
  #answerHealth(url: string, request: IncomingMessage, response: ServerResponse): boolean {
    if (!url.startsWith('/livez') && !url.startsWith('/readyz')) return false;
    const { path, query } = splitUrl(url);
    const route = OWN.get(path);
    if (route?.isHealth !== true) return false;
    this.#answerWith(route, query, request, response);
    return true;
  }

  #answerWith(
    route: OwnRoute,
    query: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    const { crossOrigin, health, protocol, store } = this.#components;
    if (!isRead(request, response, crossOrigin)) return;
    const host = request.headers.host ?? 'localhost';
    const answer = route.answer({ query, host, basePath: this.#basePath, health, store });
    const body = sendOwn(request, response, crossOrigin, answer);
    protocol.holdUnsent?.(response, [body]);
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
