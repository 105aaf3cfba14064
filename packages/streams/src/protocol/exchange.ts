/** One request and its answer, with everything that was parsed of it, and the ways to answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock, Logger } from '@holdfast/core';
import type { StreamStore } from '../stream-store.ts';
import type { CrossOriginPolicy } from '../http/cross-origin-policy.ts';
import type { HttpBounds } from '../http/http-bounds.ts';
import { SECURITY_HEADERS } from '../http/security-headers.ts';
import type { CursorSource } from './cursor.ts';
import type { StreamProtocolSettings } from './protocol-settings.ts';
import type { RequestFields } from './request-headers.ts';
import { sendProblem } from './problem.ts';

/** What every handler works with. */
export interface ProtocolContext extends HttpBounds {
  readonly store: StreamStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: StreamProtocolSettings;
  readonly crossOrigin: CrossOriginPolicy;
  readonly cursors: CursorSource;
}

export class Exchange {
  readonly context: ProtocolContext;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly fields: RequestFields;
  /** Decoded, without the base path. */
  readonly path: string;
  /** Where the query starts in the request's target. */
  readonly queryStart: number;

  constructor(
    context: ProtocolContext,
    request: IncomingMessage,
    response: ServerResponse,
    fields: RequestFields,
    path: string,
    queryStart: number,
  ) {
    this.context = context;
    this.request = request;
    this.response = response;
    this.fields = fields;
    this.path = path;
    this.queryStart = queryStart;
  }

  get target(): string {
    return this.request.url as string;
  }

  /** Appends what goes on every answer. @param cacheable a cache may keep the answer */
  complete(headers: string[], cacheable = false): string[] {
    headers.push(...SECURITY_HEADERS);
    const { crossOrigin } = this.context;
    const { origin } = this.fields;
    if (origin !== undefined || cacheable)
      headers.push(...crossOrigin.headersFor(origin, cacheable));
    return headers;
  }

  /** The same for an answer that is shared by requests without an origin. */
  completeForAnybody(headers: string[]): string[] {
    headers.push(...SECURITY_HEADERS);
    headers.push(...this.context.crossOrigin.headersFor(undefined, true));
    return headers;
  }

  /** Answers without a body. */
  reply(status: number, headers: string[], cacheable = false): void {
    this.response.writeHead(status, this.complete(headers, cacheable));
    this.response.end();
  }

  fail(error: unknown): void {
    sendProblem(this.context, this.request, this.response, error, this.path);
  }
}
