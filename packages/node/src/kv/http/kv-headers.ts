/** Headers of the key-value routes, each spelled here alone. */
import { fieldReader } from '@holdfast/streams';

export const KV_HEADERS = {
  version: 'Holdfast-Kv-Version',
  seq: 'Holdfast-Kv-Seq',
  ttlMs: 'Holdfast-Kv-Ttl-Ms',
  expiresAt: 'Holdfast-Kv-Expires-At',
  changed: 'Holdfast-Kv-Changed',
  stale: 'Holdfast-Kv-Stale',
} as const;

/** Those that a page of another origin may read. */
export const KV_EXPOSED_HEADERS: readonly string[] = [
  KV_HEADERS.version,
  KV_HEADERS.seq,
  KV_HEADERS.expiresAt,
  KV_HEADERS.changed,
  KV_HEADERS.stale,
];

/** Those that a page may send. */
export const KV_ALLOWED_HEADERS: string = [
  'Content-Type',
  'Authorization',
  'If-Match',
  'If-None-Match',
  'Cache-Control',
  'Last-Event-ID',
  KV_HEADERS.ttlMs,
  KV_HEADERS.expiresAt,
].join(', ');

/** The headers that are read, as they came. */
export class KvFields {
  host: string | undefined = undefined;
  origin: string | undefined = undefined;
  fetchSite: string | undefined = undefined;
  accept: string | undefined = undefined;
  contentType: string | undefined = undefined;
  contentLength: string | undefined = undefined;
  contentEncoding: string | undefined = undefined;
  transferEncoding: string | undefined = undefined;
  ifMatch: string | undefined = undefined;
  ifNoneMatch: string | undefined = undefined;
  lastEventId: string | undefined = undefined;
  ttlMs: string | undefined = undefined;
  expiresAt: string | undefined = undefined;
}

export const readKvFields: (rawHeaders: readonly string[]) => KvFields = fieldReader(
  KvFields,
  {
    host: 'host',
    origin: 'origin',
    fetchSite: 'sec-fetch-site',
    accept: 'accept',
    contentType: 'content-type',
    contentLength: 'content-length',
    contentEncoding: 'content-encoding',
    transferEncoding: 'transfer-encoding',
    ifMatch: 'if-match',
    ifNoneMatch: 'if-none-match',
    lastEventId: 'last-event-id',
    ttlMs: KV_HEADERS.ttlMs,
    expiresAt: KV_HEADERS.expiresAt,
  },
  ['accept', 'ifMatch', 'ifNoneMatch'],
);
