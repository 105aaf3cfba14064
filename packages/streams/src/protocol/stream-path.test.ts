import { isHoldfastError, LIMITS } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseStreamPath, queryStart } from './stream-path.ts';

const BASE = '/v1/stream/';

function parse(target: string): string {
  return parseStreamPath(target, queryStart(target), BASE);
}

function codeOf(target: string): string {
  try {
    return `path ${parse(target)}`;
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return error.code;
  }
}

describe('stream path', () => {
  it.each([
    ['/v1/stream/a', 'a'],
    ['/v1/stream/a/b/c?offset=-1', 'a/b/c'],
    ['/v1/stream/a%20b', 'a b'],
    ['/v1/stream/%E2%82%AC', '€'],
    ['/v1/stream/a%2Fb', 'a/b'],
    ['/v1/stream/__proto__', '__proto__'],
    ['/v1/stream/constructor/toString', 'constructor/toString'],
    ['/v1/stream/a/__ds', 'a/__ds'],
    ['/v1/stream/__dsx', '__dsx'],
    ['/v1/stream/..a/b..', '..a/b..'],
    ['/v1/stream/...', '...'],
    ["/v1/stream/~!$&'()*+,;=:@-._", "~!$&'()*+,;=:@-._"],
    ['/v1/stream/%3F%23%25', '?#%'],
  ])('decodes %s once', (target, path) => {
    expect(parse(target)).toBe(path);
  });

  it.each([
    ['/v1/stream/', 'ROUTE_NOT_FOUND'],
    ['/v1/stream', 'ROUTE_NOT_FOUND'],
    ['/v1/stream?x', 'ROUTE_NOT_FOUND'],
    ['/', 'ROUTE_NOT_FOUND'],
    ['', 'ROUTE_NOT_FOUND'],
    ['*', 'ROUTE_NOT_FOUND'],
    ['http://host/v1/stream/a', 'ROUTE_NOT_FOUND'],
    ['/V1/stream/a', 'ROUTE_NOT_FOUND'],
    ['/v1/stream/__ds', 'ROUTE_NOT_FOUND'],
    ['/v1/stream/__ds/jwks.json', 'ROUTE_NOT_FOUND'],
    ['/v1/stream/%5F%5Fds/x', 'ROUTE_NOT_FOUND'],
    ['/v1/stream//a', 'INVALID_PATH'],
    ['/v1/stream/a/', 'INVALID_PATH'],
    ['/v1/stream/a//b', 'INVALID_PATH'],
    ['/v1/stream/a%2F%2Fb', 'INVALID_PATH'],
    ['/v1/stream/.', 'INVALID_PATH'],
    ['/v1/stream/..', 'INVALID_PATH'],
    ['/v1/stream/../../etc/passwd', 'INVALID_PATH'],
    ['/v1/stream/a/%2e%2E/b', 'INVALID_PATH'],
    ['/v1/stream/a/..%2Fb', 'INVALID_PATH'],
    ['/v1/stream/a%00', 'INVALID_PATH'],
    ['/v1/stream/a%0Ab', 'INVALID_PATH'],
    ['/v1/stream/a%7F', 'INVALID_PATH'],
    ['/v1/stream/a%C2%85', 'INVALID_PATH'],
    ['/v1/stream/a\\b', 'INVALID_PATH'],
    ['/v1/stream/a%5Cb', 'INVALID_PATH'],
    ['/v1/stream/a b', 'INVALID_PATH'],
    ['/v1/stream/a\u00e9', 'INVALID_PATH'],
    ['/v1/stream/a%', 'INVALID_PATH'],
    ['/v1/stream/a%zz', 'INVALID_PATH'],
    ['/v1/stream/%C3%28', 'INVALID_PATH'],
    ['/v1/stream/%C0%AF', 'INVALID_PATH'],
    ['/v1/stream/%ED%A0%80', 'INVALID_PATH'],
  ])('refuses %s', (target, code) => {
    expect(codeOf(target)).toBe(code);
  });

  it('takes paths up to the limit in bytes and segments, and refuses one more', () => {
    expect(codeOf(BASE + 'x'.repeat(LIMITS.maxPathBytes))).toMatch(/^path x/);
    expect(codeOf(BASE + 'x'.repeat(LIMITS.maxPathBytes + 1))).toBe('URL_TOO_LONG');
    // Three bytes each: counted after decoding.
    const euros = Math.floor(LIMITS.maxPathBytes / 3);
    expect(codeOf(BASE + '%E2%82%AC'.repeat(euros))).toMatch(/^path €/);
    expect(codeOf(BASE + '%E2%82%AC'.repeat(euros + 1))).toBe('URL_TOO_LONG');
    expect(codeOf(BASE + 'x'.repeat(LIMITS.maxUrlBytes))).toBe('URL_TOO_LONG');
    expect(codeOf(BASE + Array(LIMITS.maxPathSegments).fill('s').join('/'))).toMatch(/^path s/);
    expect(
      codeOf(
        BASE +
          Array(LIMITS.maxPathSegments + 1)
            .fill('s')
            .join('/'),
      ),
    ).toBe('INVALID_PATH');
  });

  it('throws nothing but typed errors, and what it lets through has no way out of the root', () => {
    const pieces = fc.constantFrom(
      'a',
      '.',
      '..',
      '/',
      '%',
      '%2e',
      '%2F',
      '%00',
      '\\',
      'é',
      '?',
      '__ds',
    );
    const targets = fc.oneof(
      fc.string(),
      fc.array(pieces).map((all) => BASE + all.join('')),
    );
    fc.assert(
      fc.property(targets, (target) => {
        const outcome = codeOf(target);
        if (!outcome.startsWith('path ')) return;
        const segments = outcome.slice(5).split('/');
        expect(segments).not.toContain('');
        expect(segments).not.toContain('.');
        expect(segments).not.toContain('..');
        expect(segments[0]).not.toBe('__ds');
      }),
      { numRuns: 2000, seed: 11 },
    );
  });

  it('gives back every path a client encodes segment by segment', () => {
    const segment = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 8 })
      .filter((text) => !/[\u0000-\u001f\u007f-\u009f\\/]/.test(text))
      .filter((text) => text !== '.' && text !== '..' && text !== '__ds');
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 8 }), (segments) => {
        const target = BASE + segments.map((one) => encodeURIComponent(one)).join('/');
        expect(parse(target)).toBe(segments.join('/'));
      }),
      { numRuns: 500, seed: 12 },
    );
  });
});
