/** Response headers as flat lists of names and values, the form `writeHead` takes as it is. */
import type { Position } from '../position.ts';
import { formatPosition } from '../position.ts';
import type { StreamInfo } from '../stream-store.ts';
import { HEADERS } from './header-names.ts';

export function pushPosition(headers: string[], position: Position): void {
  headers.push(HEADERS.streamNextOffset, formatPosition(position));
}

export function pushClosed(headers: string[], closed: boolean): void {
  if (closed) headers.push(HEADERS.streamClosed, 'true');
}

const MAX_AGE_SECONDS = 60;
const REVALIDATE_SECONDS = 300;
const CACHEABLE = `public, max-age=${MAX_AGE_SECONDS}, stale-while-revalidate=${REVALIDATE_SECONDS}`;

/**
 * Caching of a read with data or at the end of a closed stream (PROTOCOL 10.1). A cache may not
 * outlive the stream: its times are cut to what the stream has left.
 */
export function cacheControl(info: StreamInfo, nowMs: number): string {
  const left = secondsLeft(info, nowMs);
  if (left === undefined || left >= MAX_AGE_SECONDS + REVALIDATE_SECONDS) return CACHEABLE;
  if (left <= 0) return 'no-store';
  const maxAge = Math.min(MAX_AGE_SECONDS, left);
  return left > maxAge
    ? `public, max-age=${maxAge}, stale-while-revalidate=${left - maxAge}`
    : `public, max-age=${maxAge}`;
}

function secondsLeft(info: StreamInfo, nowMs: number): number | undefined {
  if (info.expiresAtMs !== undefined) return Math.floor((info.expiresAtMs - nowMs) / 1000);
  return info.ttlSeconds;
}
