/** `If-None-Match` and `If-Match`, and the tags they are compared with (RFC 9110, 13.1). */
import { HoldfastError } from '@holdfast/core';

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

const OPAQUE = '"[\\x21\\x23-\\x7e\\x80-\\xff]*"';
/** Each run of space has one place to match: a doubtful one would cost exponential time. */
const NEXT_TAG = new RegExp(`[ \\t,]*(W/)?(${OPAQUE})[ \\t]*(?=,|$)`, 'y');
const REST = /^[ \t,]*$/;

/**
 * The tags of `If-Match`, without the weak ones, which match nothing there (RFC 9110, 13.1.1); `*` is
 * any. Throws `INVALID_HEADER` for what is no list of tags.
 */
export function parseStrongTags(text: string): readonly string[] | '*' {
  if (text.trim() === '*') return '*';
  const tags: string[] = [];
  let at = 0;
  let count = 0;
  for (;;) {
    NEXT_TAG.lastIndex = at;
    const match = NEXT_TAG.exec(text);
    if (match === null) break;
    at = NEXT_TAG.lastIndex;
    count++;
    if (match[1] === undefined) tags.push(match[2] as string);
  }
  if (count === 0 || !REST.test(text.slice(at))) {
    throw new HoldfastError('INVALID_HEADER', 'if-match is neither * nor a list of entity tags');
  }
  return tags;
}
