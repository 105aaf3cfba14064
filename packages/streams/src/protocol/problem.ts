/**
 * Errors as `application/problem+json` (RFC 9457). `code` is the stable part; protocol headers go
 * with the errors that have them; of a fault of ours the client learns only that it happened.
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type ErrorCode,
  type ErrorKind,
} from '@holdfast/core';
import { formatPosition } from '../position.ts';
import { statusOf } from './error-status.ts';
import type { ProtocolContext } from './exchange.ts';
import { endAfterRequest } from './linger.ts';
import { SECURITY_HEADERS } from './response-headers.ts';
import { HEADERS } from './header-names.ts';

export const ALLOWED_METHODS = 'GET, HEAD, POST, PUT, DELETE, OPTIONS';

/** Kinds whose message could tell about the machine: the client gets a fixed text. */
const PUBLIC_TEXT: Partial<Record<ErrorKind, string>> = {
  unavailable: 'the server cannot do this now; try again later',
  corrupt: 'stored data is damaged; the operator has to look',
  closed: 'the server is shutting down',
  internal: 'an internal error occurred',
};

/** What is still being sent then is not worth reading. */
const UNREAD: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'BODY_TOO_LARGE',
  'BODY_MEMORY_FULL',
  'URL_TOO_LONG',
]);

export function sendProblem(
  context: ProtocolContext,
  request: IncomingMessage,
  response: ServerResponse,
  thrown: unknown,
  path?: string,
): void {
  const error = asHoldfastError(context, thrown);
  if (response.headersSent) {
    // The answer is already on its way: cutting it off is the only honest thing left.
    response.destroy();
    return;
  }
  const status = statusOf(error);
  const body = Buffer.from(problemText(error, status));
  const headers: string[] = [
    'Content-Type',
    'application/problem+json',
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    ...SECURITY_HEADERS,
  ];
  pushProtocolHeaders(headers, context, error, path);
  pushStatusHeaders(headers, error, status);
  const origin = originOf(request);
  if (origin !== undefined) headers.push(...context.crossOrigin.headersFor(origin, false));
  response.writeHead(status, headers);
  if (UNREAD.has(error.code) && !request.complete && request.method !== 'HEAD') {
    response.write(body);
    endAfterRequest(request, response, context.clock);
    return;
  }
  response.end(request.method === 'HEAD' ? undefined : body);
}

function asHoldfastError(context: ProtocolContext, thrown: unknown): HoldfastError {
  const error = isHoldfastError(thrown)
    ? thrown
    : new HoldfastError('INTERNAL_ERROR', 'unexpected error', { cause: thrown });
  if (error.kind === 'internal' || error.kind === 'corrupt') {
    const cause = error.code === 'INTERNAL_ERROR' ? (error.cause ?? error) : error;
    context.logger.error('protocol.failed', {
      code: error.code,
      error: cause instanceof Error ? (cause.stack ?? cause.message) : typeof cause,
    });
  }
  return error;
}

function problemText(error: HoldfastError, status: number): string {
  return JSON.stringify({
    type: `urn:holdfast:error:${error.code.toLowerCase().replaceAll('_', '-')}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    code: error.code,
    detail: PUBLIC_TEXT[error.kind] ?? error.message,
  });
}

/** The names in `details` are the store's: `StreamStore`, contract 6. */
function pushProtocolHeaders(
  headers: string[],
  context: ProtocolContext,
  error: HoldfastError,
  path: string | undefined,
): void {
  const { details } = error;
  if (error.code === 'STREAM_CLOSED') {
    headers.push(HEADERS.streamClosed, 'true');
    const tail = details['nextOffset'] ?? tailOf(context, path);
    if (tail !== undefined) headers.push(HEADERS.streamNextOffset, String(tail));
  } else if (error.code === 'PRODUCER_FENCED') {
    const epoch = details['currentEpoch'];
    if (epoch !== undefined) headers.push(HEADERS.producerEpoch, String(epoch));
  } else if (error.code === 'PRODUCER_SEQ_GAP') {
    headers.push(HEADERS.producerExpectedSeq, String(details['expectedSeq'] ?? 0));
    headers.push(HEADERS.producerReceivedSeq, String(details['receivedSeq'] ?? ''));
  }
}

/** The tail of a closed stream does not move: it may be looked up after the fact. */
function tailOf(context: ProtocolContext, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return formatPosition(context.store.stat(path).tail);
  } catch {
    return undefined;
  }
}

function pushStatusHeaders(headers: string[], error: HoldfastError, status: number): void {
  if (status === 503 || status === 507) {
    headers.push('Retry-After', String(LIMITS.retryAfterSeconds));
  } else if (status === 405) {
    headers.push('Allow', ALLOWED_METHODS);
  } else if (status === 415) {
    headers.push('Accept-Encoding', 'identity');
  }
  if (UNREAD.has(error.code)) headers.push('Connection', 'close');
}

/** Also of requests whose headers could not be parsed. */
function originOf(request: IncomingMessage): string | undefined {
  const raw = request.rawHeaders;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    if (name.length === 6 && name.toLowerCase() === 'origin') return raw[i + 1];
  }
  return undefined;
}
