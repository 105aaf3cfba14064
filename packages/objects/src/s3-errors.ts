/** What an answer of S3 that is no success means for the caller. */
import { type Effect, type ErrorCode, HoldfastError } from '@holdfast/core';
import type { S3Error } from './s3-answers.ts';

export interface FailedAnswer {
  readonly status: number;
  /** `undefined` where the body was not one of S3. */
  readonly error: S3Error | undefined;
  readonly region: string | undefined;
  readonly retryAfter: string | undefined;
}

export interface FailedRequest {
  readonly method: string;
  /** As the caller of the store knows it; empty for requests about the bucket. */
  readonly key: string;
  readonly bucket: string;
  /** Of a failure in the middle of this request. */
  readonly effect: Effect;
}

interface Meaning {
  readonly code: ErrorCode;
  readonly message: string;
  /** Default: none, because the store refused before it did anything. */
  readonly effect?: Effect;
}

/** Codes of S3 that mean one thing whatever the status is. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  NoSuchKey: { code: 'OBJECT_NOT_FOUND', message: 'there is no such object' },
  NoSuchBucket: { code: 'INVALID_SETTINGS', message: 'there is no such bucket' },
  InvalidBucketName: { code: 'INVALID_SETTINGS', message: 'the bucket has no valid name' },
  PermanentRedirect: { code: 'INVALID_SETTINGS', message: 'the bucket is elsewhere' },
  AuthorizationHeaderMalformed: {
    code: 'INVALID_SETTINGS',
    message: 'the request was signed for another region',
  },
  IllegalLocationConstraintException: {
    code: 'INVALID_SETTINGS',
    message: 'the bucket is in another region',
  },
  PreconditionFailed: { code: 'PRECONDITION_FAILED', message: 'the condition does not hold' },
  InvalidRange: { code: 'INVALID_RANGE', message: 'the range begins behind the end' },
  EntityTooLarge: { code: 'OBJECT_TOO_LARGE', message: 'the object is too large' },
  NotImplemented: { code: 'OBJECT_STORE_UNSUPPORTED', message: 'the store cannot do this' },
  KeyTooLongError: { code: 'OBJECT_STORE_UNSUPPORTED', message: 'the key is too long' },
  ExistingObjectIsDirectory: {
    code: 'OBJECT_STORE_UNSUPPORTED',
    message: 'the key is a folder of others in this store',
  },
  ObjectParentIsFile: {
    code: 'OBJECT_STORE_UNSUPPORTED',
    message: 'a folder of the key is an object in this store',
  },
  RequestTimeTooSkewed: {
    code: 'ACCESS_DENIED',
    message: 'the clock of this machine is not that of the store',
  },
  // Worth another try, and nothing was done.
  SlowDown: { code: 'STORAGE_UNAVAILABLE', message: 'the store wants fewer requests' },
  ConditionalRequestConflict: {
    code: 'STORAGE_UNAVAILABLE',
    message: 'another write is under way at this key',
  },
  OperationAborted: { code: 'STORAGE_UNAVAILABLE', message: 'another write is under way' },
  RequestTimeout: { code: 'STORAGE_UNAVAILABLE', message: 'the request came too slowly' },
  BadDigest: { code: 'STORAGE_UNAVAILABLE', message: 'the bytes arrived damaged' },
  XAmzContentSHA256Mismatch: { code: 'STORAGE_UNAVAILABLE', message: 'the bytes arrived damaged' },
  ExpiredToken: { code: 'STORAGE_UNAVAILABLE', message: 'the credentials have expired' },
  TokenRefreshRequired: { code: 'STORAGE_UNAVAILABLE', message: 'the credentials have expired' },
  NoSuchUpload: {
    code: 'STORAGE_UNAVAILABLE',
    message: 'the upload is gone',
    effect: 'unknown', // an earlier answer may have been lost
  },
};

/** Codes after which the credentials must be fetched anew. */
export const EXPIRED_CODES: readonly string[] = ['ExpiredToken', 'TokenRefreshRequired'];

const MAX_SHOWN = 200;

export function answerError(answer: FailedAnswer, request: FailedRequest): HoldfastError {
  const { status, error } = answer;
  const s3Code = error?.code ?? '';
  const known = Object.hasOwn(MEANINGS, s3Code) ? MEANINGS[s3Code] : undefined;
  const meaning = known ?? byStatus(answer, request);
  const region = error?.region ?? answer.region;
  const facts = [
    `status=${status}`,
    ...(s3Code === '' ? [] : [`answer=${plain(s3Code)}`]),
    ...(error === undefined || known !== undefined ? [] : [`message=${plain(error.message)}`]),
    `bucket=${request.bucket}`,
    ...(request.key === '' ? [] : [`key=${request.key}`]),
    ...(meaning.code === 'INVALID_SETTINGS' && region !== undefined
      ? [`region=${plain(region)}`]
      : []),
  ];
  return new HoldfastError(meaning.code, `${meaning.message} ${facts.join(' ')}`, {
    effect: meaning.effect ?? 'none',
    details: { status, s3Code, ...retryAfter(answer) },
  });
}

/** Where the code says nothing, or there is none. */
function byStatus({ status, error }: FailedAnswer, { effect }: FailedRequest): Meaning {
  if (status === 401 || status === 403) {
    return { code: 'ACCESS_DENIED', message: 'the store refuses the credentials' };
  }
  if (status === 301 || status === 307 || status === 308) {
    return { code: 'INVALID_SETTINGS', message: 'the bucket is elsewhere' };
  }
  if (status === 412)
    return { code: 'PRECONDITION_FAILED', message: 'the condition does not hold' };
  if (status === 416) return { code: 'INVALID_RANGE', message: 'the range begins behind the end' };
  if (status === 429) {
    return { code: 'STORAGE_UNAVAILABLE', message: 'the store wants fewer requests' };
  }
  if (status === 501) {
    return { code: 'OBJECT_STORE_UNSUPPORTED', message: 'the store cannot do this' };
  }
  if (status >= 500) return { code: 'STORAGE_UNAVAILABLE', message: 'the store failed', effect };
  if (error !== undefined && status >= 400) {
    return { code: 'OBJECT_STORE_UNSUPPORTED', message: 'the store refuses the request' };
  }
  // A 404 that does not come from S3 says nothing about the object.
  return { code: 'STORAGE_UNAVAILABLE', message: 'this is no answer of an object store', effect };
}

function retryAfter({ retryAfter: value }: FailedAnswer): { retryAfterMs?: number } {
  const seconds = /^\d{1,5}$/.test(value ?? '') ? Number(value) : undefined;
  return seconds === undefined ? {} : { retryAfterMs: seconds * 1000 };
}

/** Of the other side: kept short and on one line. */
function plain(text: string): string {
  return JSON.stringify(text.slice(0, MAX_SHOWN)).slice(1, -1);
}
