/**
 * Errors as `application/problem+json` (RFC 9457), for the protocol and for whoever serves it: one
 * place for their body, their headers and the end of their connection. `code` is the stable part;
 * of a fault of ours the client learns only that it happened.
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Clock,
  type ErrorCode,
  type ErrorKind,
} from '@holdfast/core';
import type { CrossOriginPolicy } from './cross-origin-policy.ts';
import { statusOf } from './error-status.ts';
import { endAfterRequest } from './linger.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

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
  'HEADERS_TOO_LARGE',
]);
/** The same of a request that has a body: a client that may not send more shall not finish it. */
const BODY_UNREAD: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'RATE_LIMITED',
  'CLIENT_QUOTA_EXCEEDED',
  'DRAINING',
  'EXPECTATION_FAILED',
]);

export interface Problem {
  readonly status: number;
  /** Flat names and values, all that belong to the error itself. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

export function asHoldfastError(thrown: unknown): HoldfastError {
  if (isHoldfastError(thrown)) return thrown;
  return new HoldfastError('INTERNAL_ERROR', 'unexpected error', { cause: thrown });
}

/** Members beside those of RFC 9457; `message` is what the client may be told. */
export type ProblemMembers = (
  error: HoldfastError,
  message: string,
) => Readonly<Record<string, unknown>>;

/** @param members makes it `application/json` with these as well */
export function describeProblem(error: HoldfastError, members?: ProblemMembers): Problem {
  const status = statusOf(error);
  const detail = PUBLIC_TEXT[error.kind] ?? error.message;
  const body = Buffer.from(
    JSON.stringify({
      type: `urn:holdfast:error:${error.code.toLowerCase().replaceAll('_', '-')}`,
      title: STATUS_CODES[status] ?? 'Error',
      status,
      code: error.code,
      detail,
      ...members?.(error, detail),
    }),
  );
  const headers = [
    'Content-Type',
    members === undefined ? 'application/problem+json' : 'application/json',
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    ...SECURITY_HEADERS,
  ];
  if (status === 401) headers.push('WWW-Authenticate', challengeOf(error));
  if (status === 415) headers.push('Accept-Encoding', 'identity');
  const retryAfter = retryAfterOf(error, status);
  if (retryAfter !== undefined) headers.push('Retry-After', retryAfter);
  return { status, headers, body };
}

export interface ProblemSurroundings {
  readonly clock: Clock;
  readonly crossOrigin: CrossOriginPolicy;
  /** More headers of this answer. */
  readonly headers?: readonly string[];
  /** Of an answer that is `application/json` and more than a problem. */
  readonly members?: ProblemMembers | undefined;
}

/** Answers with the problem, or cuts the connection when an answer has already begun. */
export function answerProblem(
  request: IncomingMessage,
  response: ServerResponse,
  error: HoldfastError,
  surroundings: ProblemSurroundings,
): void {
  if (response.headersSent) {
    // The answer is already on its way: cutting it off is the only honest thing left.
    response.destroy();
    return;
  }
  const problem = describeProblem(error, surroundings.members);
  const headers = [...problem.headers, ...(surroundings.headers ?? [])];
  const unread = UNREAD.has(error.code) || (BODY_UNREAD.has(error.code) && hasBody(request));
  if (unread) headers.push('Connection', 'close');
  const origin = originOf(request);
  if (origin !== undefined) headers.push(...surroundings.crossOrigin.headersFor(origin, false));
  response.writeHead(problem.status, headers);
  const body = request.method === 'HEAD' ? undefined : problem.body;
  if (unread && !request.complete && request.method !== 'HEAD') {
    response.write(problem.body);
    endAfterRequest(request, response, surroundings.clock);
    return;
  }
  response.end(body);
}

/** RFC 6750, 3.1. */
function challengeOf(error: HoldfastError): string {
  return error.code === 'TOKEN_INVALID' ? 'Bearer error="invalid_token"' : 'Bearer';
}

function retryAfterOf(error: HoldfastError, status: number): string | undefined {
  if (status === 429) {
    return String(error.details['retryAfterSeconds'] ?? LIMITS.retryAfterSeconds);
  }
  return status === 503 || status === 507 ? String(LIMITS.retryAfterSeconds) : undefined;
}

function hasBody(request: IncomingMessage): boolean {
  const { headers } = request;
  const length = headers['content-length'] ?? '0';
  return headers['transfer-encoding'] !== undefined || length !== '0';
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
