/** JSON rests and travels byte for byte: a value is checked and split, never written anew. */
import { LIMITS } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { expectStatus, JSON_TYPE, request } from '../http-request.ts';
import { LiveReader } from '../live-reader.ts';
import { useServer } from '../use-server.ts';

const server = useServer();
let streams = 0;

async function newStream(): Promise<string> {
  const url = server().stream(`json/${streams++}`);
  await expectStatus(201, 'PUT', url, { headers: JSON_TYPE });
  return url;
}

const KEPT: [string, string][] = [
  ['an integer beyond 2^53', '12345678901234567890'],
  ['a number of 400 digits', '1'.repeat(400)],
  ['a number no double holds', '1e400'],
  ['a trailing zero', '1.0'],
  ['minus zero', '-0'],
  ['an exponent in capitals', '1E+05'],
  ['the order of keys', '{"b":1,"a":2,"10":3,"9":4}'],
  ['duplicate keys', '{"a":1,"a":2}'],
  ['a key that is a prototype name', '{"__proto__":{"x":1},"constructor":2}'],
  ['escapes as written', '"\\u00e4\\/\\ud83d\\ude00"'],
  ['separators of lines', '"a\u2028b\u2029c"'],
  ['an empty key', '{"":""}'],
  ['nested arrays', '{"a":[[],[[]],{}]}'],
  ['brackets and quotes inside strings', '"],[{}\\"\\\\"'],
];

describe('JSON is kept as it was sent', () => {
  it.each(KEPT)('%s', async (_name, value) => {
    const url = await newStream();
    await expectStatus(204, 'POST', url, { headers: JSON_TYPE, body: value });
    expect((await expectStatus(200, 'GET', url)).text).toBe(`[${value}]`);
  });

  it.each(KEPT)('%s, as one of a batch and live', async (_name, value) => {
    const url = await newStream();
    const reader = await LiveReader.open(`${url}?offset=-1&live=sse`);
    await expectStatus(204, 'POST', url, { headers: JSON_TYPE, body: ` [ 1 ,\n${value}\t, 2 ] ` });
    const read = await expectStatus(200, 'GET', url);
    expect(read.text.replaceAll(/^\[1,|,2\]$/g, '')).toBe(value);
    await reader.untilEvents((events) => events.some((event) => event.event === 'data'));
    const data = reader.events().find((event) => event.event === 'data');
    expect(data?.data.includes(value)).toBe(true);
    reader.destroy();
  });

  it('flattens exactly one level', async () => {
    const url = await newStream();
    await expectStatus(204, 'POST', url, { headers: JSON_TYPE, body: '[[1,2],[[3]]]' });
    expect((await expectStatus(200, 'GET', url)).text).toBe('[[1,2],[[3]]]');
    const second = await newStream();
    await expectStatus(204, 'POST', second, { headers: JSON_TYPE, body: '[[[1,2,3]]]' });
    expect((await expectStatus(200, 'GET', second)).text).toBe('[[[1,2,3]]]');
  });
});

const REFUSED: [string, string | Buffer][] = [
  ['nothing but space', ' \n'],
  ['an empty batch', '[]'],
  ['half a value', '{"a":1'],
  ['two values', '{} {}'],
  ['a comma too many', '[1,]'],
  ['a comma in front', '[,1]'],
  ['a bare word', 'undefined'],
  ['NaN', 'NaN'],
  ['a leading zero', '01'],
  ['a plus sign', '+1'],
  ['a naked point', '.5'],
  ['single quotes', "{'a':1}"],
  ['a comment', '{"a":1 /* no */}'],
  ['a control character in a string', '"a\u0001b"'],
  ['a raw line break in a string', '"a\nb"'],
  ['an unknown escape', '"\\x41"'],
  ['a cut escape', '"\\u12"'],
  ['a byte order mark', '\uFEFF{}'],
  ['a lone high surrogate', '"\\ud800"'],
  ['a lone low surrogate', '"\\udc00x"'],
  ['a lone surrogate in a key', '{"\\udfff":1}'],
  ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
  ['an overlong UTF-8 form', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
  ['a surrogate coded as UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
  ['a UTF-8 sequence cut at the end', Buffer.from([0x22, 0xe2, 0x82, 0x22])],
  ['one good and one bad value', '[{"a":1},{"a":}]'],
  ['depth beyond the limit', nested(LIMITS.maxJsonDepth + 1)],
  ['depth of 5 000', nested(5_000)],
  ['depth of a million', nested(1_000_000)],
];

function nested(depth: number): string {
  return `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;
}

describe('what is not JSON gets 400 and is not stored, in part or in whole', () => {
  it.each(REFUSED)('%s', async (_name, body) => {
    const url = await newStream();
    const answer = await request('POST', url, { headers: JSON_TYPE, body });
    expect(answer.status).toBe(400);
    expect(answer.code).toMatch(/^(INVALID_JSON|EMPTY_BODY)$/);
    expect((await expectStatus(200, 'GET', url)).text).toBe('[]');

    if (body === '[]') return; // A PUT with an empty batch makes an empty stream (§9.1.3).
    const created = `${url}-put`;
    const put = await request('PUT', created, { headers: JSON_TYPE, body });
    if (String(body).trim() === '') return;
    expect(put.status).toBe(400);
    expect((await request('HEAD', created)).status).toBe(404);
  });

  it('the deepest JSON within the limit is kept', async () => {
    const url = await newStream();
    const body = nested(LIMITS.maxJsonDepth);
    await expectStatus(204, 'POST', url, { headers: JSON_TYPE, body });
    expect((await expectStatus(200, 'GET', url)).text).toBe(`[${body}]`);
  });
});
