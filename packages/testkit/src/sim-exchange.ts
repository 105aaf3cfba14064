/**
 * The server's side of one simulated request: what a handler for `node:http` is given. Node's own
 * streams, so that back-pressure, `close` and `destroy` are the real ones, over a wire of ours.
 *
 * Invariants
 * 1. What the handler answers goes to the wire in order, and its `write` ends when the wire took it.
 * 2. `answered` is called once, when the handler decides on a status: also when nobody is there any
 *    more to hear it.
 * 3. Of a dead process nothing reaches the wire.
 */
import { EventEmitter } from 'node:events';
import type { IncomingMessage, OutgoingHttpHeader, ServerResponse } from 'node:http';
import { Readable, Writable } from 'node:stream';

export type SimHandler = (request: IncomingMessage, response: ServerResponse) => void;

export interface SimHead {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The way back to the client. */
export interface SimWire {
  head(head: SimHead): void;
  /** @param taken called when there is room for more. */
  chunk(bytes: Buffer, taken: () => void): void;
  end(): void;
  cut(): void;
  /** I2. */
  answered(status: number): void;
}

export interface SimRequestHead {
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly remoteAddress: string;
}

export class SimExchange {
  readonly #incoming: SimIncoming;
  readonly #outgoing: SimOutgoing;

  constructor(head: SimRequestHead, wire: SimWire) {
    this.#incoming = new SimIncoming(head);
    this.#outgoing = new SimOutgoing(head.method === 'HEAD', this.#incoming, wire);
  }

  handle(handler: SimHandler): void {
    handler(
      this.#incoming as unknown as IncomingMessage,
      this.#outgoing as unknown as ServerResponse,
    );
  }

  bodyChunk(bytes: Buffer): void {
    // A copy: the handler may write into what it was given, and the request may come twice.
    this.#incoming.push(Buffer.from(bytes));
  }

  bodyEnd(): void {
    this.#incoming.complete = true;
    this.#incoming.push(null);
  }

  /** The client, or the way to it, is gone. */
  disconnect(): void {
    this.#incoming.disconnect();
    this.#outgoing.destroy();
  }

  /** The process is dead (I3): nothing is told to it any more. */
  die(): void {
    this.#outgoing.die();
  }
}

/** As much of a socket as handlers look at. */
class SimSocket extends EventEmitter {
  readonly remoteAddress: string;
  readonly destroyed: boolean = false;

  constructor(remoteAddress: string) {
    super();
    this.remoteAddress = remoteAddress;
  }

  destroy(): this {
    return this;
  }
}

class SimIncoming extends Readable {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly rawHeaders: readonly string[];
  readonly httpVersion = '1.1';
  readonly httpVersionMajor = 1;
  readonly httpVersionMinor = 1;
  readonly socket: SimSocket;
  complete = false;

  constructor({ method, target, headers, remoteAddress }: SimRequestHead) {
    super({ read: () => undefined });
    this.method = method;
    this.url = target;
    this.headers = headers;
    this.rawHeaders = Object.entries(headers).flat();
    this.socket = new SimSocket(remoteAddress);
  }

  disconnect(): void {
    // As on a socket: a body that was cut short is an error for whoever listens to it.
    const cutShort = !this.complete && this.listenerCount('error') > 0;
    this.destroy(cutShort ? new Error('aborted') : undefined);
  }
}

class SimOutgoing extends Writable {
  statusCode = 200;
  statusMessage = '';
  headersSent = false;
  readonly chunkedEncoding = false;
  readonly req: SimIncoming;
  readonly #headers = new Map<string, OutgoingHttpHeader>();
  readonly #headOnly: boolean;
  readonly #wire: SimWire;
  #onWire = false;
  #dead = false;

  constructor(headOnly: boolean, request: SimIncoming, wire: SimWire) {
    super({ decodeStrings: true });
    this.#headOnly = headOnly;
    this.req = request;
    this.#wire = wire;
    this.on('error', () => undefined); // a write behind the end: nobody hears it on a socket either
  }

  /** A handler that wants to write to a socket itself finds none. */
  get socket(): null {
    return null;
  }

  die(): void {
    this.#dead = true;
  }

  setHeader(name: string, value: OutgoingHttpHeader): this {
    this.#headers.set(name.toLowerCase(), value);
    return this;
  }

  getHeader(name: string): OutgoingHttpHeader | undefined {
    return this.#headers.get(name.toLowerCase());
  }

  hasHeader(name: string): boolean {
    return this.#headers.has(name.toLowerCase());
  }

  removeHeader(name: string): void {
    this.#headers.delete(name.toLowerCase());
  }

  setTimeout(): this {
    return this;
  }

  flushHeaders(): void {
    this.#sendHead();
  }

  writeHead(
    status: number,
    headers?: readonly unknown[] | Readonly<Record<string, unknown>>,
  ): this {
    if (this.headersSent) throw new Error('the head was sent already');
    this.headersSent = true;
    this.statusCode = status;
    for (const [name, value] of entriesOf(headers)) {
      this.setHeader(name, value as OutgoingHttpHeader);
    }
    if (!this.#dead) this.#wire.answered(status);
    return this;
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    this.#sendHead();
    if (this.#dead || this.#headOnly) callback();
    else this.#wire.chunk(Buffer.from(chunk), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#sendHead();
    if (!this.#dead) this.#wire.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#dead && !this.writableFinished) this.#wire.cut();
    callback(error);
  }

  #sendHead(): void {
    if (!this.headersSent) this.writeHead(this.statusCode);
    if (this.#onWire || this.#dead) return;
    this.#onWire = true;
    const headers: Record<string, string> = {};
    for (const [name, value] of this.#headers) headers[name] = String(value);
    this.#wire.head({ status: this.statusCode, headers });
  }
}

/** Node takes an object or a flat list of names and values. */
function entriesOf(
  headers: readonly unknown[] | Readonly<Record<string, unknown>> | undefined,
): [string, unknown][] {
  if (headers === undefined) return [];
  if (!Array.isArray(headers)) return Object.entries(headers);
  const list = headers as readonly unknown[];
  return Array.from({ length: list.length / 2 }, (_, i) => [String(list[2 * i]), list[2 * i + 1]]);
}
