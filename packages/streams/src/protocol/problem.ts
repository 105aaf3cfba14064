/** Errors of the stream protocol: the problem, and the protocol's headers of those that have them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HoldfastError } from '@holdfast/core';
import { formatPosition } from '../position.ts';
import type { ProtocolContext } from './exchange.ts';
import { HEADERS } from './header-names.ts';
import { answerProblem, asHoldfastError, type ProblemMembers } from '../http/problem-answer.ts';

export const ALLOWED_METHODS = 'GET, HEAD, POST, PUT, DELETE, OPTIONS';

/** How the errors of a route differ from those of streams. */
export interface ProblemForm {
  readonly methods: string;
  readonly members: ProblemMembers;
}

export function sendProblem(
  context: ProtocolContext,
  request: IncomingMessage,
  response: ServerResponse,
  thrown: unknown,
  path?: string,
  form?: ProblemForm,
): void {
  const error = asHoldfastError(thrown);
  if (error.kind === 'internal' || error.kind === 'corrupt') logFault(context, error);
  const headers: string[] = [];
  pushProtocolHeaders(headers, context, error, path);
  if (error.code === 'METHOD_NOT_ALLOWED') {
    headers.push('Allow', form?.methods ?? ALLOWED_METHODS);
  }
  answerProblem(request, response, error, { ...context, headers, members: form?.members });
}

function logFault(context: ProtocolContext, error: HoldfastError): void {
  const cause = error.code === 'INTERNAL_ERROR' ? (error.cause ?? error) : error;
  context.logger.error('protocol.failed', {
    code: error.code,
    error: cause instanceof Error ? (cause.stack ?? cause.message) : typeof cause,
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
