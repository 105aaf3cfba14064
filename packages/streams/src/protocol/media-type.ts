/**
 * Content types: the grammar at the edge, and what a type means for the wire: JSON mode, the form
 * of SSE data, and whether a browser could run the bytes.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { isJsonContentType } from '../content-type.ts';
import { SANDBOX } from '../http/security-headers.ts';

export interface ContentTypeFacts {
  readonly json: boolean;
  /** SSE carries the bytes as text; others as base64 (PROTOCOL 5.8). */
  readonly text: boolean;
  /** Headers that go with a body of this type: the type itself, and guards for active content. */
  readonly headers: readonly string[];
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED =
  '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*"';
// Each run of space has one place to match: a doubtful one would cost exponential time.
const MEDIA_TYPE = new RegExp(
  `^${TOKEN}/${TOKEN}(?:[ \\t]*;(?:[ \\t]*${TOKEN}=(?:${TOKEN}|${QUOTED}))?)*$`,
);

/**
 * Types a browser shows or downloads but never runs. Everything else is served as an attachment,
 * and all of it in a sandbox: a list of the dangerous ones would always lack the newest.
 */
const PASSIVE_EXACT: ReadonlySet<string> = new Set([
  'application/json',
  'application/ndjson',
  'application/x-ndjson',
  'application/jsonl',
  'application/octet-stream',
  'application/x-protobuf',
  'application/protobuf',
  'application/msgpack',
  'application/cbor',
  'text/plain',
  'text/event-stream',
  'text/csv',
  'text/markdown',
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/webp',
]);
const PASSIVE_FAMILY = /^(?:audio|video|font)\//;

const ATTACHMENT: readonly string[] = ['Content-Disposition', 'attachment'];

/** Types seen lately; a server meets a handful, an attacker may send as many as he likes. */
const MAX_REMEMBERED = 256;
const remembered = new Map<string, ContentTypeFacts>();

/** Throws `INVALID_HEADER`. Returns the trimmed text: it is kept as it was given. */
export function parseContentType(text: string): string {
  const trimmed = text.trim();
  if (remembered.has(trimmed)) return trimmed;
  if (trimmed.length > LIMITS.maxContentTypeBytes) {
    throw new HoldfastError('INVALID_HEADER', `content-type is too long length=${trimmed.length}`);
  }
  if (!MEDIA_TYPE.test(trimmed)) {
    throw new HoldfastError('INVALID_HEADER', 'content-type is not a media type');
  }
  factsOf(trimmed);
  return trimmed;
}

export function factsOf(contentType: string): ContentTypeFacts {
  const known = remembered.get(contentType);
  if (known !== undefined) return known;
  const semicolon = contentType.indexOf(';');
  const essence = (semicolon === -1 ? contentType : contentType.slice(0, semicolon))
    .trim()
    .toLowerCase();
  const json = isJsonContentType(contentType);
  const passive = PASSIVE_EXACT.has(essence) || PASSIVE_FAMILY.test(essence);
  const facts: ContentTypeFacts = {
    json,
    text: json || essence.startsWith('text/'),
    headers: ['Content-Type', contentType, ...SANDBOX, ...(passive ? [] : ATTACHMENT)],
  };
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(contentType, facts);
  return facts;
}
