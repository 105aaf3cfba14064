import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonElements } from './json-elements.ts';

describe('jsonElements', () => {
  it.each([
    ['[]', []],
    ['', []],
    ['[1]', ['1']],
    ['[ 12345678901234567890 , 1.0 ]', ['12345678901234567890', '1.0']],
    ['[{"b":1,"a":[1,2]},"x,]\\"y"]', ['{"b":1,"a":[1,2]}', '"x,]\\"y"']],
    ['[{"a":1,\n "b":2}\n,\n3]', ['{"a":1,  "b":2}', '3']],
    ['[[1,2],[]]', ['[1,2]', '[]']],
  ])('%j holds %j', (array, elements) => {
    expect(jsonElements(array)).toEqual(elements);
  });

  it('gives back every array of values, each on one line', () => {
    const values = fc.array(fc.jsonValue(), { size: 'max', maxLength: 50 });
    fc.assert(
      fc.property(values, fc.nat(3), (array, indent) => {
        const elements = jsonElements(JSON.stringify(array, undefined, indent));
        expect(elements.map((one) => JSON.parse(one) as unknown)).toEqual(
          JSON.parse(JSON.stringify(array)),
        );
        expect(elements.some((one) => one.includes('\n'))).toBe(false);
      }),
      { numRuns: 100 },
    );
  });

  it('refuses what is no array', () => {
    expect(() => jsonElements('{"a":1}')).toThrow(SyntaxError);
  });
});
