/** OPTIONS: what may be asked, and the preflight of a browser. */
import type { Exchange } from './exchange.ts';
import { ALLOWED_METHODS } from './problem.ts';
import { HEADERS } from './header-names.ts';

const ALLOWED_HEADERS = [
  'Content-Type',
  'Authorization',
  'If-None-Match',
  'If-Match',
  'Cache-Control',
  'Last-Event-ID',
  HEADERS.streamSeq,
  HEADERS.streamTtl,
  HEADERS.streamExpiresAt,
  HEADERS.streamClosed,
  HEADERS.streamForkedFrom,
  HEADERS.streamForkOffset,
  HEADERS.streamForkSubOffset,
  HEADERS.producerId,
  HEADERS.producerEpoch,
  HEADERS.producerSeq,
].join(', ');

/** How long a browser may remember the answer. */
const PREFLIGHT_SECONDS = '600';

/**
 * Methods and headers are the same for everybody; whether the page may use them is told by
 * `Access-Control-Allow-Origin`, which only allowed origins get.
 */
export function answerOptions(exchange: Exchange, methods: string = ALLOWED_METHODS): void {
  exchange.reply(204, [
    'Allow',
    methods,
    'Access-Control-Allow-Methods',
    methods,
    'Access-Control-Allow-Headers',
    ALLOWED_HEADERS,
    'Access-Control-Max-Age',
    PREFLIGHT_SECONDS,
  ]);
}
