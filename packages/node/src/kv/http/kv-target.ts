/**
 * From a request target to what it names: all stores, one store, or one entry. Read raw: a URL parser
 * would resolve `..` and turn a request for one key into a request for another.
 *
 * Keys are any text. In a path a slash may stand as it is, everything else that URLs take for theirs
 * is encoded, and a key with a segment `.` or `..` cannot be there at all, because clients and
 * proxies resolve them: such a key is given as `?key=` of the store.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { queryStart } from '@holdfast/streams';
import { QueryParameters } from './query-parameters.ts';

export const KV_PATH = '/v1/kv';

export interface KvTarget {
  readonly kind: 'stores' | 'store' | 'entry';
  /** Empty for all stores. */
  readonly store: string;
  /** Empty where there is none. */
  readonly key: string;
  readonly query: QueryParameters;
}

const SLASH = 0x2f;
const PERCENT = 0x25;
const HASH = 0x23;
const QUESTION = 0x3f;
const BACKSLASH = 0x5c;
const DOT_SEGMENT = /(?:^|\/)\.{1,2}(?:\/|$)/;

/** Whether the target is under `/v1/kv`. */
export function isKvTarget(target: string): boolean {
  if (!target.startsWith(KV_PATH)) return false;
  if (target.length === KV_PATH.length) return true;
  const next = target.charCodeAt(KV_PATH.length);
  return next === SLASH || next === QUESTION;
}

/** @param target for which `isKvTarget` holds. */
export function parseKvTarget(target: string): KvTarget {
  const end = queryStart(target);
  const query = end === target.length ? QueryParameters.none : QueryParameters.parse(target, end);
  if (end === KV_PATH.length) return { kind: 'stores', store: '', key: '', query };
  const path = target.slice(KV_PATH.length + 1, end);
  const slash = path.indexOf('/');
  const store = decodePath(slash < 0 ? path : path.slice(0, slash));
  assertNoDots(store);
  if (slash >= 0) {
    if (query.has('key')) {
      throw new HoldfastError('INVALID_QUERY', 'the key is given in the path and in the query');
    }
    const key = decodePath(path.slice(slash + 1));
    assertNoDots(key);
    return entry(store, key, query);
  }
  const key = query.get('key');
  return key === undefined ? { kind: 'store', store, key: '', query } : entry(store, key, query);
}

/** What is wrong with a key is told before a body is read. */
function entry(store: string, key: string, query: QueryParameters): KvTarget {
  if (key === '') throw new HoldfastError('INVALID_ENTRY_KEY', 'key is empty');
  if (key.length * 3 > LIMITS.maxEntryKeyBytes) {
    const bytes = Buffer.byteLength(key);
    if (bytes > LIMITS.maxEntryKeyBytes) {
      throw new HoldfastError('INVALID_ENTRY_KEY', `key is too long bytes=${bytes}`);
    }
  }
  return { kind: 'entry', store, key, query };
}

function assertNoDots(text: string): void {
  if (text.includes('.') && DOT_SEGMENT.test(text)) throw invalid('a dot segment: use ?key=');
}

function decodePath(raw: string): string {
  let encoded = false;
  for (let i = 0; i < raw.length; i++) {
    const c = raw.charCodeAt(i);
    if (c === PERCENT) encoded = true;
    else if (c <= 0x20 || c >= 0x7f || c === BACKSLASH || c === HASH) {
      throw invalid('a character that must be encoded');
    }
  }
  if (!encoded) return raw;
  try {
    // Strict: malformed escapes, invalid UTF-8 and encoded surrogates all throw.
    return decodeURIComponent(raw);
  } catch {
    throw invalid('not valid percent-encoded UTF-8');
  }
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('INVALID_PATH', `path has ${what}`);
}
