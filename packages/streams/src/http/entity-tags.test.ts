import { hasCode } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { parseStrongTags } from './entity-tags.ts';

describe('If-Match', () => {
  it.each([
    ['*', '*'],
    [' * ', '*'],
    ['"5"', ['"5"']],
    ['"5", "6"', ['"5"', '"6"']],
    [' ,"5",, "6" ,', ['"5"', '"6"']],
    ['W/"5"', []],
    ['W/"5", "6"', ['"6"']],
    ['"a,b"', ['"a,b"']],
    ['""', ['""']],
  ])('%s is %j: weak tags match nothing', (text, tags) => {
    expect(parseStrongTags(text)).toEqual(tags);
  });

  it.each(['', ',', '5', '"5', '"5" "6"', 'w/"5"', '*, "5"', '"5", *', '"a b"', '"5";'])(
    '%s is refused',
    (text) => {
      let thrown: unknown;
      try {
        parseStrongTags(text);
      } catch (error) {
        thrown = error;
      }
      expect(hasCode(thrown, 'INVALID_HEADER')).toBe(true);
    },
  );

  it('takes time in proportion to its length', () => {
    const spaces = ' '.repeat(200_000);
    expect(() => parseStrongTags(`"5"${spaces}x`)).toThrow('if-match');
    expect(() => parseStrongTags(`${','.repeat(200_000)}x`)).toThrow('if-match');
  });
});
