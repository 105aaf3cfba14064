/** When an entry ends, as headers and bodies say it. */
import { HoldfastError } from '@holdfast/core';
import { parseInstant, parseInteger } from '@holdfast/streams';
import { KV_HEADERS } from './kv-headers.ts';

/** The last moment that RFC 3339 has a name for. */
const LAST_INSTANT_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

export interface EntryExpiry {
  readonly ttlMs?: number;
  readonly expiresAtMs?: number;
}

const NEVER: EntryExpiry = {};

/** Throws `INVALID_TTL`. */
export function parseEntryExpiry(fields: {
  readonly ttlMs: string | undefined;
  readonly expiresAt: string | undefined;
}): EntryExpiry {
  const { ttlMs: ttlText, expiresAt } = fields;
  if (ttlText === undefined && expiresAt === undefined) return NEVER;
  if (ttlText !== undefined && expiresAt !== undefined) {
    throw invalid(`${KV_HEADERS.ttlMs} and ${KV_HEADERS.expiresAt} exclude each other`);
  }
  if (expiresAt !== undefined) return { expiresAtMs: parseExpiryTime(expiresAt) };
  const ttlMs = parseInteger(ttlText as string);
  if (ttlMs === undefined || ttlMs === 0) {
    throw invalid(`${KV_HEADERS.ttlMs} is not a whole number of milliseconds above 0`);
  }
  return { ttlMs };
}

/** What is before all clocks is past like everything else. Throws `INVALID_TTL`. */
export function parseExpiryTime(text: string): number {
  return Math.max(0, parseInstant(text));
}

/** RFC 3339; what is behind its last year is shown as its end. */
export function formatExpiryTime(expiresAtMs: number): string {
  return new Date(Math.min(expiresAtMs, LAST_INSTANT_MS)).toISOString();
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_TTL', message);
}
