/**
 * HTTP over the sockets of Node.js, with connections kept for the next request.
 *
 * Invariants
 * 1. `sent` is false only while the socket of the request has taken none of its bytes.
 * 2. A connection is used again only after the whole answer was read.
 */
import * as http from 'node:http';
import * as https from 'node:https';
import { LIMITS } from '@holdfast/core';
import {
  HttpFailure,
  type HttpAnswer,
  type HttpRequest,
  type HttpTransport,
} from './http-transport.ts';

const MAX_HEADER_BYTES = 64 * 1024;

export class NodeHttpTransport implements HttpTransport {
  readonly #plain = new http.Agent({ keepAlive: true });
  readonly #secure = new https.Agent({ keepAlive: true });

  send({ method, url, headers, body, signal, onProgress }: HttpRequest): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const secure = url.protocol === 'https:';
      const request = (secure ? https : http).request(url, {
        method,
        agent: secure ? this.#secure : this.#plain,
        headers: { ...headers, 'content-length': String(body?.byteLength ?? 0) },
        signal,
        maxHeaderSize: MAX_HEADER_BYTES,
      });
      let connected = false;
      const onConnected = (): void => {
        connected = true; // I1
        onProgress?.();
      };
      request.once('socket', (socket) => {
        if (!socket.connecting) onConnected();
        else socket.once(secure ? 'secureConnect' : 'connect', onConnected);
      });
      request.once('error', (error) => reject(failure(error, connected)));
      request.once('response', (response) => resolve(answerOf(response)));
      writeBody(request, body, onProgress);
    });
  }

  close(): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }
}

/** In pieces, so that a slow way shows progress. */
function writeBody(
  request: http.ClientRequest,
  body: Uint8Array | undefined,
  onProgress: (() => void) | undefined,
): void {
  if (body === undefined || body.byteLength === 0) {
    request.end();
    return;
  }
  let at = 0;
  const next = (error?: Error | null): void => {
    if (error !== undefined && error !== null) return; // 'error' tells
    if (at > 0) onProgress?.();
    if (at >= body.byteLength) {
      request.end();
      return;
    }
    const piece = body.subarray(at, at + LIMITS.objectReadBytes);
    at += piece.byteLength;
    request.write(piece, next);
  };
  next();
}

function answerOf(response: http.IncomingMessage): HttpAnswer {
  const headers: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(response.headers)) {
    headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  // Nobody may be listening when the signal ends between two reads.
  response.on('error', () => undefined);
  return {
    status: response.statusCode ?? 0,
    headers,
    body: bodyOf(response),
    discard: () => {
      if (!response.complete || response.readableLength > 0)
        response.destroy(); // I2
      else response.resume();
    },
  };
}

async function* bodyOf(response: http.IncomingMessage): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const piece of response) yield piece as Buffer;
  } catch (error) {
    throw failure(error, true);
  }
  if (!response.complete) throw new HttpFailure('the answer was cut off', true, undefined);
}

function failure(error: unknown, sent: boolean): HttpFailure {
  const code = (error as { code?: unknown }).code;
  const what = typeof code === 'string' ? code : 'an error';
  return new HttpFailure(`HTTP failed with ${what}`, sent, error);
}
