/**
 * The one place where an error becomes an HTTP status. A kind decides; a code overrides it
 * where the protocol asks for a narrower answer.
 */
import type { ErrorCode, ErrorKind, HoldfastError } from '@holdfast/core';

const BY_KIND = {
  invalid: 400,
  denied: 403,
  missing: 404,
  conflict: 409,
  fenced: 409,
  limit: 413,
  unavailable: 503,
  corrupt: 500,
  closed: 503,
  internal: 500,
} as const satisfies Record<ErrorKind, number>;

const BY_CODE: Partial<Record<ErrorCode, number>> = {
  TOKEN_REQUIRED: 401,
  TOKEN_INVALID: 401,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  STREAM_GONE: 410,
  OFFSET_TRIMMED: 410,
  CHANGES_TRIMMED: 410,
  PRECONDITION_FAILED: 412,
  URL_TOO_LONG: 414,
  UNSUPPORTED_ENCODING: 415,
  EXPECTATION_FAILED: 417,
  RATE_LIMITED: 429,
  CLIENT_QUOTA_EXCEEDED: 429,
  HEADERS_TOO_LARGE: 431,
  TOO_MANY_READERS: 503,
  DISK_FULL: 507,
  // The protocol gives a fenced producer 403; the other two mean that this node is not the
  // owner any more, which a client can only wait out.
  PRODUCER_FENCED: 403,
  WRITER_FENCED: 503,
  DIRECTORY_LOCKED: 503,
  // Of the node's own keys and stores, never of a client's.
  KEY_MISSING: 503,
  DRIVER_MISSING: 503,
};

export function statusOf(error: HoldfastError): number {
  return BY_CODE[error.code] ?? BY_KIND[error.kind];
}
