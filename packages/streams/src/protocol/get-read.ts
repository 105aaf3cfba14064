/** GET: catch-up reads (PROTOCOL 5.6), and the way into the two live modes. */
import { HoldfastError } from '@holdfast/core';
import { formatPosition } from '../position.ts';
import type { StreamSlice } from '../stream-store.ts';
import { matchesAny } from '../http/entity-tags.ts';
import { entityTag } from './etag.ts';
import type { Exchange } from './exchange.ts';
import type { LongPolls } from './long-poll.ts';
import { factsOf } from './media-type.ts';
import { parseReadQuery, type ReadQuery } from './read-query.ts';
import { cacheControl } from './response-headers.ts';
import { bodyLength, sendSlice } from './send-slice.ts';
import type { SseConnections } from './sse.ts';
import { HEADERS } from './header-names.ts';

export function getRead(exchange: Exchange, longPolls: LongPolls, sse: SseConnections): void {
  const query = parseReadQuery(exchange.target, exchange.queryStart);
  if (query.live === undefined) {
    catchUp(exchange, query.offset ?? 'start');
    return;
  }
  if (query.offset === undefined) {
    throw new HoldfastError('INVALID_QUERY', `offset is required live=${query.live}`);
  }
  if (query.live === 'sse') sse.open(exchange, query.offset, query.cursor);
  else longPolls.open(exchange, query.offset, query.cursor);
}

function catchUp(exchange: Exchange, from: NonNullable<ReadQuery['offset']>): void {
  const { store, settings } = exchange.context;
  const read = store.read({ path: exchange.path, from, maxBytes: settings.maxChunkBytes });
  if (read instanceof Promise) {
    read
      .then((slice) => sendRead(exchange, slice, from === 'now'))
      .catch((error: unknown) => exchange.fail(error));
  } else {
    sendRead(exchange, read, from === 'now');
  }
}

/**
 * Answers a read with what the slice holds.
 * @param fromNow the answer says where the tail is and nothing else: it is not kept by anybody
 * @param cursor of a live mode
 */
export function sendRead(
  exchange: Exchange,
  slice: StreamSlice,
  fromNow: boolean,
  cursor?: string,
): void {
  const { ifNoneMatch } = exchange.fields;
  if (ifNoneMatch !== undefined && !fromNow && matchesAny(ifNoneMatch, tagOf(slice))) {
    exchange.reply(304, readHeaders(exchange, slice, fromNow, cursor), true);
    return;
  }
  const headers = bodyHeaders(exchange, slice, fromNow, cursor);
  sendSlice(exchange, slice, 200, exchange.complete(headers, !fromNow));
}

/** Headers of a 200 with the slice's body. */
export function bodyHeaders(
  exchange: Exchange,
  slice: StreamSlice,
  fromNow: boolean,
  cursor: string | undefined,
): string[] {
  const headers = readHeaders(exchange, slice, fromNow, cursor);
  headers.push(...factsOf(slice.info.contentType).headers);
  headers.push('Content-Length', String(bodyLength(slice)));
  return headers;
}

function readHeaders(
  exchange: Exchange,
  slice: StreamSlice,
  fromNow: boolean,
  cursor: string | undefined,
): string[] {
  const headers = [HEADERS.streamNextOffset, formatPosition(slice.to)];
  if (!fromNow) headers.push('ETag', tagOf(slice));
  if (slice.upToDate) headers.push(HEADERS.streamUpToDate, 'true');
  if (slice.endOfStream) headers.push(HEADERS.streamClosed, 'true');
  else if (cursor !== undefined) headers.push(HEADERS.streamCursor, cursor);
  headers.push('Cache-Control', cachingOf(exchange, slice, fromNow));
  return headers;
}

function tagOf(slice: StreamSlice): string {
  return entityTag(slice.info, slice.from, slice.to, slice.endOfStream);
}

function cachingOf(exchange: Exchange, slice: StreamSlice, fromNow: boolean): string {
  if (fromNow) return 'no-store';
  // "Nothing yet" is true only now: a cache may keep it, but has to ask again each time.
  if (slice.byteLength === 0 && !slice.endOfStream) return 'no-cache';
  return cacheControl(slice.info, exchange.context.clock.now());
}
