/**
 * Where a request goes: streams to the protocol, health and the list here, the rest nowhere.
 * Works on any Node request and response, also on the ones `FetchBridge` makes.
 *
 * Invariants
 * I1. While draining or closed, only health routes are answered; everything else is 503.
 * I2. After storage failed, no write reaches the protocol.
 * I3. `inFlight` counts what was handed to the protocol and is not answered yet.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HoldfastError, isHoldfastError, LIMITS, type Clock, type Logger } from '@holdfast/core';
import type { StreamStore } from '@holdfast/streams';
import type { Health } from './health.ts';
import { sendProblem } from './problem.ts';
import { handleStreamList, STREAM_LIST_PATH } from './stream-list-route.ts';

/** The part of the stream protocol that routing needs. */
export interface RequestHandler {
  handle(request: IncomingMessage, response: ServerResponse): void | Promise<void>;
}

export interface RouterComponents {
  readonly protocol: RequestHandler;
  readonly store: StreamStore;
  readonly health: Health;
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
      this.#fail(response, error);
    }
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
    if (url.startsWith(this.#basePath)) this.#toProtocol(request, response);
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
    if (handled !== undefined) handled.catch((error: unknown) => this.#fail(response, error));
  }

  readonly #done = (): void => {
    if (--this.#inFlight > 0) return;
    const onIdle = this.#onIdle;
    this.#onIdle = undefined;
    onIdle?.();
  };

  #answerOwn(url: string, request: IncomingMessage, response: ServerResponse): void {
    const { path, query } = splitUrl(url);
    if (path === STREAM_LIST_PATH) {
      handleStreamList(this.#components.store, request, response, query);
      return;
    }
    if (path !== '/') throw new HoldfastError('ROUTE_NOT_FOUND', 'nothing is served here');
    requireRead(request, response);
    const host = `http://${request.headers.host ?? 'localhost'}`;
    const text = ABOUT.replaceAll('HOST/BASE', host + this.#basePath).replace(
      'BASE',
      this.#basePath,
    );
    send(request, response, 200, 'text/plain; charset=utf-8', text);
  }

  #answerHealth(url: string, request: IncomingMessage, response: ServerResponse): boolean {
    if (!url.startsWith('/livez') && !url.startsWith('/readyz')) return false;
    const { path, query } = splitUrl(url);
    if (path !== '/livez' && path !== '/readyz') return false;
    requireRead(request, response);
    if (path === '/livez') {
      send(request, response, 200, 'application/json', '{"status":"alive"}');
      return true;
    }
    const report = this.#components.health.report();
    const verbose = new URLSearchParams(query).has('verbose');
    const ready = this.#components.health.ready;
    if (!ready) response.setHeader('Retry-After', String(LIMITS.retryAfterSeconds));
    const body = JSON.stringify(verbose ? report : { status: report.status });
    send(request, response, ready ? 200 : 503, 'application/json', body);
    return true;
  }

  #fail(response: ServerResponse, error: unknown): void {
    if (!isHoldfastError(error) || error.kind === 'internal') {
      this.#components.logger.error('request-failed', {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    }
    sendProblem(response, error);
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

function requireRead(request: IncomingMessage, response: ServerResponse): void {
  if (request.method === 'GET' || request.method === 'HEAD') return;
  response.setHeader('Allow', 'GET, HEAD');
  throw new HoldfastError('METHOD_NOT_ALLOWED', 'this route is read only');
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  contentType: string,
  text: string,
): void {
  const body = Buffer.from(text);
  response.writeHead(status, {
    'Content-Type': contentType,
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
