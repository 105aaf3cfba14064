/**
 * `fetch(request) => response` over the same routes as the HTTP server, without a socket: for
 * frameworks that speak the Fetch API. Bodies stream both ways, with backpressure, and
 * cancelling the response body is a client that went away.
 *
 * Invariants
 * I1. The promise settles once: with the head when the handler sends it, or with an error
 *     when the response is destroyed before that.
 * I2. `close` is emitted exactly once per response, whatever ended it, as on a real one.
 * I3. A request whose body breaks off ends with its response, as a connection that breaks does;
 *     whoever sent it is the only one to notice.
 */
import {
  IncomingMessage,
  validateHeaderName,
  validateHeaderValue,
  type OutgoingHttpHeader,
  type ServerResponse,
} from 'node:http';
import { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { HoldfastError } from '@holdfast/core';

export type RouteFunction = (request: IncomingMessage, response: ServerResponse) => void;

/** Unread bytes of a response body before the handler is asked to wait. */
const BODY_HIGH_WATER_BYTES = 64 * 1024;
/** Statuses whose `Response` must not have a body. */
const BODILESS = new Set([101, 204, 205, 304]);

export function bridgeFetch(route: RouteFunction, request: Request): Promise<Response> {
  return new Promise((resolve, reject) => {
    const incoming = new BridgedRequest(request);
    const response = new BridgedResponse(request.method === 'HEAD', resolve, reject);
    const abort = (): void => {
      const reason: unknown = request.signal.reason;
      response.destroy(reason instanceof Error ? reason : undefined);
      incoming.destroy();
    };
    if (request.signal.aborted) {
      reject(request.signal.reason as Error);
      return;
    }
    request.signal.addEventListener('abort', abort, { once: true });
    incoming.on('error', (error) => response.destroy(error)); // I3
    response.once('close', () => {
      request.signal.removeEventListener('abort', abort);
      incoming.close();
    });
    route(incoming, response as unknown as ServerResponse);
  });
}

/** A Node request whose head and body come from a Fetch request. */
class BridgedRequest extends IncomingMessage {
  readonly #body: Readable | undefined;

  constructor(request: Request) {
    super(new Socket()); // never connected: only there because the type wants one
    const url = new URL(request.url);
    // The one thing handlers ask of a socket: whether the client came by TLS.
    if (url.protocol === 'https:') Object.assign(this.socket, { encrypted: true });
    this.method = request.method;
    this.url = url.pathname + url.search;
    this.httpVersion = '1.1';
    this.httpVersionMajor = 1;
    this.httpVersionMinor = 1;
    for (const [name, value] of request.headers) this.#addHeader(name, value);
    if (!request.headers.has('host')) this.#addHeader('host', url.host);
    const body = request.body;
    if (body === null) {
      this.push(null);
      this.complete = true;
      return;
    }
    // A Fetch body has no declared length unless somebody set the header: it is chunked.
    if (!request.headers.has('content-length')) this.#addHeader('transfer-encoding', 'chunked');
    this.#body = Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]);
    this.#body.on('data', (chunk: Uint8Array) => {
      if (!this.push(chunk)) this.#body?.pause();
    });
    this.#body.once('end', () => {
      this.complete = true;
      this.push(null);
    });
    this.#body.once('error', (error) => this.destroy(error));
  }

  #addHeader(name: string, value: string): void {
    this.headers[name] = value;
    this.rawHeaders.push(name, value);
  }

  override _read(): void {
    this.#body?.resume();
  }

  /** The exchange is over: what the handler did not read is not wanted. */
  close(): void {
    this.#body?.destroy();
    if (!this.destroyed) this.destroy();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#body?.destroy();
    // As on a socket: a body that was cut short is an error for whoever is reading it.
    const cutShort = !this.complete && this.listenerCount('error') > 0;
    callback(error ?? (cutShort ? new HoldfastError('ABORTED', 'the request was cut off') : null));
  }
}

/** The part of `ServerResponse` that handlers use, over a web stream. */
class BridgedResponse extends Writable {
  statusCode = 200;
  statusMessage = '';
  headersSent = false;
  sendDate = false;
  readonly #headers = new Map<string, { name: string; value: OutgoingHttpHeader }>();
  readonly #headOnly: boolean;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: Error) => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #pulled: (() => void) | undefined;
  #enqueued = 0;
  #ended = false;

  constructor(
    headOnly: boolean,
    resolve: (response: Response) => void,
    reject: (error: Error) => void,
  ) {
    super({ highWaterMark: BODY_HIGH_WATER_BYTES, decodeStrings: true });
    this.#headOnly = headOnly;
    this.#resolve = resolve;
    this.#reject = reject;
    this.on('error', () => undefined); // told through the promise or the body
  }

  /** No socket: handlers that tune it skip that. */
  get socket(): null {
    return null;
  }

  get connection(): null {
    return null;
  }

  /** Body bytes that its reader took so far: tells a slow one from one that does not read. */
  get bytesTaken(): number {
    const room = this.#controller?.desiredSize ?? BODY_HIGH_WATER_BYTES;
    return this.#enqueued - (BODY_HIGH_WATER_BYTES - room);
  }

  get finished(): boolean {
    return this.#ended;
  }

  /** Throws, as a real response does, for what cannot be a header. */
  setHeader(name: string, value: OutgoingHttpHeader): this {
    validateHeader(name, value);
    this.#headers.set(name.toLowerCase(), { name, value });
    return this;
  }

  getHeader(name: string): OutgoingHttpHeader | undefined {
    return this.#headers.get(name.toLowerCase())?.value;
  }

  hasHeader(name: string): boolean {
    return this.#headers.has(name.toLowerCase());
  }

  removeHeader(name: string): void {
    this.#headers.delete(name.toLowerCase());
  }

  getHeaderNames(): string[] {
    return [...this.#headers.keys()];
  }

  getHeaders(): Record<string, OutgoingHttpHeader> {
    return Object.fromEntries([...this.#headers].map(([name, entry]) => [name, entry.value]));
  }

  setTimeout(): this {
    return this;
  }

  flushHeaders(): void {
    this.#sendHead();
  }

  writeContinue(): void {}

  writeHead(
    status: number,
    reasonOrHeaders?: string | HeaderInput,
    headers: HeaderInput | undefined = typeof reasonOrHeaders === 'string'
      ? undefined
      : reasonOrHeaders,
  ): this {
    const entries = headerEntries(headers);
    for (const [name, value] of entries) validateHeader(name, value);
    this.statusCode = status;
    for (const [name, value] of entries) this.setHeader(name, value);
    this.#sendHead();
    return this;
  }

  override end(...parameters: unknown[]): this {
    this.#ended = true;
    if (parameters[0] === undefined || typeof parameters[0] === 'function') this.#sendHead();
    return super.end(...(parameters as [])) as this;
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    this.#sendHead();
    const controller = this.#controller;
    if (controller === undefined) {
      callback(); // HEAD and bodiless statuses
      return;
    }
    // A copy: the bytes may be views into memory that lives on after this answer.
    controller.enqueue(new Uint8Array(chunk));
    this.#enqueued += chunk.length;
    if ((controller.desiredSize ?? 0) > 0) callback();
    else this.#pulled = callback;
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#sendHead();
    this.#controller?.close();
    this.#controller = undefined;
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const cut = error ?? new HoldfastError('ABORTED', 'the response was cut off');
    if (!this.headersSent) this.#reject(cut); // I1
    if (!this.writableFinished) this.#controller?.error(cut);
    this.#controller = undefined;
    callback(error);
  }

  #sendHead(): void {
    if (this.headersSent) return;
    this.headersSent = true;
    const headers = new Headers();
    for (const { name, value } of this.#headers.values()) {
      if (name.toLowerCase() === 'connection') continue; // of a hop, and there is none
      for (const one of Array.isArray(value) ? value : [value]) headers.append(name, String(one));
    }
    const bodiless = this.#headOnly || BODILESS.has(this.statusCode);
    const body = bodiless ? null : this.#openBody();
    this.#resolve(new Response(body, { status: this.statusCode, headers }));
  }

  #openBody(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          const pulled = this.#pulled;
          this.#pulled = undefined;
          pulled?.();
        },
        cancel: () => {
          this.#controller = undefined;
          this.destroy();
        },
      },
      { highWaterMark: BODY_HIGH_WATER_BYTES, size: (chunk) => chunk?.byteLength ?? 0 },
    );
  }
}

function validateHeader(name: string, value: OutgoingHttpHeader): void {
  validateHeaderName(name);
  for (const one of Array.isArray(value) ? value : [value]) validateHeaderValue(name, String(one));
}

type HeaderInput = Readonly<Record<string, OutgoingHttpHeader | undefined>> | OutgoingHttpHeader[];

function headerEntries(headers: HeaderInput | undefined): [string, OutgoingHttpHeader][] {
  if (headers === undefined) return [];
  if (!Array.isArray(headers)) {
    return Object.entries(headers).filter(
      (entry): entry is [string, OutgoingHttpHeader] => entry[1] !== undefined,
    );
  }
  const entries: [string, OutgoingHttpHeader][] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    entries.push([String(headers[i]), headers[i + 1] as OutgoingHttpHeader]);
  }
  return entries;
}
