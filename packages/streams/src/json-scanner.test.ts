import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JsonScanner } from './json-scanner.ts';

function scannerAccepts(text: string): boolean {
  const scanner = new JsonScanner(Buffer.from(text), 128);
  try {
    scanner.space();
    scanner.value();
    scanner.space();
    return scanner.atEnd;
  } catch (error) {
    expect(error).toMatchObject({ code: 'INVALID_JSON' });
    return false;
  }
}

function parserAccepts(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Pieces of JSON and of what is nearly JSON, in any order. */
const PIECES = [
  ...'{}[],:"\\ \t\n0123456789-+.eEu',
  ...['true', 'false', 'null', 'tru', '"a"', '"\\n"', '"\\u00e9"', '"\\u12"', '1.5e+3', '-0'],
  ...['01', '1.', '.5', '1e', '--1', '"\u0001"', '\u00a0', '"é"', '{"a":1}', '[1,2]', '"', "'a'"],
];

describe('the scanner accepts what JSON.parse accepts', () => {
  test('of pieces in any order', () => {
    const texts = fc.array(fc.constantFrom(...PIECES), { maxLength: 8, size: 'max' });
    fc.assert(
      fc.property(texts, (pieces) => {
        const text = pieces.join('');
        expect([text, scannerAccepts(text)]).toEqual([text, parserAccepts(text)]);
      }),
      { numRuns: 40_000, seed: 20_261_120 },
    );
  });

  test('of real values, and of them with one character changed', () => {
    const values = fc.tuple(fc.json(), fc.nat(), fc.constantFrom(...PIECES, ''));
    fc.assert(
      fc.property(values, ([text, place, piece]) => {
        expect(scannerAccepts(text)).toBe(true);
        const at = place % (text.length + 1);
        const changed = text.slice(0, at) + piece + text.slice(at + 1);
        if (/\\u[dD][89a-fA-F]/.test(changed) || /[\ud800-\udfff]/.test(changed)) return;
        expect([changed, scannerAccepts(changed)]).toEqual([changed, parserAccepts(changed)]);
      }),
      { numRuns: 10_000, seed: 20_261_120 },
    );
  });
});

describe('the scanner refuses what readers could not take', () => {
  test.each([
    ['"\\ud800"', false],
    ['"\\udc00"', false],
    ['"\\ud800\\u0041"', false],
    ['"\\ud800\\ud800"', false],
    ['"\\ud83d\\ude00"', true],
    ['"\\uD83D\\uDE00"', true],
  ])('%s: %s', (text, accepted) => {
    expect(scannerAccepts(text)).toBe(accepted);
  });

  test('nesting is bounded, and its bound is exact', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(scannerAccepts(nested(128))).toBe(true);
    expect(scannerAccepts(nested(129))).toBe(false);
    expect(scannerAccepts(nested(100_000))).toBe(false);
  });
});
