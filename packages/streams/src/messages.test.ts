import { isHoldfastError } from '@holdfast/core';
import { describe, expect, test } from 'vitest';
import { splitBytes, splitJson } from './messages.ts';

function split(text: string | Uint8Array, limits?: Parameters<typeof splitJson>[1]): string[] {
  const { bytes, lengths } = splitJson(Buffer.from(text as string), limits);
  let at = 0;
  const messages = lengths.map((length) => bytes.toString('utf8', at, (at += length)));
  expect(at).toBe(bytes.length);
  return messages;
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isHoldfastError(error)) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('a JSON body keeps its bytes', () => {
  const kept: [string, string, string[]][] = [
    ['a value', '{"a":1}', ['{"a":1},']],
    ['white space around a value', ' \n\t{"a": 1}\r\n', ['{"a": 1},']],
    ['an array', '[1,2]', ['1,', '2,']],
    ['white space around elements', '[ 1 ,\n2 ]', ['1,', '2,']],
    ['white space after the array', '[1,2] ', ['1,', '2,']],
    ['white space before the array', ' [1,2]', ['1,', '2,']],
    ['one level of arrays', '[[1,2],[3,4]]', ['[1,2],', '[3,4],']],
    ['a nested array', '[[[1,2,3]]]', ['[[1,2,3]],']],
    ['an empty array in an array', '[[]]', ['[],']],
    ['big integers', '[12345678901234567890123]', ['12345678901234567890123,']],
    ['the way a number is written', '[1.0,1e2,-0]', ['1.0,', '1e2,', '-0,']],
    ['the order of keys', '{"b":1,"a":2}', ['{"b":1,"a":2},']],
    ['duplicate keys', '{"a":1,"a":2}', ['{"a":1,"a":2},']],
    ['white space inside a message', '[{"a": [1, 2]}]', ['{"a": [1, 2]},']],
    ['brackets and commas in strings', '["],[","{\\"}"]', ['"],[",', '"{\\"}",']],
    ['escaped backslashes', '["\\\\","a"]', ['"\\\\",', '"a",']],
    ['text beyond ascii', '["\u00e9\u{1f600}"]', ['"\u00e9\u{1f600}",']],
    ['escaped pairs', '["\\ud83d\\uDE00"]', ['"\\ud83d\\uDE00",']],
    ['other escapes', '["\\u00e9\\n\\ud7ff\\ue000"]', ['"\\u00e9\\n\\ud7ff\\ue000",']],
    ['scalars', 'null', ['null,']],
    ['a string', '"a,b"', ['"a,b",']],
  ];
  test.each(kept)('%s', (_what, body, messages) => {
    expect(split(body)).toEqual(messages);
  });

  test('whatever is stored parses to what was sent', () => {
    const sent = [{ a: [1, { b: '",[]{}\\' }] }, 'x', [[], {}], null, 1.5, true, ''];
    for (const body of [JSON.stringify(sent), JSON.stringify(sent, null, 2)]) {
      const { bytes } = splitJson(Buffer.from(body));
      expect(JSON.parse(`[${bytes.toString().slice(0, -1)}]`)).toEqual(sent);
    }
  });
});

describe('a body that not every reader could decode is refused', () => {
  const refused: [string, string | Uint8Array][] = [
    ['nothing', ''],
    ['only white space', '  '],
    ['a cut value', '{"a":'],
    ['two values', '1 2'],
    ['two arrays', '[1][2]'],
    ['an open array', '[1,2'],
    ['a trailing comma', '[1,]'],
    ['an open string', '["abc'],
    ['a lone high surrogate', '["\\ud800"]'],
    ['a lone low surrogate', '["\\udc00"]'],
    ['two high surrogates', '["\\ud800\\ud800"]'],
    ['a high surrogate before another escape', '["\\ud83d\\n"]'],
    ['a lone surrogate in a key', '{"\\uD800":1}'],
    ['wrong hex digits', '["\\uzzzz"]'],
    ['bytes that are not utf-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a raw surrogate', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['a byte order mark', '\ufeff[1]'],
    ['a control character', '"\u0001"'],
    ['closing too much', '[1]]'],
  ];
  test.each(refused)('%s', (_what, body) => {
    expect(codeOf(() => split(body))).toBe('INVALID_JSON');
  });

  test('nesting is bounded, not counting the array that holds the messages', () => {
    const limits = { maxJsonDepth: 3, maxJsonMessages: 10 };
    expect(split('[[[[]]]]', limits)).toEqual(['[[[]]],']);
    expect(codeOf(() => split('[[[[[]]]]]', limits))).toBe('INVALID_JSON');
    expect(split('{"a":{"b":{}}}', limits)).toHaveLength(1);
    expect(codeOf(() => split('{"a":{"b":{"c":{}}}}', limits))).toBe('INVALID_JSON');
    const deep = '['.repeat(1_000_000) + ']'.repeat(1_000_000);
    expect(codeOf(() => split(deep))).toBe('INVALID_JSON');
  });

  test('the number of messages is bounded', () => {
    const limits = { maxJsonDepth: 3, maxJsonMessages: 2 };
    expect(split('[1,2]', limits)).toHaveLength(2);
    expect(codeOf(() => split('[1,2,3]', limits))).toBe('BODY_TOO_LARGE');
  });
});

test('an empty array is no append, and may be an empty creation', () => {
  for (const body of ['[]', '[ ]', ' [\n] ']) {
    expect(codeOf(() => split(body))).toBe('EMPTY_BODY');
    const limits = { maxJsonDepth: 3, maxJsonMessages: 2, allowEmpty: true };
    expect(split(body, limits)).toEqual([]);
  }
});

test('other bodies are one message, as they are', () => {
  const body = Buffer.from('[1,2] \xff', 'latin1');
  expect(splitBytes(body)).toEqual({ bytes: body, lengths: [body.length] });
  expect(codeOf(() => splitBytes(Buffer.alloc(0)))).toBe('EMPTY_BODY');
});
