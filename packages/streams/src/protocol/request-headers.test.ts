import { isHoldfastError, LIMITS } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { refuseCodings } from '../http/codings.ts';
import {
  parseClosed,
  parseExpiry,
  parseInstant,
  parseInteger,
  parseProducer,
  parseStreamSeq,
  readFields,
} from './request-headers.ts';

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'accepted';
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return error.code;
  }
}

describe('request headers', () => {
  it('are found in any case, and strange names are nothing', () => {
    const fields = readFields([
      'HOST',
      'h',
      '__proto__',
      'x',
      'constructor',
      'y',
      'sTREAM-sEQ',
      '7',
      'Producer-ID',
      '__proto__',
    ]);
    expect(fields.host).toBe('h');
    expect(fields.streamSeq).toBe('7');
    expect(fields.producerId).toBe('__proto__');
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it('given twice are refused, but for lists', () => {
    expect(codeOf(() => readFields(['Stream-Seq', '1', 'stream-seq', '1']))).toBe('INVALID_HEADER');
    expect(codeOf(() => readFields(['Content-Type', 'a/b', 'Content-Type', 'a/b']))).toBe(
      'INVALID_HEADER',
    );
    expect(readFields(['If-None-Match', '"a"', 'If-None-Match', '"b"']).ifNoneMatch).toBe(
      '"a", "b"',
    );
    expect(codeOf(() => readFields(['Accept', '1', 'Accept', '1']))).toBe('accepted');
  });

  it.each([
    ['true', true],
    ['TRUE', true],
    ['True', true],
    ['false', false],
    ['yes', false],
    ['1', false],
    ['', false],
    ['truely', false],
    [undefined, false],
  ])('Stream-Closed: %s closes: %s', (text, closed) => {
    expect(parseClosed(text)).toBe(closed);
  });

  it.each([
    ['0', 0],
    ['7', 7],
    ['9007199254740991', 9007199254740991],
    ['9007199254740992', undefined],
    ['99999999999999999999', undefined],
    ['-1', undefined],
    ['-0', undefined],
    ['+1', undefined],
    ['01', undefined],
    ['1.0', undefined],
    ['1e3', undefined],
    ['0x1', undefined],
    ['', undefined],
    [' 1', undefined],
    ['1abc', undefined],
    ['١', undefined],
  ])('integer %s is %s', (text, value) => {
    expect(parseInteger(text)).toBe(value);
  });

  it.each([
    ['2099-01-02T03:04:05Z', Date.UTC(2099, 0, 2, 3, 4, 5)],
    ['2099-01-02t03:04:05z', Date.UTC(2099, 0, 2, 3, 4, 5)],
    ['2099-01-02T03:04:05.6789Z', Date.UTC(2099, 0, 2, 3, 4, 5, 678)],
    ['2099-01-02T03:04:05+01:30', Date.UTC(2099, 0, 2, 1, 34, 5)],
    ['2096-02-29T00:00:00-00:30', Date.UTC(2096, 1, 29, 0, 30)],
    ['0001-01-01T00:00:00Z', new Date('0001-01-01T00:00:00Z').getTime()],
  ])('instant %s', (text, ms) => {
    expect(parseInstant(text)).toBe(ms);
  });

  it.each([
    '2024-01-01',
    '1 Jan 2099',
    '2099-13-01T00:00:00Z',
    '2099-00-01T00:00:00Z',
    '2099-02-29T00:00:00Z',
    '2099-04-31T00:00:00Z',
    '2099-01-01T24:00:00Z',
    '2099-01-01T00:60:00Z',
    '2099-01-01T00:00:60Z',
    '2099-01-01T00:00:00',
    '2099-01-01 00:00:00Z',
    '2099-01-01T00:00:00+24:00',
    '2099-01-01T00:00:00.Z',
    '+12099-01-01T00:00:00Z',
    '',
    'now',
  ])('no instant: %s', (text) => {
    expect(codeOf(() => parseInstant(text))).toBe('INVALID_TTL');
  });

  it('agree with Date on every instant there is', () => {
    const instants = fc.date({
      min: new Date('0001-01-01'),
      max: new Date('9999-12-31'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(instants, (date) => {
        expect(parseInstant(date.toISOString())).toBe(date.getTime());
      }),
      { seed: 31 },
    );
  });

  it('refuse both kinds of expiry at once', () => {
    const fields = readFields(['Stream-TTL', '5', 'Stream-Expires-At', '2099-01-01T00:00:00Z']);
    expect(codeOf(() => parseExpiry(fields))).toBe('INVALID_TTL');
  });

  it.each([
    [['Producer-Id', 'p'], 'INVALID_PRODUCER'],
    [['Producer-Epoch', '0', 'Producer-Seq', '0'], 'INVALID_PRODUCER'],
    [['Producer-Id', '', 'Producer-Epoch', '0', 'Producer-Seq', '0'], 'INVALID_PRODUCER'],
    [['Producer-Id', 'p', 'Producer-Epoch', '-1', 'Producer-Seq', '0'], 'INVALID_PRODUCER'],
    [
      ['Producer-Id', 'p', 'Producer-Epoch', '0', 'Producer-Seq', '9007199254740992'],
      'INVALID_PRODUCER',
    ],
    [
      ['Producer-Id', 'p'.repeat(257), 'Producer-Epoch', '0', 'Producer-Seq', '0'],
      'INVALID_PRODUCER',
    ],
    [['Producer-Id', 'constructor', 'Producer-Epoch', '0', 'Producer-Seq', '0'], 'accepted'],
    [
      [
        'Producer-Id',
        'p',
        'Producer-Epoch',
        '9007199254740991',
        'Producer-Seq',
        '9007199254740991',
      ],
      'accepted',
    ],
    [[], 'accepted'],
  ])('producer %j: %s', (raw, code) => {
    expect(codeOf(() => parseProducer(readFields(raw)))).toBe(code);
  });

  it('bound Stream-Seq and refuse coded bodies', () => {
    expect(codeOf(() => parseStreamSeq(''))).toBe('INVALID_HEADER');
    expect(codeOf(() => parseStreamSeq('x'.repeat(LIMITS.maxWriterTokenBytes + 1)))).toBe(
      'INVALID_HEADER',
    );
    expect(parseStreamSeq('x'.repeat(LIMITS.maxWriterTokenBytes))).toHaveLength(
      LIMITS.maxWriterTokenBytes,
    );
    expect(codeOf(() => refuseCodings(readFields(['Content-Encoding', 'gzip'])))).toBe(
      'UNSUPPORTED_ENCODING',
    );
    expect(codeOf(() => refuseCodings(readFields(['Content-Encoding', 'Identity'])))).toBe(
      'accepted',
    );
  });

  it('throw nothing but typed errors', () => {
    const names = fc.constantFrom(
      'Producer-Id',
      'Producer-Epoch',
      'Producer-Seq',
      'Stream-TTL',
      'Stream-Expires-At',
      'Stream-Seq',
      'Content-Type',
      '__proto__',
    );
    const raw = fc.array(fc.tuple(names, fc.string())).map((pairs) => pairs.flat());
    fc.assert(
      fc.property(raw, (headers) => {
        codeOf(() => {
          const fields = readFields(headers);
          parseProducer(fields);
          parseExpiry(fields);
          parseStreamSeq(fields.streamSeq);
          parseClosed(fields.streamClosed);
        });
      }),
      { numRuns: 2000, seed: 32 },
    );
  });
});
