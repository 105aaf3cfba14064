/** Entity tags of reads (PROTOCOL 10.1) and the `If-None-Match` they are compared with. */
import { formatPosition, type Position } from '../position.ts';
import type { StreamInfo } from '../stream-store.ts';

/**
 * The tag changes on closure: a cached 304 must not hide the end of the stream. It tells streams
 * apart by their time too: in a fresh data directory ids begin anew, and caches keep their tags.
 */
export function entityTag(
  { id, createdAtMs }: Pick<StreamInfo, 'id' | 'createdAtMs'>,
  from: Position,
  to: Position,
  closed: boolean,
): string {
  const stream = `${id}-${createdAtMs.toString(36)}`;
  return `"${stream}:${formatPosition(from)}:${formatPosition(to)}${closed ? ':c' : ''}"`;
}

const TAG = /^(?:W\/)?("[\x21\x23-\x7e\x80-\xff]*")$/;

/** Weak comparison (RFC 9110 8.8.3.2). What is not a list of tags matches nothing. */
export function matchesAny(ifNoneMatch: string, tag: string): boolean {
  const text = ifNoneMatch.trim();
  if (text === '*') return true;
  if (text === tag) return true;
  // Our tags hold no comma, so a list may be cut at every comma: a foreign tag that holds one
  // falls apart into pieces that are no tags and match nothing.
  return text.split(',').some((part) => TAG.exec(part.trim())?.[1] === tag);
}
