/** The query of a read: offset, live mode and cursor (PROTOCOL 5.6 to 5.8). */
import { HoldfastError } from '@holdfast/core';
import { parsePosition, type Position } from '../position.ts';

export interface ReadQuery {
  /** Absent in the request: `undefined`, which a catch-up read takes as the start. */
  readonly offset: Position | 'start' | 'now' | undefined;
  readonly live: 'long-poll' | 'sse' | undefined;
  readonly cursor: string | undefined;
}

const CATCH_UP_FROM_START: ReadQuery = { offset: undefined, live: undefined, cursor: undefined };

/** More digits than this are nobody's cursor. */
const MAX_CURSOR_DIGITS = 64;

/** @param at where the query starts in `target`: its length, or the place of the `?` */
export function parseReadQuery(target: string, at: number): ReadQuery {
  if (at >= target.length - 1) return CATCH_UP_FROM_START;
  let offset: string | undefined;
  let live: string | undefined;
  let cursor: string | undefined;
  let start = at + 1;
  while (start <= target.length) {
    let end = target.indexOf('&', start);
    if (end === -1) end = target.length;
    const equals = target.indexOf('=', start);
    const nameEnd = equals === -1 || equals > end ? end : equals;
    const name = decode(target.slice(start, nameEnd));
    if (name === 'offset') offset = once(offset, name, target, nameEnd, end);
    else if (name === 'live') live = once(live, name, target, nameEnd, end);
    else if (name === 'cursor') cursor = once(cursor, name, target, nameEnd, end);
    start = end + 1;
  }
  return { offset: parseOffset(offset), live: parseLive(live), cursor: parseCursor(cursor) };
}

function once(
  before: string | undefined,
  name: string,
  target: string,
  nameEnd: number,
  end: number,
): string {
  if (before !== undefined) {
    throw new HoldfastError('INVALID_QUERY', `query parameter is given twice name=${name}`);
  }
  return decode(target.slice(nameEnd + 1, end));
}

function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new HoldfastError('INVALID_QUERY', 'query is not valid percent-encoded UTF-8');
  }
}

function parseOffset(text: string | undefined): ReadQuery['offset'] {
  if (text === undefined) return undefined;
  if (text === '-1') return 'start';
  if (text === 'now') return 'now';
  return parsePosition(text);
}

function parseLive(text: string | undefined): ReadQuery['live'] {
  if (text === undefined || text === 'long-poll' || text === 'sse') return text;
  throw new HoldfastError('INVALID_QUERY', 'live is neither long-poll nor sse');
}

/** A cursor is an echo: one that this server cannot have given out is taken as absent. */
function parseCursor(text: string | undefined): string | undefined {
  if (text === undefined || !/^\d+$/.test(text)) return undefined;
  if (text.length > MAX_CURSOR_DIGITS) {
    throw new HoldfastError('INVALID_QUERY', `cursor is too long digits=${text.length}`);
  }
  return text;
}
