import { isHoldfastError } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseReadQuery, type ReadQuery } from './read-query.ts';
import { queryStart } from './stream-path.ts';

const TOKEN = '0000000000000003_0000000000000040';

function parse(query: string): ReadQuery {
  const target = `/v1/stream/a${query}`;
  return parseReadQuery(target, queryStart(target));
}

function outcome(query: string): ReadQuery | string {
  try {
    return parse(query);
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return error.code;
  }
}

const absent = { offset: undefined, live: undefined, cursor: undefined };

describe('read query', () => {
  it.each([
    ['', absent],
    ['?', absent],
    ['?&&', absent],
    ['?unknown=1&__proto__=2', absent],
    ['?offset=-1', { ...absent, offset: 'start' }],
    ['?offset=now', { ...absent, offset: 'now' }],
    [`?offset=${TOKEN}`, { ...absent, offset: { messages: 3, bytes: 40 } }],
    [`?%6fffset=%2D1`, { ...absent, offset: 'start' }],
    ['?live=sse&offset=now', { ...absent, offset: 'now', live: 'sse' }],
    ['?cursor=12&live=long-poll&offset=-1', { offset: 'start', live: 'long-poll', cursor: '12' }],
    ['?cursor=abc', absent],
    ['?cursor=1e21', absent],
    ['?cursor=', absent],
    ['?cursor=999999999999999999999999', { ...absent, cursor: '999999999999999999999999' }],
  ])('reads %s', (query, expected) => {
    expect(parse(query)).toEqual(expected);
  });

  it.each([
    ['?offset=', 'INVALID_OFFSET'],
    ['?offset', 'INVALID_OFFSET'],
    ['?offset=-2', 'INVALID_OFFSET'],
    ['?offset=0', 'INVALID_OFFSET'],
    ['?offset=NOW', 'INVALID_OFFSET'],
    [`?offset=${TOKEN},`, 'INVALID_OFFSET'],
    [`?offset=${TOKEN}=`, 'INVALID_OFFSET'],
    ['?offset=0%2C1', 'INVALID_OFFSET'],
    ['?offset=0+1', 'INVALID_OFFSET'],
    ['?offset=9999999999999999_9999999999999999', 'INVALID_OFFSET'],
    ['?offset=0000000000000000_9007199254740992', 'INVALID_OFFSET'],
    ['?offset=-1&offset=-1', 'INVALID_QUERY'],
    ['?offset=-1&live=sse&live=sse', 'INVALID_QUERY'],
    ['?cursor=1&cursor=2', 'INVALID_QUERY'],
    ['?live=yes', 'INVALID_QUERY'],
    ['?live=', 'INVALID_QUERY'],
    ['?live=SSE', 'INVALID_QUERY'],
    ['?offset=%', 'INVALID_QUERY'],
    ['?offset=%C3%28', 'INVALID_QUERY'],
    ['?%E0=1', 'INVALID_QUERY'],
    [`?cursor=${'9'.repeat(65)}`, 'INVALID_QUERY'],
  ])('refuses %s', (query, code) => {
    expect(outcome(query)).toBe(code);
  });

  it('throws nothing but typed errors', () => {
    const pieces = fc.constantFrom(
      'offset',
      'live',
      'cursor',
      '=',
      '&',
      '%',
      '-1',
      'now',
      TOKEN,
      '%3D',
      '?',
      '#',
    );
    const queries = fc.oneof(
      fc.string(),
      fc.array(pieces).map((all) => all.join('')),
    );
    fc.assert(
      fc.property(queries, (query) => {
        outcome(`?${query}`);
      }),
      { numRuns: 3000, seed: 21 },
    );
  });
});
