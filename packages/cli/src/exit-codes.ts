/** What the exit code of the command says; the same table stands in docs/CLI.md. */
import { ERROR_CODES, type ErrorCode, type ErrorKind } from '@holdfast/core';

export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  missing: 3,
  conflict: 4,
  access: 5,
  unavailable: 6,
  integrity: 7,
  /** By a signal, before it was done. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const EXIT_OF_KIND: Record<ErrorKind, ExitCode> = {
  invalid: EXIT.usage,
  denied: EXIT.access,
  missing: EXIT.missing,
  conflict: EXIT.conflict,
  fenced: EXIT.conflict,
  limit: EXIT.failure,
  unavailable: EXIT.unavailable,
  corrupt: EXIT.integrity,
  closed: EXIT.unavailable,
  internal: EXIT.failure,
};

/** Limits that pass by themselves. */
const EXIT_OF_CODE: Partial<Record<ErrorCode, ExitCode>> = {
  DISK_FULL: EXIT.unavailable,
  TOO_MANY_READERS: EXIT.unavailable,
  RATE_LIMITED: EXIT.unavailable,
  CLIENT_QUOTA_EXCEEDED: EXIT.unavailable,
};

export function exitCodeOf(code: ErrorCode): ExitCode {
  return EXIT_OF_CODE[code] ?? EXIT_OF_KIND[ERROR_CODES[code]];
}

/** For servers and proxies that answer without one of our codes. */
export function exitCodeOfStatus(status: number): ExitCode {
  if (status === 404 || status === 410) return EXIT.missing;
  if (status === 401 || status === 403) return EXIT.access;
  if (status === 409 || status === 412) return EXIT.conflict;
  if (status === 429 || status === 502 || status === 503 || status === 504 || status === 507) {
    return EXIT.unavailable;
  }
  return status >= 400 && status < 500 && status !== 413 ? EXIT.usage : EXIT.failure;
}
