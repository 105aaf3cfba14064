/**
 * When a stream is over: an absolute moment, or a window that every read and write moves.
 * A stream with a live reader is being read, so its window does not close.
 */
import type { Stream } from './stream.ts';

export function expires(stream: Stream): boolean {
  return stream.config.ttlSeconds !== undefined || stream.config.expiresAtMs !== undefined;
}

/** The earliest moment at which it may be over, ms since the epoch. */
export function dueAtMs(stream: Stream): number {
  const { ttlSeconds, expiresAtMs } = stream.config;
  const absolute = expiresAtMs ?? Number.POSITIVE_INFINITY;
  if (ttlSeconds === undefined) return absolute;
  return Math.min(absolute, stream.touchedAtMs + ttlSeconds * 1000);
}

export function isExpired(stream: Stream, nowMs: number): boolean {
  const { ttlSeconds, expiresAtMs } = stream.config;
  if (expiresAtMs !== undefined && nowMs >= expiresAtMs) return true;
  return (
    ttlSeconds !== undefined &&
    nowMs >= stream.touchedAtMs + ttlSeconds * 1000 &&
    (stream.watchers === undefined || stream.watchers.size === 0)
  );
}
