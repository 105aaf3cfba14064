/** Errors as `application/problem+json` outside the stream protocol. */
import { STATUS_CODES, type ServerResponse } from 'node:http';
import {
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type ErrorCode,
  type ErrorKind,
} from '@holdfast/core';

const STATUS_OF_KIND: Record<ErrorKind, number> = {
  invalid: 400,
  denied: 403,
  missing: 404,
  conflict: 409,
  fenced: 409,
  limit: 429,
  unavailable: 503,
  corrupt: 500,
  closed: 503,
  internal: 500,
};

const STATUS_OF_CODE: Partial<Record<ErrorCode, number>> = {
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  BODY_TOO_LARGE: 413,
  URL_TOO_LONG: 414,
  HEADERS_TOO_LARGE: 431,
};

export interface Problem {
  readonly status: number;
  readonly body: Buffer;
  readonly retryAfter: string | undefined;
}

/** @param error anything thrown; what is not a `HoldfastError` says nothing of itself. */
export function describeProblem(error: unknown): Problem {
  const known = isHoldfastError(error)
    ? error
    : new HoldfastError('INTERNAL_ERROR', 'the request failed', { cause: error });
  const status = STATUS_OF_CODE[known.code] ?? STATUS_OF_KIND[known.kind];
  // What broke inside is for the log; the caller gets the code.
  const hidden = known.kind === 'internal' || known.kind === 'corrupt';
  const body = {
    type: 'about:blank',
    title: STATUS_CODES[status],
    status,
    code: known.code,
    ...(hidden ? {} : { detail: known.message }),
  };
  return {
    status,
    body: Buffer.from(JSON.stringify(body)),
    retryAfter: status === 503 || status === 429 ? String(LIMITS.retryAfterSeconds) : undefined,
  };
}

/** Answers with the problem, or cuts the connection when an answer has already begun. */
export function sendProblem(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const problem = describeProblem(error);
  if (problem.retryAfter !== undefined) response.setHeader('Retry-After', problem.retryAfter);
  response.writeHead(problem.status, {
    'Content-Type': 'application/problem+json',
    'Content-Length': problem.body.length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(problem.body);
}
