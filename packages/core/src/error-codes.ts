/**
 * The catalogue of error codes. A code says what happened and is part of the public
 * contract (semver); its kind says what the caller does about it.
 *
 * Adding a code: one line here, with the kind that fits the caller's next step. That every
 * value is an `ErrorKind` is checked where `HoldfastError` assigns it.
 */

/** What the caller does: see the table in ARCHITECTURE.md, "Errors". */
export type ErrorKind =
  | 'invalid' // fix the request or the settings
  | 'denied' // get a credential
  | 'missing' // stop, or create it
  | 'conflict' // re-read, decide again
  | 'fenced' // stop: a newer epoch owns it
  | 'limit' // slow down or shrink
  | 'unavailable' // retry with back-off
  | 'corrupt' // stop: an operator has to look
  | 'closed' // reopen, or it was your own abort
  | 'internal'; // a bug: report it

export const ERROR_CODES = {
  // invalid
  INVALID_SETTINGS: 'invalid',
  INVALID_OFFSET: 'invalid',
  INVALID_HEADER: 'invalid',
  INVALID_QUERY: 'invalid',
  INVALID_PATH: 'invalid',
  INVALID_JSON: 'invalid',
  EMPTY_BODY: 'invalid',
  INVALID_TTL: 'invalid',
  INVALID_PRODUCER: 'invalid',
  FORK_OFFSET_BEYOND_TAIL: 'invalid',
  UNSUPPORTED_ENCODING: 'invalid',
  METHOD_NOT_ALLOWED: 'invalid',
  HOST_NOT_ALLOWED: 'denied',
  ORIGIN_NOT_ALLOWED: 'denied',
  REQUEST_TIMEOUT: 'invalid',

  // missing
  STREAM_NOT_FOUND: 'missing',
  STREAM_GONE: 'missing',
  ROUTE_NOT_FOUND: 'missing',
  OFFSET_TRIMMED: 'missing', // reserved: retention

  // conflict
  STREAM_EXISTS: 'conflict',
  STREAM_CLOSED: 'conflict',
  CONTENT_TYPE_MISMATCH: 'conflict',
  STREAM_SEQ_CONFLICT: 'conflict',
  PRODUCER_SEQ_GAP: 'conflict',
  FORK_SOURCE_GONE: 'conflict',
  PATH_BLOCKED: 'conflict',

  // fenced
  PRODUCER_FENCED: 'fenced',
  WRITER_FENCED: 'fenced',
  DIRECTORY_LOCKED: 'fenced',

  // limit
  RECORD_TOO_LARGE: 'limit',
  BODY_TOO_LARGE: 'limit',
  URL_TOO_LONG: 'limit',
  HEADERS_TOO_LARGE: 'limit',
  STREAM_TOO_LARGE: 'limit',
  QUOTA_EXCEEDED: 'limit',
  TOO_MANY_READERS: 'limit',
  DISK_FULL: 'limit',

  // unavailable
  COMMIT_QUEUE_FULL: 'unavailable',
  BODY_MEMORY_FULL: 'unavailable',
  STORAGE_UNAVAILABLE: 'unavailable',
  NODE_FAILED: 'unavailable',
  DRAINING: 'unavailable',

  // corrupt
  CHECKSUM_MISMATCH: 'corrupt',
  FORMAT_INVALID: 'corrupt',
  FORMAT_UNSUPPORTED: 'corrupt',
  LSN_GAP: 'corrupt',
  FILE_MISSING: 'corrupt',
  UNKNOWN_RECORD_TYPE: 'corrupt',

  // closed
  CLOSED: 'closed',
  ABORTED: 'closed',

  // internal
  INVARIANT_VIOLATED: 'internal',
  INTERNAL_ERROR: 'internal',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;
