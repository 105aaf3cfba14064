/**
 * `GET /v1/streams?prefix=&after=&limit=`: streams by path, one page at a time. An extension
 * of Holdfast (docs/CLI.md, "List route"); the protocol has no listing.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import {
  formatPosition,
  type ListRequest,
  type StreamInfo,
  type StreamStore,
} from '@holdfast/streams';

export const STREAM_LIST_PATH = '/v1/streams';
const DEFAULT_LIMIT = 100;
const PARAMETERS = ['prefix', 'after', 'limit'];

/** One stream as the list, and the command line, show it. */
export interface ListedStream {
  readonly path: string;
  readonly contentType: string;
  readonly nextOffset: string;
  readonly messages: number;
  readonly bytes: number;
  readonly closed: boolean;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly ttlSeconds?: number;
  readonly expiresAt?: string;
  readonly forkedFrom?: string;
  readonly forks: number;
}

export interface StreamPage {
  readonly streams: readonly ListedStream[];
  /** Give it as `after` for the next page; absent on the last. */
  readonly next?: string;
}

/** @throws `INVALID_QUERY` */
export function listStreams(store: StreamStore, query: string): StreamPage {
  return listPage(store, parseListQuery(query));
}

export function listPage(store: StreamStore, request: ListRequest): StreamPage {
  // One more than asked tells whether a next page exists.
  const found = store.list({ ...request, limit: request.limit + 1 });
  const page = found.slice(0, request.limit);
  const last = page.at(-1);
  return {
    streams: page.map(listedStream),
    ...(found.length > request.limit && last !== undefined ? { next: last.path } : {}),
  };
}

function listedStream(info: StreamInfo): ListedStream {
  return {
    path: info.path,
    contentType: info.contentType,
    nextOffset: formatPosition(info.tail),
    messages: info.tail.messages,
    bytes: info.tail.bytes,
    closed: info.closed,
    createdAt: new Date(info.createdAtMs).toISOString(),
    updatedAt: new Date(info.updatedAtMs).toISOString(),
    ...(info.ttlSeconds === undefined ? {} : { ttlSeconds: info.ttlSeconds }),
    ...(info.expiresAtMs === undefined
      ? {}
      : { expiresAt: info.expiresAtText ?? new Date(info.expiresAtMs).toISOString() }),
    ...(info.forkedFrom === undefined ? {} : { forkedFrom: info.forkedFrom }),
    forks: info.forks,
  };
}

function parseListQuery(query: string): ListRequest {
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (!PARAMETERS.includes(name) || parameters.getAll(name).length > 1) {
      throw new HoldfastError('INVALID_QUERY', 'the list takes prefix, after and limit, once each');
    }
  }
  const limitText = parameters.get('limit') ?? String(DEFAULT_LIMIT);
  const limit = Number(limitText);
  if (!/^[1-9]\d{0,8}$/.test(limitText) || limit > LIMITS.maxListedStreams) {
    throw new HoldfastError('INVALID_QUERY', `limit must be 1 to ${LIMITS.maxListedStreams}`);
  }
  const prefix = parameters.get('prefix');
  const after = parameters.get('after');
  return {
    limit,
    ...(prefix === null || prefix === '' ? {} : { prefix }),
    ...(after === null || after === '' ? {} : { after }),
  };
}
