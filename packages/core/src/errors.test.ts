import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES, type ErrorCode } from './error-codes.ts';
import {
  ERROR_CHANNEL,
  HoldfastError,
  assert,
  hasCode,
  isHoldfastError,
  systemErrorCode,
} from './errors.ts';
import { systemError } from './system-error.ts';

describe('HoldfastError', () => {
  it('carries code, kind, effect, details and cause', () => {
    const cause = new Error('disk');
    const error = new HoldfastError('STORAGE_UNAVAILABLE', 'sync failed path=a', {
      effect: 'unknown',
      cause,
      details: { path: 'a' },
    });
    expect(error).toMatchObject({
      name: 'HoldfastError',
      code: 'STORAGE_UNAVAILABLE',
      kind: 'unavailable',
      effect: 'unknown',
      details: { path: 'a' },
      message: 'sync failed path=a',
      cause,
    });
    expect('cause' in new HoldfastError('CLOSED', 'closed')).toBe(false);
  });

  it('claims by default that nothing happened', () => {
    expect(new HoldfastError('CLOSED', 'closed')).toMatchObject({ effect: 'none', details: {} });
  });

  it('is retryable only where the same request may succeed without a change', () => {
    const retryable = (Object.keys(ERROR_CODES) as ErrorCode[]).filter(
      (code) => new HoldfastError(code, 'x').retryable,
    );
    const unavailable = (Object.keys(ERROR_CODES) as ErrorCode[]).filter(
      (code) => ERROR_CODES[code] === 'unavailable',
    );
    expect(retryable.sort()).toEqual([...unavailable, 'DISK_FULL'].sort());
  });

  it('is recognised across two copies of the package, and nothing else is', () => {
    const foreign = Object.assign(new Error('x'), { name: 'HoldfastError', code: 'CLOSED' });
    expect(isHoldfastError(foreign)).toBe(true);
    expect(hasCode(foreign, 'CLOSED')).toBe(true);
    expect(hasCode(foreign, 'ABORTED')).toBe(false);
    for (const other of [
      undefined,
      'CLOSED',
      { name: 'HoldfastError', code: 'CLOSED' },
      new Error('CLOSED'),
      Object.assign(new Error('x'), { code: 'CLOSED' }),
      Object.assign(new Error('x'), { name: 'HoldfastError', code: 'toString' }),
      Object.assign(new Error('x'), { name: 'HoldfastError', code: 7 }),
    ]) {
      expect(isHoldfastError(other)).toBe(false);
    }
  });

  it('is published whole on its diagnostics channel when somebody listens', () => {
    const heard: unknown[] = [];
    const hear = (error: unknown): void => void heard.push(error);
    subscribe(ERROR_CHANNEL, hear);
    const error = new HoldfastError('CLOSED', 'closed', { details: { path: 'a' } });
    unsubscribe(ERROR_CHANNEL, hear);
    void new HoldfastError('CLOSED', 'unheard');
    expect(heard).toEqual([error]);
    expect(heard[0]).toMatchObject({ code: 'CLOSED', details: { path: 'a' } });
  });

  it('every code is upper case and has a kind', () => {
    for (const [code, kind] of Object.entries(ERROR_CODES)) {
      expect(code).toMatch(/^[A-Z][A-Z0-9_]*[A-Z0-9]$/);
      expect(kind).toMatch(/^[a-z]+$/);
    }
  });
});

describe('errors of the operating system', () => {
  it('are told from those of Holdfast', () => {
    expect(systemErrorCode(systemError('ENOSPC', 'write', 'a'))).toBe('ENOSPC');
    expect(systemErrorCode(new HoldfastError('CLOSED', 'x'))).toBeUndefined();
    expect(systemErrorCode(new Error('x'))).toBeUndefined();
    expect(systemErrorCode('ENOSPC')).toBeUndefined();
    expect(systemErrorCode(Object.assign(new Error('x'), { code: 7 }))).toBeUndefined();
  });
});

describe('assert', () => {
  it('throws INVARIANT_VIOLATED, effect unknown, also in production', () => {
    assert(true, 'fine');
    expect(() => assert(false, 'broken n=1')).toThrow(
      expect.objectContaining({
        code: 'INVARIANT_VIOLATED',
        effect: 'unknown',
        message: 'broken n=1',
      }),
    );
  });
});
