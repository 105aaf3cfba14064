import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseControlBody } from './control-body.ts';

const NAMES = ['a', 'b', 'c'];
const REFUSED = expect.objectContaining({ code: 'INVALID_SUBSCRIPTION' }) as Error;

describe('parseControlBody', () => {
  it('reads what JSON.stringify wrote, whatever is in its texts', () => {
    const text = fc
      .string({ unit: 'binary', maxLength: 20 })
      .filter((t) => !/\p{Surrogate}/u.test(t));
    const escaped = fc.string({
      unit: fc.constantFrom('"', '\\', '{', '}', '[', ']', ':', ',', 'a'),
    });
    const value = fc.oneof(text, escaped, fc.integer(), fc.boolean(), fc.array(escaped));
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...NAMES), value),
        fc.boolean(),
        (object, spaced) => {
          const body = parseControlBody(
            Buffer.from(JSON.stringify(object, undefined, spaced ? 2 : 0)),
            NAMES,
          );
          for (const name of NAMES) expect(body.value(name)).toEqual(object[name]);
        },
      ),
    );
  });

  it('refuses a name that comes twice in one object, and only there', () => {
    for (const text of ['{"a":1,"a":1}', '{"a":[{"x":1,"x":2}]}', '{"a":1,"\\u0061":2}']) {
      expect(() => parseControlBody(Buffer.from(text), NAMES)).toThrow(REFUSED);
    }
    const fine = '{"a":["a","a",{"a":1}],"b":[{"a":1},{"a":2}],"c":"a\\":\\"a"}';
    expect(parseControlBody(Buffer.from(fine), NAMES).value('c')).toBe('a":"a');
  });

  it('takes time that grows with the body, not with what is in it', () => {
    const size = 2 * 1024 * 1024;
    for (const text of [
      `{"a":"${'a'.repeat(size)}"}`,
      `{"a":"${'\\"'.repeat(size / 2)}"}`,
      `{"a":"${'\\\\'.repeat(size / 2)}"}`,
      `{"a":[${'"",'.repeat(size / 3)}1]}`,
    ]) {
      expect(parseControlBody(Buffer.from(text), NAMES).value('a')).toBeDefined();
    }
    for (const unit of ['[', '{"a":', '"', '\\', '{', '[{"a":[']) {
      const text = unit.repeat(size / unit.length);
      expect(() => parseControlBody(Buffer.from(text), NAMES)).toThrow(REFUSED);
    }
  });

  it('never throws anything but its own refusal', () => {
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ':',
      ',',
      '"',
      '\\',
      'a',
      '1',
      ' ',
      '"a"',
      'null',
    );
    const text = fc.array(pieces, { size: 'max', maxLength: 40 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, (input) => {
        try {
          parseControlBody(Buffer.from(input), NAMES);
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_SUBSCRIPTION' });
        }
      }),
    );
  });

  it('names the member that was meant', () => {
    expect(() => parseControlBody(Buffer.from('{"lease_ttl":1}'), ['lease_ttl_ms'])).toThrow(
      /did you mean lease_ttl_ms/,
    );
  });
});
