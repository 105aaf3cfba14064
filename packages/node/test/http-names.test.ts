/**
 * Names, numbers and sizes that others tripped over: each is an ordinary value, or a 4xx with a
 * code; none is a fault of the server, and none is taken for another.
 */
import { LIMITS } from '@holdfast/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openNode, type HoldfastNode } from '../src/index.ts';
import { request } from './http-request.ts';
import { exchange, patientExchange } from './raw-exchange.ts';

const HOST = 'Host: 127.0.0.1\r\n';
const TEXT = { 'content-type': 'text/plain' };
const JSON_TYPE = { 'content-type': 'application/json' };
const PROTOTYPE_NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'valueOf',
  'hasOwnProperty',
  'isPrototypeOf',
  '__defineGetter__',
  'then',
  'length',
];

let node: HoldfastNode;
let base = '';
let port = 0;
beforeAll(async () => {
  node = await openNode({ memory: true, port: 0, longPollTimeoutMs: 50 });
  const address = await node.listen();
  port = address.port;
  base = `${address.url}/v1/stream/`;
});
afterEach(async () => {
  for (const { path } of node.streams.list().streams) await node.streams.delete(path);
});
afterAll(() => node.close());

const paths = (): string[] => node.streams.list().streams.map(({ path }) => path);

describe('paths', () => {
  it.each([
    ['a dot', '.', 400],
    ['two dots', '..', 400],
    ['dots in between', 'a/../b', 400],
    ['encoded dots', '%2e%2e/a', 400],
    ['half encoded dots', '.%2e/a', 400],
    ['dots behind an encoded slash', 'a%2f..%2fb', 400],
    ['an empty segment', 'a//b', 400],
    ['a slash at the end', 'a/', 400],
    ['an encoded slash at the end', 'a%2f', 400],
    ['an encoded slash at the start', '%2fa', 400],
    ['a backslash', 'a\\b', 400],
    ['an encoded backslash', 'a%5cb', 400],
    ['NUL', 'a%00b', 400],
    ['a line end', 'a%0d%0ab', 400],
    ['DEL', 'a%7fb', 400],
    ['C1', 'a%c2%85b', 400],
    ['half an escape', 'a%2', 400],
    ['no escape', 'a%zz', 400],
    ['overlong dots', '%c0%ae%c0%ae/a', 400],
    ['an overlong slash', 'a%c0%afb', 400],
    ['an overlong slash of three', 'a%e0%80%afb', 400],
    ['a surrogate', 'a%ed%a0%80b', 400],
    ['beyond Unicode', 'a%f4%90%80%80b', 400],
    ['half a character', 'a%e2%82', 400],
    ['IIS Unicode', 'a%u002e', 400],
    ['a raw byte', 'a\xffb', 400],
    ['33 segments', Array.from({ length: 33 }, () => 's').join('/'), 400],
    ['1025 bytes', 'p'.repeat(1_025), 414],
    ['1025 bytes in few characters', '%F0%9F%98%80'.repeat(256) + 'p', 414],
    ['reserved', '__ds', 404],
    ['reserved, encoded', '%5f%5fds/x', 404],
    ['nothing', '', 404],
  ])('with %s are refused, and make nothing', async (_name, path, status) => {
    const bytes = `PUT /v1/stream/${path} HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: 0\r\n\r\n`;
    const answer = await exchange(port, bytes);
    // The parser itself refuses a raw byte, with the same status.
    expect(answer.statuses).toEqual([status]);
    expect(paths()).toEqual([]);
  });

  it.each([
    ['double encoding is decoded once', 'a%252e%252e', 'a%2e%2e'],
    ['an encoded slash parts segments', 'a%2Fb', 'a/b'],
    ['three dots are a name', 'a/...', 'a/...'],
    ['dots in a name are letters', '..a/b..', '..a/b..'],
    ['a plus is a plus', 'a+b', 'a+b'],
    ['a space is a space', 'a%20b', 'a b'],
    ['a semicolon stays', 'a;b=c', 'a;b=c'],
    ['an encoded question mark is a letter', 'a%3Fb', 'a?b'],
    ['a colon and an at are letters', 'a:b@c', 'a:b@c'],
    ['an emoji is one', '%F0%9F%98%80', '😀'],
    ['reserved words deeper are names', 'a/__ds/b', 'a/__ds/b'],
    [
      '32 segments',
      Array.from({ length: 32 }, () => 's').join('/'),
      Array.from({ length: 32 }, () => 's').join('/'),
    ],
    ['1024 bytes', 'p'.repeat(1_024), 'p'.repeat(1_024)],
  ])('%s', async (_name, target, path) => {
    expect((await request('PUT', base + target, { headers: TEXT, body: 'x' })).status).toBe(201);
    expect(paths()).toEqual([path]);
    expect((await request('GET', base + target)).text).toBe('x');
  });

  it('that look alike are different streams', async () => {
    // é as one and as two characters, case, a slash that is none, full-width dots.
    const alike = [
      '%C3%A9',
      'e%CC%81',
      'A',
      'a',
      'a%E2%88%95b',
      '%EF%BC%8E%EF%BC%8E',
      '%E2%80%8Ba',
    ];
    for (const name of alike) {
      expect((await request('PUT', base + name, { headers: TEXT, body: name })).status).toBe(201);
    }
    expect(paths()).toHaveLength(alike.length);
    for (const name of alike) expect((await request('GET', base + name)).text).toBe(name);
  });
});

describe('names of prototypes', () => {
  it.each(PROTOTYPE_NAMES)('%s is an ordinary path, producer, type, tag and key', async (name) => {
    const url = base + name;
    expect((await request('GET', url)).status).toBe(404);
    const type = { 'content-type': `application/json; ${name.replaceAll('_', 'u')}=1` };
    expect((await request('PUT', url, { headers: type })).status).toBe(201);
    const producer = { 'producer-id': name, 'producer-epoch': '0', 'stream-seq': name };
    const body = `{"${name}":{"${name}":1}}`;
    const send = async (seq: string): Promise<number> =>
      (await request('POST', url, { headers: { ...type, ...producer, 'producer-seq': seq }, body }))
        .status;
    expect([await send('0'), await send('0')]).toEqual([200, 204]);
    const read = await request('GET', `${url}?${name}=${name}&offset=-1`, {
      headers: { [name.replaceAll('_', 'x')]: name, 'if-none-match': `"${name}"` },
    });
    expect([read.status, read.text]).toEqual([200, `[${body}]`]);
    for (const query of [`offset=${name}`, `offset=-1&live=${name}`]) {
      expect((await request('GET', `${url}?${query}`)).status).toBe(400);
    }
    const listed = await request('GET', `http://127.0.0.1:${port}/v1/streams?prefix=${name}`);
    expect(listed.text).toContain(`"path":"${name}"`);
    const own = await request('GET', `http://127.0.0.1:${port}/v1/streams?${name}=1`);
    expect([own.status, own.code]).toEqual([400, 'INVALID_QUERY']);
    expect(
      (await request(name.replaceAll('_', '-').toUpperCase(), url).catch(() => undefined))
        ?.status ?? 400,
    ).toBeGreaterThanOrEqual(400);
    expect(({} as Record<string, unknown>)['1']).toBeUndefined();
  });
});

describe('numbers', () => {
  const NUMBERS = [
    '9007199254740991',
    '9007199254740992',
    '9007199254740993',
    '18446744073709551615',
    '18446744073709551616',
    '9'.repeat(100),
    '1e308',
    '-0',
    '٣',
    '１',
    '0b1',
    '1_000',
    ' 1',
  ].map((text) => Buffer.from(text).toString('latin1'));
  const start = '0000000000000000_0000000000000000';

  it.each(NUMBERS)('%s is taken or refused wherever a number stands, never a fault', async (n) => {
    await request('PUT', `${base}n`, { headers: TEXT, body: 'x' });
    const encoded = encodeURIComponent(n);
    const headers = (own: Record<string, string>) => ({ headers: { ...TEXT, ...own }, body: 'x' });
    const answers = await Promise.all([
      request('PUT', `${base}ttl`, headers({ 'stream-ttl': n })),
      request('PUT', `${base}expires`, headers({ 'stream-expires-at': n })),
      request(
        'PUT',
        `${base}fork`,
        headers({
          'stream-forked-from': '/v1/stream/n',
          'stream-fork-offset': start,
          'stream-fork-sub-offset': n,
        }),
      ),
      request(
        'POST',
        `${base}n`,
        headers({ 'producer-id': 'p', 'producer-epoch': n, 'producer-seq': '0' }),
      ),
      request(
        'POST',
        `${base}n`,
        headers({ 'producer-id': 'q', 'producer-epoch': '0', 'producer-seq': n }),
      ),
      request('POST', `${base}n`, headers({ 'stream-seq': n })),
      request('GET', `${base}n?offset=${encoded}`),
      request('GET', `${base}n?offset=${encoded}_${encoded}`),
      request('GET', `${base}n?offset=now&live=long-poll&cursor=${encoded}`),
      request('GET', `http://127.0.0.1:${port}/v1/streams?limit=${encoded}`),
    ]);
    for (const { status } of answers) expect([200, 201, 204, 400, 409]).toContain(status);
  });

  it('the largest that are safe work whole', async () => {
    const largest = '9007199254740991';
    const ttl = await request('PUT', `${base}ttl`, { headers: { ...TEXT, 'stream-ttl': largest } });
    expect(ttl.status).toBe(201);
    expect((await request('HEAD', `${base}ttl`)).headers['stream-ttl']).toBe(largest);
    expect((await request('GET', `${base}ttl`)).status).toBe(200);
    const headers = { ...TEXT, 'producer-id': 'p', 'producer-epoch': largest, 'producer-seq': '0' };
    const sent = await request('POST', `${base}ttl`, { headers, body: 'x' });
    expect([sent.status, sent.headers['producer-epoch']]).toEqual([200, largest]);
  });
});

describe('bombs', () => {
  const post = (headers: string, body: string): string =>
    `POST /v1/stream/b HTTP/1.1\r\n${HOST}Content-Type: text/plain\r\n${headers}\r\n\r\n${body}`;

  it.each([
    'gzip',
    'GZIP',
    'x-gzip',
    'deflate',
    'br',
    'zstd',
    'compress',
    'gzip, gzip',
    'identity, gzip',
    ' gzip',
    'gzip;q=1',
    'aws-chunked',
    '*',
  ])('a body in the coding %s is 415, and is not stored as it came', async (coding) => {
    await request('PUT', `${base}b`, { headers: TEXT });
    const headers = { ...TEXT, 'content-encoding': coding };
    for (const method of ['POST', 'PUT']) {
      const answer = await request(method, base + (method === 'PUT' ? 'new' : 'b'), {
        headers,
        body: 'x',
      });
      expect([answer.status, answer.code]).toEqual([415, 'UNSUPPORTED_ENCODING']);
    }
    expect(paths()).toEqual(['b']);
    expect((await request('GET', `${base}b`)).text).toBe('');
  });

  it('nested JSON, and too much of it, are 4xx', async () => {
    await request('PUT', `${base}j`, { headers: JSON_TYPE });
    const send = async (body: string) => {
      const { status, code } = await request('POST', `${base}j`, { headers: JSON_TYPE, body });
      return [status, code];
    };
    const depth = 1_000_000;
    expect(await send('['.repeat(depth) + ']'.repeat(depth))).toEqual([400, 'INVALID_JSON']);
    expect(await send('['.repeat(depth))).toEqual([400, 'INVALID_JSON']);
    expect(await send('{"a":'.repeat(depth))).toEqual([400, 'INVALID_JSON']);
    const count = LIMITS.maxJsonMessages;
    expect(await send(`[${'1,'.repeat(count)}1]`)).toEqual([413, 'BODY_TOO_LARGE']);
    expect(await send(`"${'\\u0061'.repeat(1_000_000)}"`)).toEqual([204, undefined]);
    expect(await send('9'.repeat(1_000_000))).toEqual([204, undefined]);
    expect(await send(`[${'1,'.repeat(count - 1)}1]`)).toEqual([204, undefined]);
  });

  it('long names, chunk extensions, trailers and queries are refused where they pass a limit', async () => {
    await request('PUT', `${base}b`, { headers: TEXT });
    const chunked = 'Transfer-Encoding: chunked';
    const long = 'x'.repeat(70_000);
    const statusOf = async (bytes: string): Promise<number | undefined> =>
      (await patientExchange(1_500, port, bytes)).statuses[0];
    expect(await statusOf(post(`${long}: 1\r\nContent-Length: 1`, 'x'))).toBe(431);
    expect(await statusOf(post(`A: ${long}\r\nContent-Length: 1`, 'x'))).toBe(431);
    expect(await statusOf(post(chunked, `1;${long}=1\r\nx\r\n0\r\n\r\n`))).toBe(413);
    expect(
      await statusOf(
        post(chunked, `1\r\nx\r\n0\r\n${`A: ${'b'.repeat(100)}\r\n`.repeat(1_000)}\r\n`),
      ),
    ).toBe(431);
    expect(await statusOf(`GET /v1/stream/b?${'a&'.repeat(4_090)} HTTP/1.1\r\n${HOST}\r\n`)).toBe(
      414,
    );
    expect(await statusOf(`GET /v1/stream/b?${'a&'.repeat(4_000)} HTTP/1.1\r\n${HOST}\r\n`)).toBe(
      200,
    );
    expect((await request('GET', `${base}b`)).text).toBe('');
  });

  it('a body of a hundred thousand chunks is one body', async () => {
    await request('PUT', `${base}b`, { headers: TEXT });
    const count = 100_000;
    const bytes = post('Transfer-Encoding: chunked', `${'1\r\nx\r\n'.repeat(count)}0\r\n\r\n`);
    expect((await patientExchange(5_000, port, bytes)).statuses).toEqual([204]);
    expect((await request('HEAD', `${base}b`)).nextOffset).toBe(
      `0000000000000001_${String(count).padStart(16, '0')}`,
    );
  });
});
