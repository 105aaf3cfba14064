/** Request headers of the protocol into domain values, once. */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { fieldReader } from '../http/field-reader.ts';
import type { ProducerTag } from '../stream-store.ts';
import { HEADERS } from './header-names.ts';

/** The headers this server reads, as they came. */
export class RequestFields {
  host: string | undefined = undefined;
  origin: string | undefined = undefined;
  fetchSite: string | undefined = undefined;
  contentType: string | undefined = undefined;
  contentLength: string | undefined = undefined;
  contentEncoding: string | undefined = undefined;
  transferEncoding: string | undefined = undefined;
  ifNoneMatch: string | undefined = undefined;
  streamSeq: string | undefined = undefined;
  streamTtl: string | undefined = undefined;
  streamExpiresAt: string | undefined = undefined;
  streamClosed: string | undefined = undefined;
  forkedFrom: string | undefined = undefined;
  forkOffset: string | undefined = undefined;
  forkSubOffset: string | undefined = undefined;
  producerId: string | undefined = undefined;
  producerEpoch: string | undefined = undefined;
  producerSeq: string | undefined = undefined;
}

export const readFields: (rawHeaders: readonly string[]) => RequestFields = fieldReader(
  RequestFields,
  {
    host: 'host',
    origin: 'origin',
    fetchSite: 'sec-fetch-site',
    contentType: 'content-type',
    contentLength: 'content-length',
    contentEncoding: 'content-encoding',
    transferEncoding: 'transfer-encoding',
    ifNoneMatch: 'if-none-match',
    streamSeq: HEADERS.streamSeq,
    streamTtl: HEADERS.streamTtl,
    streamExpiresAt: HEADERS.streamExpiresAt,
    streamClosed: HEADERS.streamClosed,
    forkedFrom: HEADERS.streamForkedFrom,
    forkOffset: HEADERS.streamForkOffset,
    forkSubOffset: HEADERS.streamForkSubOffset,
    producerId: HEADERS.producerId,
    producerEpoch: HEADERS.producerEpoch,
    producerSeq: HEADERS.producerSeq,
  },
  ['ifNoneMatch'],
);

/** Only `true` in any case closes; every other value is as if absent (PROTOCOL 4.1). */
export function parseClosed(text: string | undefined): boolean {
  if (text === undefined) return false;
  return text === 'true' || text.trim().toLowerCase() === 'true';
}

const INTEGER = /^(?:0|[1-9]\d{0,15})$/;

/** A non-negative decimal integer up to 2^53 - 1 without leading zeros, or `undefined`. */
export function parseInteger(text: string): number | undefined {
  if (!INTEGER.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

export interface Expiry {
  readonly ttlSeconds?: number;
  readonly expiresAtMs?: number;
  readonly expiresAtText?: string;
}

const NO_EXPIRY: Expiry = {};

/** Throws `INVALID_TTL`; both kinds at once are refused (PROTOCOL 5.1). */
export function parseExpiry(fields: RequestFields): Expiry {
  const { streamTtl, streamExpiresAt } = fields;
  if (streamTtl === undefined && streamExpiresAt === undefined) return NO_EXPIRY;
  if (streamTtl !== undefined && streamExpiresAt !== undefined) {
    throw new HoldfastError('INVALID_TTL', 'stream-ttl and stream-expires-at exclude each other');
  }
  if (streamTtl !== undefined) {
    const ttlSeconds = parseInteger(streamTtl);
    if (ttlSeconds === undefined) {
      throw new HoldfastError('INVALID_TTL', 'stream-ttl is not a whole number of seconds');
    }
    return { ttlSeconds };
  }
  const expiresAtText = streamExpiresAt as string;
  return { expiresAtMs: parseInstant(expiresAtText), expiresAtText };
}

const RFC_3339 =
  /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;

/** An RFC 3339 timestamp in ms since the epoch. Throws `INVALID_TTL`. */
export function parseInstant(text: string): number {
  const match = RFC_3339.exec(text);
  if (match === null) throw invalidInstant();
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const millisecond = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3));
  if (hour > 23 || minute > 59 || second > 59) throw invalidInstant();
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // Date rolls 31 April over into May; a timestamp that does not come back is no timestamp.
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1) throw invalidInstant();
  if (date.getUTCDate() !== day) throw invalidInstant();
  date.setUTCHours(hour, minute, second, millisecond);
  return date.getTime() - zoneMs(match[8], Number(match[9] ?? 0), Number(match[10] ?? 0));
}

function zoneMs(sign: string | undefined, hours: number, minutes: number): number {
  if (sign === undefined) return 0;
  if (hours > 23 || minutes > 59) throw invalidInstant();
  return (sign === '-' ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

function invalidInstant(): HoldfastError {
  return new HoldfastError('INVALID_TTL', 'the expiry is not an RFC 3339 timestamp');
}

/** All three or none (PROTOCOL 5.2.1). Throws `INVALID_PRODUCER`. */
export function parseProducer(fields: RequestFields): ProducerTag | undefined {
  const { producerId: id, producerEpoch, producerSeq } = fields;
  if (id === undefined && producerEpoch === undefined && producerSeq === undefined) {
    return undefined;
  }
  if (id === undefined || producerEpoch === undefined || producerSeq === undefined) {
    throw invalidProducer('id, epoch and seq go together');
  }
  if (id === '' || id.length > LIMITS.maxWriterTokenBytes) {
    throw invalidProducer(`id is empty or too long length=${id.length}`);
  }
  const epoch = parseInteger(producerEpoch);
  const seq = parseInteger(producerSeq);
  if (epoch === undefined || seq === undefined) {
    throw invalidProducer('epoch and seq are whole numbers up to 2^53 - 1');
  }
  return { id, epoch, seq };
}

function invalidProducer(what: string): HoldfastError {
  return new HoldfastError('INVALID_PRODUCER', `producer headers are not valid: ${what}`);
}

/** `Stream-Seq`: opaque bytes compared in their order. Throws `INVALID_HEADER`. */
export function parseStreamSeq(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (text === '' || text.length > LIMITS.maxWriterTokenBytes) {
    throw new HoldfastError(
      'INVALID_HEADER',
      `stream-seq is empty or too long length=${text.length}`,
    );
  }
  return text;
}
