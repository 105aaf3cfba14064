/**
 * The HTTP server on the network: one `node:http` server with every limit set, in front of the
 * `RequestRouter`. It owns the sockets; the router and the protocol own the answers.
 *
 * Invariants
 * I1. Every connection ends: by its client, a time-out of this file, or `close`. Slow headers
 *     die within `headersTimeoutMs + connectionsCheckMs`; a reader that takes no bytes dies
 *     after `writeIdleTimeoutMs`; a long-poll that waits for data is neither.
 * I2. A request the parser refuses is answered with a problem body, never silently dropped,
 *     and its connection is closed: what follows it cannot be trusted (request smuggling).
 *     Never in the midst of another answer, nor in the place of one that is owed.
 * I3. Listening on an address others can reach takes `insecure`: nobody is asked who they are.
 */
import { createServer, STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { HoldfastError, LIMITS, systemErrorCode } from '@holdfast/core';
import { HostCheck, isLoopbackAddress } from './host-check.ts';
import { describeProblem, sendProblem } from './problem.ts';
import type { RequestRouter } from './request-router.ts';

export interface ListenerSettings {
  readonly host: string;
  readonly port: number;
  readonly insecure: boolean;
  readonly allowedHosts: readonly string[];
  /** For tests; in production these are the limits of the same names. */
  readonly headersTimeoutMs?: number;
  readonly requestTimeoutMs?: number;
  readonly connectionsCheckMs?: number;
  readonly keepAliveTimeoutMs?: number;
  readonly writeIdleTimeoutMs?: number;
}

export interface ListenAddress {
  readonly url: string;
  readonly host: string;
  readonly port: number;
}

export class HttpListener {
  readonly address: ListenAddress;
  readonly #server: Server;
  #closed: Promise<void> | undefined;

  private constructor(server: Server, address: ListenAddress) {
    this.#server = server;
    this.address = address;
  }

  /** @throws `INVALID_SETTINGS` when the address is public, taken, or not this machine's. */
  static async open(router: RequestRouter, settings: ListenerSettings): Promise<HttpListener> {
    const loopback = isLoopbackAddress(settings.host);
    if (!loopback && !settings.insecure) {
      throw new HoldfastError(
        'INVALID_SETTINGS',
        'this address can be reached from other machines, and access control does not exist yet: ' +
          'listen on 127.0.0.1, or say insecure to serve everybody who can connect ' +
          `host=${settings.host}`,
      ); // I3
    }
    const hostCheck = new HostCheck(settings.allowedHosts, loopback);
    const server = createLimitedServer(settings, (request, response) => {
      if (!admitHost(hostCheck, request, response)) return;
      router.route(request, response);
    });
    await listen(server, settings);
    const { port } = server.address() as AddressInfo;
    const { host } = settings;
    const shown = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
    return new HttpListener(server, { url: `http://${shown}:${port}`, host, port });
  }

  /** Stops accepting and cuts what is still open. Whoever wants to wait does so before. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
    return this.#closed;
  }
}

function createLimitedServer(
  settings: ListenerSettings,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const server = createServer(
    {
      maxHeaderSize: LIMITS.maxHeaderBytes,
      headersTimeout: settings.headersTimeoutMs ?? LIMITS.headersTimeoutMs,
      requestTimeout: settings.requestTimeoutMs ?? LIMITS.requestTimeoutMs,
      connectionsCheckingInterval: settings.connectionsCheckMs ?? LIMITS.connectionsCheckMs,
      keepAliveTimeout: settings.keepAliveTimeoutMs ?? LIMITS.keepAliveTimeoutMs,
      noDelay: true,
      insecureHTTPParser: false,
      requireHostHeader: false, // `admitHost` does, with a problem body
    },
    answer,
  );
  server.maxRequestsPerSocket = 0;
  server.maxConnections = LIMITS.maxConnections;
  const answering = new WeakMap<Socket, Set<ServerResponse>>();
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    let owed = answering.get(request.socket);
    if (owed === undefined) answering.set(request.socket, (owed = new Set()));
    owed.add(response);
    response.once('close', () => owed.delete(response));
  });
  server.setTimeout(settings.writeIdleTimeoutMs ?? LIMITS.writeIdleTimeoutMs, (socket) => {
    // Waiting for data is fine, not taking it is not; and an idle keep-alive connection ends. I1
    const waiting = (answering.get(socket)?.size ?? 0) > 0 && socket.writableLength === 0;
    if (!waiting) socket.destroy();
  });
  server.on('clientError', (error: Error, socket: Socket) => {
    const owed = answering.get(socket);
    for (const { headersSent, req } of owed ?? []) {
      if (!headersSent && !req.complete) continue; // the request that is refused
      socket.destroy(); // I2: a second answer would be read as part, or instead, of this one
      return;
    }
    refuseBadRequest(error, socket);
  });
  return server;
}

function listen(server: Server, settings: ListenerSettings): Promise<void> {
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

function listenError(error: Error, settings: ListenerSettings): HoldfastError {
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

function admitHost(
  hostCheck: HostCheck,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  const { host } = request.headers;
  if (host === undefined) {
    if (request.httpVersion === '1.0') return true; // no browser speaks it
    sendProblem(response, new HoldfastError('INVALID_HEADER', 'Host is missing'));
    return false;
  }
  if (hostCheck.accepts(host)) return true;
  sendProblem(
    response,
    new HoldfastError('HOST_NOT_ALLOWED', 'this node does not answer to this host name'),
  );
  return false;
}

/** What the parser or a time-out refused. I2 */
function refuseBadRequest(error: Error & { rawPacket?: Buffer }, socket: Socket): void {
  if (!socket.writable || systemErrorCode(error) === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  // A connection that is being timed out between requests, or mid-answer, gets no second answer.
  if (socket.bytesWritten > 0 && systemErrorCode(error) === 'ERR_HTTP_REQUEST_TIMEOUT') {
    socket.destroy();
    return;
  }
  const problem = describeProblem(badRequest(error));
  const head =
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n` +
    'Content-Type: application/problem+json\r\n' +
    `Content-Length: ${problem.body.length}\r\n` +
    'Connection: close\r\n\r\n';
  socket.end(Buffer.concat([Buffer.from(head), problem.body]), () => socket.destroy());
}

function badRequest(error: Error & { rawPacket?: Buffer }): HoldfastError {
  switch (systemErrorCode(error)) {
    case 'HPE_HEADER_OVERFLOW':
      return hasLongRequestLine(error.rawPacket)
        ? new HoldfastError('URL_TOO_LONG', `url is longer than ${LIMITS.maxUrlBytes} bytes`)
        : new HoldfastError(
            'HEADERS_TOO_LARGE',
            `headers are larger than ${LIMITS.maxHeaderBytes} bytes`,
          );
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new HoldfastError('BODY_TOO_LARGE', 'chunk extensions are too large');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HoldfastError('REQUEST_TIMEOUT', 'the request did not arrive in time');
    default:
      return new HoldfastError('INVALID_HEADER', 'this is not a well-formed HTTP request');
  }
}

/** Node's one limit covers request line and headers; which of them it was shows in the bytes. */
function hasLongRequestLine(packet: Buffer | undefined): boolean {
  if (packet === undefined || !/^[A-Z]+ /.test(packet.toString('latin1', 0, 16))) return false;
  const end = packet.indexOf('\r\n');
  return end < 0 || end > LIMITS.maxUrlBytes;
}
