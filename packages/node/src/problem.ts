/** Errors as `application/problem+json` outside the stream protocol. */
import { STATUS_CODES, type ServerResponse } from 'node:http';
import { HoldfastError, isHoldfastError, LIMITS } from '@holdfast/core';
import { statusOf } from '@holdfast/streams';

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
  const status = statusOf(known);
  // What broke inside is for the log; the caller gets the code.
  const hidden = known.kind === 'internal' || known.kind === 'corrupt';
  const body = {
    type: `urn:holdfast:error:${known.code.toLowerCase().replaceAll('_', '-')}`,
    title: STATUS_CODES[status],
    status,
    code: known.code,
    ...(hidden ? {} : { detail: known.message }),
  };
  return {
    status,
    body: Buffer.from(JSON.stringify(body)),
    retryAfter: status === 503 || status === 507 ? String(LIMITS.retryAfterSeconds) : undefined,
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
