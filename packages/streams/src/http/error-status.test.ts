import { ERROR_CODES, HoldfastError, type ErrorCode } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { statusOf } from './error-status.ts';

const codes = Object.keys(ERROR_CODES) as ErrorCode[];

describe('status of an error', () => {
  it('is a client error for everything a client can cause', () => {
    for (const code of codes) {
      const kind = ERROR_CODES[code];
      if (kind !== 'invalid' && kind !== 'denied' && kind !== 'missing' && kind !== 'conflict')
        continue;
      if (code === 'KEY_MISSING' || code === 'DRIVER_MISSING') continue; // an operator causes it
      const status = statusOf(new HoldfastError(code, 'x'));
      expect(status, code).toBeGreaterThanOrEqual(400);
      expect(status, code).toBeLessThan(500);
    }
  });

  it.each([
    ['STREAM_NOT_FOUND', 404],
    ['STREAM_GONE', 410],
    ['OFFSET_TRIMMED', 410],
    ['STREAM_CLOSED', 409],
    ['PRODUCER_FENCED', 403],
    ['PRODUCER_SEQ_GAP', 409],
    ['INVALID_PRODUCER', 400],
    ['BODY_TOO_LARGE', 413],
    ['URL_TOO_LONG', 414],
    ['UNSUPPORTED_ENCODING', 415],
    ['STREAM_TOO_LARGE', 413],
    ['TOO_MANY_READERS', 503],
    ['DISK_FULL', 507],
    ['COMMIT_QUEUE_FULL', 503],
    ['BODY_MEMORY_FULL', 503],
    ['REQUEST_TIMEOUT', 408],
    ['EXPECTATION_FAILED', 417],
    ['RATE_LIMITED', 429],
    ['CLIENT_QUOTA_EXCEEDED', 429],
    ['RESPONSE_MEMORY_FULL', 503],
    ['QUOTA_EXCEEDED', 413],
    ['CHECKSUM_MISMATCH', 500],
    ['INTERNAL_ERROR', 500],
  ] as const)('%s is %i', (code, status) => {
    expect(statusOf(new HoldfastError(code, 'x'))).toBe(status);
  });
});
