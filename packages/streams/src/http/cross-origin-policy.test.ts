import { isHoldfastError } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { CrossOriginPolicy } from './cross-origin-policy.ts';

function admits(policy: CrossOriginPolicy, origin: string | undefined, host?: string): boolean {
  try {
    policy.admitWrite(origin, host);
    return true;
  } catch (error) {
    if (!isHoldfastError(error) || error.code !== 'ORIGIN_NOT_ALLOWED') throw error;
    return false;
  }
}

describe('cross-origin policy', () => {
  const loopback = new CrossOriginPolicy({ allowOrigin: [] });
  const listed = new CrossOriginPolicy({ allowOrigin: ['https://app.example'] });
  const open = new CrossOriginPolicy({ allowOrigin: ['*'] });

  it.each([
    'http://localhost',
    'http://localhost:5173',
    'https://127.0.0.1:8443',
    'http://127.9.9.9',
    'http://[::1]:80',
    'HTTP://LOCALHOST',
  ])('lets pages of this machine in until configured: %s', (origin) => {
    expect(loopback.allows(origin)).toBe(true);
    expect(listed.allows(origin)).toBe(false);
  });

  it.each([
    'https://example.com',
    'http://localhost.example.com',
    'http://127.0.0.1.example.com',
    'null',
    'http://localhost:5173/x',
    'http://user@localhost',
    'file://',
    '',
    'http://127.0.0.1:99999999',
  ])('keeps others out: %s', (origin) => {
    expect(loopback.allows(origin)).toBe(false);
  });

  it('takes configured origins exactly', () => {
    expect(listed.allows('https://app.example')).toBe(true);
    expect(listed.allows('https://app.example:444')).toBe(false);
    expect(open.allows('https://anything.example')).toBe(true);
  });

  it('refuses writes of foreign pages, not of its own and not of programs', () => {
    expect(admits(loopback, undefined)).toBe(true);
    expect(admits(loopback, 'https://evil.example', '127.0.0.1:4437')).toBe(false);
    expect(admits(loopback, 'null', '127.0.0.1:4437')).toBe(false);
    expect(admits(loopback, 'null', 'll')).toBe(false); // what stands behind the second letter
    expect(admits(loopback, 'ftp://data.example', 'data.example')).toBe(false);
    expect(admits(loopback, 'https://data.example', 'Data.example')).toBe(true);
    expect(admits(open, 'https://evil.example', 'x')).toBe(true);
  });

  it('lets no cache hand an answer for one origin to another', () => {
    expect(loopback.headersFor(undefined, true)).toEqual(['Vary', 'Origin']);
    expect(loopback.headersFor('https://evil.example', true)).toEqual(['Vary', 'Origin']);
    const allowed = loopback.headersFor('http://localhost:1', true);
    expect(allowed.slice(0, 2)).toEqual(['Access-Control-Allow-Origin', 'http://localhost:1']);
    expect(allowed.slice(-2)).toEqual(['Vary', 'Origin']);
    expect(open.headersFor(undefined, true).slice(0, 2)).toEqual([
      'Access-Control-Allow-Origin',
      '*',
    ]);
    expect(open.headersFor('https://x.example', false)[1]).toBe('*');
  });
});
