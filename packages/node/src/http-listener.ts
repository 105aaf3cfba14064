/**
 * The HTTP server on the network: one `node:http` server with every limit set, in front of the
 * `RequestRouter`. It owns the sockets; the router and the protocol own the answers.
 *
 * Invariants
 * I1. Every connection ends: by its client, a time-out, or `close`. Slow headers die within
 *     `headersTimeoutMs + connectionsCheckMs`; bodies and readers below their least rate, and
 *     connections nobody uses, by `Connection`; a long-poll that waits for data is none of these.
 * I2. A request the parser refuses is answered with a problem body, never silently dropped,
 *     and its connection is closed: what follows it cannot be trusted (request smuggling).
 *     Never in the midst of another answer, nor in the place of one that is owed.
 * I3. Listening on an address others can reach takes `insecure`: nobody is asked who they are.
 * I4. Requests of one connection are begun in order, one at a time: see `Connection`.
 * I5. What one client may have and send is bounded: see `ClientTable`. Loopback is not.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { HoldfastError, LIMITS, systemErrorCode, type Clock, type Timer } from '@holdfast/core';
import type { Client, ClientTable } from './client-table.ts';
import { Connection, type ConnectionOwner, type ConnectionPace, type Turn } from './connection.ts';
import { HostCheck, isLoopbackAddress } from './host-check.ts';
import { badRequest, isHead, type ParserError } from './parser-error.ts';
import { refuseConnection } from './problem.ts';
import { admitHead } from './request-head.ts';
import type { RequestRouter } from './request-router.ts';

export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
  readonly insecure: boolean;
}

export interface ListenerSettings extends ListenerAddress {
  readonly allowedHosts: readonly string[];
  readonly minBodyBytesPerSecond: number;
  readonly minReadBytesPerSecond: number;
  /** For tests; in production these are the limits of the same names. */
  readonly headersTimeoutMs?: number;
  readonly requestTimeoutMs?: number;
  readonly connectionsCheckMs?: number;
  readonly keepAliveTimeoutMs?: number;
  readonly writeIdleTimeoutMs?: number;
  readonly bodyWindowMs?: number;
}

export interface ListenerComponents {
  readonly router: RequestRouter;
  readonly clients: ClientTable;
  readonly clock: Clock;
}

export interface ListenAddress {
  readonly url: string;
  readonly host: string;
  readonly port: number;
}

export class HttpListener {
  readonly address: ListenAddress;
  readonly #server: Server;
  readonly #connections: Connections;
  #closed: Promise<void> | undefined;

  private constructor(server: Server, connections: Connections, address: ListenAddress) {
    this.#server = server;
    this.#connections = connections;
    this.address = address;
  }

  /**
   * Throws what `open` would throw now. For who does first what cannot be undone: a node that is
   * opened with a backup takes it over.
   */
  static async assertFree(address: ListenerAddress): Promise<void> {
    assertAllowed(address);
    const server = createServer();
    await listen(server, address);
    await new Promise((resolve) => server.close(resolve));
  }

  /** @throws `INVALID_SETTINGS` when the address is public, taken, or not this machine's. */
  static async open(
    components: ListenerComponents,
    settings: ListenerSettings,
  ): Promise<HttpListener> {
    assertAllowed(settings);
    const hosts = new HostCheck(settings.allowedHosts, isLoopbackAddress(settings.host));
    const connections = new Connections(components, settings, hosts);
    const server = createLimitedServer(settings, connections);
    await listen(server, settings);
    connections.watch();
    const { port } = server.address() as AddressInfo;
    const { host } = settings;
    const shown = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
    return new HttpListener(server, connections, { url: `http://${shown}:${port}`, host, port });
  }

  /** Stops accepting and cuts what is still open. Whoever wants to wait does so before. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#connections.close();
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
    return this.#closed;
  }
}

/** All connections of one listener. */
class Connections implements ConnectionOwner {
  readonly #components: ListenerComponents;
  readonly #hosts: HostCheck;
  readonly #pace: ConnectionPace;
  readonly #checkMs: number;
  readonly #all = new Map<Socket, Connection>();
  #timer: Timer | undefined;

  constructor(components: ListenerComponents, settings: ListenerSettings, hosts: HostCheck) {
    this.#components = components;
    this.#hosts = hosts;
    this.#checkMs = settings.connectionsCheckMs ?? LIMITS.connectionsCheckMs;
    this.#pace = paceOf(settings, this.#checkMs);
  }

  open(socket: Socket): void {
    let client: Client | undefined;
    try {
      client = this.#components.clients.connect(socket);
    } catch (error) {
      refuseConnection(socket, error as HoldfastError);
      return;
    }
    const connection = new Connection(socket, client, this);
    this.#all.set(socket, connection);
    socket.once('close', () => {
      this.#all.delete(socket);
      if (client !== undefined) this.#components.clients.disconnect(client);
    });
  }

  take(request: IncomingMessage, response: ServerResponse, expect: Turn['expect']): void {
    const connection = this.#all.get(request.socket);
    // Absent: it was refused when it came, and what it sent was still read.
    connection?.take({ request, response, expect });
  }

  begin(_connection: Connection, turn: Turn): Client | undefined {
    const { request, response, expect } = turn;
    const { clients, router } = this.#components;
    let client: Client | undefined;
    try {
      if (turn.refusal !== undefined) throw turn.refusal;
      admitHead(request, this.#hosts);
      client = clients.begin(request);
      if (expect === 'unknown') {
        throw new HoldfastError('EXPECTATION_FAILED', 'only 100-continue may be expected');
      }
    } catch (error) {
      if (turn.refusal !== undefined || endsConnection(error)) {
        response.setHeader('Connection', 'close');
      }
      router.refuse(request, response, error);
      return client;
    }
    router.route(request, response);
    // Whoever was refused already need not send the body.
    if (expect === 'continue' && !response.headersSent) response.writeContinue();
    return client;
  }

  ended(client: Client, bytes: number): void {
    this.#components.clients.end(client, bytes);
  }

  timedOut({ request, response }: Turn): void {
    if (response.headersSent) {
      request.socket.destroy();
      return;
    }
    // What comes from now on is nobody's: a request that is told that it failed must not succeed.
    request.removeAllListeners('data').removeAllListeners('end');
    response.once('finish', () => request.socket.destroy());
    response.setHeader('Connection', 'close');
    const error = new HoldfastError('REQUEST_TIMEOUT', 'the body comes too slowly');
    this.#components.router.refuse(request, response, error);
  }

  refuseBytes(error: ParserError, socket: Socket): void {
    const owed = this.#all.get(socket)?.active;
    if (owed === undefined) {
      refuseBadRequest(error, socket);
      return;
    }
    // More bytes behind a request that said it was the last: its answer is still owed.
    if (systemErrorCode(error) === 'HPE_CLOSED_CONNECTION') return;
    // I2: a second answer would be read as part, or instead, of the one that is owed.
    if (owed.request.complete || owed.response.headersSent) socket.destroy();
    else refuseBadRequest(error, socket);
  }

  /** Tunnels are not made here. */
  refuseTunnel(socket: Socket): void {
    if (this.#all.get(socket)?.active !== undefined) socket.destroy();
    else {
      refuseConnection(socket, new HoldfastError('METHOD_NOT_ALLOWED', 'this is not a proxy'));
    }
  }

  watch(): void {
    this.#timer = this.#components.clock.after(this.#checkMs, () => {
      for (const connection of this.#all.values()) connection.look(this.#pace);
      this.watch();
    });
  }

  close(): void {
    this.#timer?.cancel();
  }
}

/** What follows such a request is not worth reading, or not to be trusted. */
function endsConnection(error: unknown): boolean {
  const { code } = error as HoldfastError;
  return code === 'INVALID_HEADER' || code === 'UNSUPPORTED_ENCODING' || code === 'INVALID_PATH';
}

function paceOf(settings: ListenerSettings, checkMs: number): ConnectionPace {
  const bodyMs = settings.bodyWindowMs ?? LIMITS.bodyWindowMs;
  const readMs = settings.writeIdleTimeoutMs ?? LIMITS.writeIdleTimeoutMs;
  const idleMs = 2 * (settings.keepAliveTimeoutMs ?? LIMITS.keepAliveTimeoutMs);
  return {
    bodyLooks: Math.ceil(bodyMs / checkMs),
    minBodyBytes: Math.ceil((settings.minBodyBytesPerSecond * bodyMs) / 1000),
    readLooks: Math.ceil(readMs / checkMs),
    minReadBytes: Math.ceil((settings.minReadBytesPerSecond * readMs) / 1000),
    idleLooks: Math.ceil(idleMs / checkMs),
  };
}

function createLimitedServer(settings: ListenerSettings, connections: Connections): Server {
  const server = createServer({
    maxHeaderSize: LIMITS.maxHeaderBytes,
    headersTimeout: settings.headersTimeoutMs ?? LIMITS.headersTimeoutMs,
    requestTimeout: settings.requestTimeoutMs ?? LIMITS.requestTimeoutMs,
    connectionsCheckingInterval: settings.connectionsCheckMs ?? LIMITS.connectionsCheckMs,
    keepAliveTimeout: settings.keepAliveTimeoutMs ?? LIMITS.keepAliveTimeoutMs,
    noDelay: true,
    insecureHTTPParser: false,
    requireHostHeader: false, // `admitHead` does, with a problem body
  });
  server.maxRequestsPerSocket = 0;
  server.maxConnections = LIMITS.maxConnections;
  // Node.js would leave out what is beyond, and nobody would know: `admitHead` refuses.
  server.maxHeadersCount = 0;
  server.on('connection', (socket: Socket) => connections.open(socket));
  server.on('request', (request, response) => connections.take(request, response, 'nothing'));
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
    connections.take(request, response, 'continue'),
  );
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
    connections.take(request, response, 'unknown'),
  );
  server.on('connect', (request: IncomingMessage) => connections.refuseTunnel(request.socket));
  server.on('clientError', (error: Error, socket) =>
    connections.refuseBytes(error, socket as Socket),
  );
  return server;
}

/** I3 */
function assertAllowed({ host, insecure }: ListenerAddress): void {
  if (insecure || isLoopbackAddress(host)) return;
  throw new HoldfastError(
    'INVALID_SETTINGS',
    'this address can be reached from other machines, and access control does not exist yet: ' +
      'listen on 127.0.0.1, or say insecure to serve everybody who can connect ' +
      `host=${host}`,
  );
}

function listen(server: Server, settings: ListenerAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, settings)));
    server.listen({ host: bareHost(settings.host), port: settings.port }, () => {
      server.removeAllListeners('error');
      // An accept that fails (too many open files) is not the end: the next one may work.
      server.on('error', () => undefined);
      resolve();
    });
  });
}

function bareHost(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}

function listenError(error: Error, settings: ListenerAddress): HoldfastError {
  const where = `host=${settings.host} port=${settings.port}`;
  const options = { cause: error };
  switch (systemErrorCode(error)) {
    case 'EADDRINUSE':
      return new HoldfastError(
        'INVALID_SETTINGS',
        `another process listens on this port: stop it, or choose another port ${where}`,
        options,
      );
    case 'EACCES':
      return new HoldfastError(
        'INVALID_SETTINGS',
        `this user may not listen on this port: choose one above 1023 ${where}`,
        options,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new HoldfastError(
        'INVALID_SETTINGS',
        `this machine does not have this address ${where}`,
        options,
      );
    default:
      return new HoldfastError('STORAGE_UNAVAILABLE', `could not listen ${where}`, options);
  }
}

/** What the parser or a time-out refused. I2 */
function refuseBadRequest(error: ParserError, socket: Socket): void {
  if (!socket.writable || systemErrorCode(error) === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  // A connection that is being timed out between requests, or mid-answer, gets no second answer.
  if (socket.bytesWritten > 0 && systemErrorCode(error) === 'ERR_HTTP_REQUEST_TIMEOUT') {
    socket.destroy();
    return;
  }
  refuseConnection(socket, badRequest(error), isHead(error));
}
