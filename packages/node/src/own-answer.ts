/** Answers of the node itself: the same guards, and the same rules for web pages, as streams have. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SECURITY_HEADERS, type CrossOriginPolicy } from '@holdfast/streams';

export interface OwnAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** More headers, flat. */
  readonly headers?: readonly string[];
}

/** Gives the body as it was sent. */
export function sendOwn(
  request: IncomingMessage,
  response: ServerResponse,
  crossOrigin: CrossOriginPolicy,
  answer: OwnAnswer,
): Buffer {
  const body = Buffer.from(answer.body);
  response.writeHead(answer.status, [
    'Content-Type',
    answer.contentType,
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    'Content-Security-Policy',
    "sandbox; default-src 'none'",
    ...SECURITY_HEADERS,
    ...crossOrigin.headersFor(request.headers.origin, false),
    ...(answer.headers ?? []),
  ]);
  response.end(request.method === 'HEAD' ? undefined : body);
  return body;
}

/** OPTIONS: what may be asked here; whether a page may, is told by the header only its origin gets. */
export function sendOptions(
  request: IncomingMessage,
  response: ServerResponse,
  crossOrigin: CrossOriginPolicy,
  methods: string,
): void {
  response.writeHead(204, [
    'Allow',
    methods,
    'Access-Control-Allow-Methods',
    methods,
    'Cache-Control',
    'no-store',
    ...SECURITY_HEADERS,
    ...crossOrigin.headersFor(request.headers.origin, false),
  ]);
  response.end();
}
