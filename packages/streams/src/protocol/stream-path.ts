/**
 * From a request target to a stream's path, once. The path is decoded, has no leading slash and
 * is the stream's identity: whatever is checked later (access, reserved names) is checked on it.
 *
 * The target is read raw: a URL parser would resolve `..` and turn a request for one place into
 * a request for another.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { isReservedPath } from '../subscriptions/path-pattern.ts';

const SLASH = 0x2f;
const PERCENT = 0x25;
const QUESTION = 0x3f;
const BACKSLASH = 0x5c;

// C0, DEL and C1: they have no place in a name and many in an attack on a log or a terminal.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** A surrogate without its other half: it has no UTF-8. */
export const HALF_CHARACTER: RegExp = /\p{Surrogate}/u;

/** Where the query starts in `target`, or its length. */
export function queryStart(target: string): number {
  const at = target.indexOf('?');
  return at === -1 ? target.length : at;
}

/**
 * @param target the request line's target, or a path given in a header
 * @param end where the path part of it ends
 */
export function parseStreamPath(target: string, end: number, basePath: string): string {
  if (target.length > LIMITS.maxUrlBytes) throw tooLong('url', target.length);
  if (!target.startsWith(basePath) || end <= basePath.length) {
    throw new HoldfastError('ROUTE_NOT_FOUND', 'nothing is served here');
  }
  const path = decodePath(target.slice(basePath.length, end));
  checkPath(path);
  if (isReservedPath(path)) {
    throw new HoldfastError('ROUTE_NOT_FOUND', 'this path is reserved for the protocol');
  }
  return path;
}

/** Throws `INVALID_PATH`. What is decoded may still be no path. */
export function decodePath(raw: string): string {
  return needsDecoding(raw) ? decode(raw) : raw;
}

/** A path that is named in a body, as it is: throws what `parseStreamPath` would. */
export function assertStreamPath(path: string): void {
  checkCharacters(path);
  checkPath(path);
  if (isReservedPath(path)) throw invalid('a first segment that is reserved for the protocol');
}

/** Throws unless every character is one a request target may carry as it is. */
function needsDecoding(raw: string): boolean {
  let encoded = false;
  for (let i = 0; i < raw.length; i++) {
    const c = raw.charCodeAt(i);
    if (c === PERCENT) encoded = true;
    else if (c <= 0x20 || c >= 0x7f || c === BACKSLASH || c === QUESTION) {
      throw invalid('a character that must be encoded');
    }
  }
  return encoded;
}

function decode(raw: string): string {
  let path: string;
  try {
    // Strict: malformed escapes, invalid UTF-8 and encoded surrogates all throw.
    path = decodeURIComponent(raw);
  } catch {
    throw invalid('not valid percent-encoded UTF-8');
  }
  checkCharacters(path);
  return path;
}

function checkCharacters(path: string): void {
  if (CONTROL.test(path)) throw invalid('a control character');
  if (path.includes('\\')) throw invalid('a backslash');
  if (HALF_CHARACTER.test(path)) throw invalid('half a character');
}

function checkPath(path: string): void {
  // A UTF-16 unit is at most three bytes: only long paths have to be counted exactly.
  if (path.length * 3 > LIMITS.maxPathBytes) {
    const bytes = Buffer.byteLength(path);
    if (bytes > LIMITS.maxPathBytes) throw tooLong('path', bytes);
  }
  let segments = 0;
  let start = 0;
  for (let i = 0; i <= path.length; i++) {
    if (i < path.length && path.charCodeAt(i) !== SLASH) continue;
    const length = i - start;
    if (length === 0) throw invalid('an empty segment');
    if (length <= 2 && isDots(path, start, length)) throw invalid('a dot segment');
    segments++;
    start = i + 1;
  }
  if (segments > LIMITS.maxPathSegments) {
    throw new HoldfastError('INVALID_PATH', `path has too many segments count=${segments}`);
  }
}

function isDots(path: string, start: number, length: number): boolean {
  return path[start] === '.' && (length === 1 || path[start + 1] === '.');
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('INVALID_PATH', `path has ${what}`);
}

function tooLong(what: string, bytes: number): HoldfastError {
  return new HoldfastError('URL_TOO_LONG', `${what} is too long bytes=${bytes}`);
}
