import { isHoldfastError, LIMITS } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { factsOf, parseContentType } from './media-type.ts';

function accepts(text: string): boolean {
  try {
    parseContentType(text);
    return true;
  } catch (error) {
    if (!isHoldfastError(error) || error.code !== 'INVALID_HEADER') throw error;
    return false;
  }
}

describe('content type', () => {
  it.each([
    'text/plain',
    'application/json; charset=utf-8',
    'a/b;c="d;\\"e"',
    'a/b ; c=d;e=f',
    'a/b;',
    'application/vnd.x+json',
    'TEXT/PLAIN',
  ])('takes %s', (text) => {
    expect(accepts(text)).toBe(true);
  });

  it.each([
    '',
    'text',
    'text/',
    '/plain',
    'text/plain/x',
    'text/plain; charset',
    'text/plain; =x',
    'text/plain, text/html',
    'te xt/plain',
    'text/plain; a="b',
    'text/plain\u0001',
    'text/pläin',
  ])('refuses %s', (text) => {
    expect(accepts(text)).toBe(false);
  });

  it('is bounded and trimmed', () => {
    expect(accepts(`a/${'b'.repeat(LIMITS.maxContentTypeBytes - 2)}`)).toBe(true);
    expect(accepts(`a/${'b'.repeat(LIMITS.maxContentTypeBytes - 1)}`)).toBe(false);
    expect(parseContentType(' text/plain ')).toBe('text/plain');
  });

  it('takes time in proportion to its length, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (text) => {
        accepts(text);
      }),
      { numRuns: 2000, seed: 41 },
    );
    expect(accepts(`a/b${' ;'.repeat(120)}`)).toBe(true);
    expect(accepts(`a/b${'; \t'.repeat(80)}"`)).toBe(false);
  });

  it.each([
    ['text/html', true],
    ['application/xhtml+xml', true],
    ['image/svg+xml', true],
    ['text/xml', true],
    ['application/pdf', true],
    ['text/javascript; charset=utf-8', true],
    ['TEXT/HTML', true],
    ['application/x-unheard-of', true],
    ['application/json', false],
    ['text/plain', false],
    ['application/octet-stream', false],
    ['image/png', false],
    ['video/mp4', false],
  ])('%s is served in a sandbox, as an attachment: %s', (contentType, guarded) => {
    expect(factsOf(contentType).headers).toContain("sandbox; default-src 'none'");
    expect(factsOf(contentType).headers.includes('attachment')).toBe(guarded);
  });

  it('decides JSON mode and the form of events', () => {
    expect(factsOf('application/json; charset=utf-8')).toMatchObject({ json: true, text: true });
    expect(factsOf('application/ndjson')).toMatchObject({ json: false, text: false });
    expect(factsOf('text/html')).toMatchObject({ json: false, text: true });
  });
});
