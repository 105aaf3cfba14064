/** What is done with one entry: GET and HEAD, PUT, DELETE. */
import { HoldfastError } from '@holdfast/core';
import type { KvEntry } from '@holdfast/kv';
import {
  collectBody,
  matchesAny,
  parseStrongTags,
  refuseCodings,
  SANDBOX,
} from '@holdfast/streams';
import { parseCondition, writeUnder } from './entry-conditions.ts';
import { formatExpiryTime, parseEntryExpiry } from './entry-expiry.ts';
import type { KvExchange } from './kv-exchange.ts';
import { KV_HEADERS } from './kv-headers.ts';

/** Bytes of anybody: whatever a browser takes them for, it downloads them. */
const BYTES: readonly string[] = [
  'Content-Type',
  'application/octet-stream',
  'Content-Disposition',
  'attachment',
  ...SANDBOX,
];

export function getEntry(exchange: KvExchange): void {
  const { store, target } = exchange;
  const found = exchange.read(() =>
    store.getEntry(target.key).then((entry) => exchange.withRoom(entry, entry?.value.length ?? 0)),
  );
  exchange.answer(found, (entry) => sendEntry(exchange, entry));
}

/** A tiered store may answer from its backup, and says so. */
function sendEntry(
  exchange: KvExchange,
  entry: (KvEntry & { readonly stale?: true }) | undefined,
): void {
  if (entry === undefined) {
    throw new HoldfastError('ENTRY_NOT_FOUND', 'there is no entry of this key');
  }
  const { version, seq, expiresAtMs } = entry;
  const { ifMatch, ifNoneMatch } = exchange.fields;
  const tag = `"${version}"`;
  if (ifMatch !== undefined) assertMatch(ifMatch, version);
  const headers = ['ETag', tag, KV_HEADERS.version, String(version), KV_HEADERS.seq, String(seq)];
  if (expiresAtMs !== undefined) {
    headers.push(KV_HEADERS.expiresAt, formatExpiryTime(expiresAtMs));
  }
  if (entry.stale === true) headers.push(KV_HEADERS.stale, 'true');
  if (ifNoneMatch !== undefined && matchesAny(ifNoneMatch, tag)) {
    exchange.reply(304, headers);
    return;
  }
  headers.push(...BYTES);
  const { value } = entry;
  exchange.replyBody(200, headers, Buffer.from(value.buffer, value.byteOffset, value.byteLength));
}

function assertMatch(ifMatch: string, version: number): void {
  const tags = parseStrongTags(ifMatch);
  if (tags === '*' || tags.includes(`"${version}"`)) return;
  throw new HoldfastError('PRECONDITION_FAILED', 'the entry is not the expected one', {
    details: { version },
  });
}

/** Looks for the entry as every other read does: with its value, so not too many at a time. */
function findOf(exchange: KvExchange): () => Promise<KvEntry | undefined> {
  const { store, target } = exchange;
  return () => exchange.read(() => store.getEntry(target.key));
}

export function putEntry(exchange: KvExchange): void {
  const { fields, store, target } = exchange;
  refuseCodings(fields);
  const condition = parseCondition(fields);
  const expiry = parseEntryExpiry(fields);
  collectBody(exchange, (body) => {
    const written = writeUnder(condition, findOf(exchange), (decided) =>
      store.put(target.key, body, { ...decided, ...expiry }),
    );
    exchange.answer(written, ({ version }) => {
      const status = condition.kind === 'absent' ? 201 : 204;
      const headers = ['ETag', `"${version}"`, KV_HEADERS.version, String(version)];
      if (status === 201) headers.push('Content-Length', '0');
      exchange.reply(status, headers);
    });
  });
}

export function deleteEntry(exchange: KvExchange): void {
  const { fields, store, target } = exchange;
  const condition = parseCondition(fields);
  if (condition.kind === 'absent') {
    throw new HoldfastError('INVALID_HEADER', 'what is deleted is there: if-none-match is refused');
  }
  const written = writeUnder(condition, findOf(exchange), ({ ifVersion }) =>
    store.del(target.key, { ifVersion }),
  );
  exchange.answer(written, ({ changed }) =>
    exchange.reply(204, [KV_HEADERS.changed, String(changed)]),
  );
}
