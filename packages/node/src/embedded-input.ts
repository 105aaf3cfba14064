/** What callers of the embedded API give, held to the same rules as what comes over HTTP. */
import { HoldfastError } from '@holdfast/core';
import {
  parseContentType,
  parseStreamPath,
  type CreateRequest,
  type ProducerTag,
} from '@holdfast/streams';

/** What makes a stream, besides its path. */
interface StreamConfigInput {
  readonly type?: string;
  readonly contentType?: string;
  readonly ttlSeconds?: number;
  readonly expiresAt?: Date;
}

/** @throws `INVALID_PATH`, `INVALID_HEADER` or `INVALID_TTL`. */
export function createRequest(path: string, options: StreamConfigInput): CreateRequest {
  const contentType = options.type ?? options.contentType;
  const { ttlSeconds, expiresAt } = options;
  return {
    path: checkedPath(path),
    closed: false,
    // It becomes a header of every answer: whatever is no media type would break them all.
    ...(contentType === undefined ? {} : { contentType: parseContentType(contentType) }),
    ...(ttlSeconds === undefined ? {} : { ttlSeconds: checkedTtl(ttlSeconds) }),
    ...(expiresAt === undefined ? {} : checkedExpiry(expiresAt)),
  };
}

/** @throws `INVALID_PRODUCER`. */
export function checkedProducer(producer: ProducerTag): ProducerTag {
  const { id, epoch, seq } = producer;
  if (id !== '' && isCount(epoch) && isCount(seq)) return producer;
  throw new HoldfastError(
    'INVALID_PRODUCER',
    'a producer has an id, and an epoch and a seq that are whole numbers up to 2^53 - 1',
  );
}

/** @throws `INVALID_HEADER`. */
export function checkedStreamSeq(seq: string): string {
  if (seq === '') throw new HoldfastError('INVALID_HEADER', 'seq is empty');
  return seq;
}

/** @throws `INVALID_HEADER`. */
export function checkedSubOffset(subOffset: number): number {
  if (isCount(subOffset)) return subOffset;
  throw new HoldfastError('INVALID_HEADER', 'subOffset is not a whole number');
}

/** A path that HTTP clients could not name would be a stream they cannot reach. */
function checkedPath(path: string): string {
  if (/\p{Surrogate}/u.test(path)) throw new HoldfastError('INVALID_PATH', 'path has a surrogate');
  const target = `/${path.split('/').map(encodeURIComponent).join('/')}`;
  return parseStreamPath(target, target.length, '/');
}

function checkedTtl(ttlSeconds: number): number {
  if (isCount(ttlSeconds)) return ttlSeconds;
  throw new HoldfastError('INVALID_TTL', 'ttlSeconds is not a whole number of seconds');
}

function checkedExpiry(at: Date): { expiresAtMs: number; expiresAtText: string } {
  const expiresAtMs = at.getTime();
  if (Number.isNaN(expiresAtMs)) throw new HoldfastError('INVALID_TTL', 'expiresAt is no date');
  return { expiresAtMs, expiresAtText: at.toISOString() };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
