/**
 * What no client library would send: every bad request for key-value stores gets an answer below 500
 * with a stable code, nothing of it is stored, and the node goes on.
 */
import net from 'node:net';
import { LIMITS } from '@holdfast/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openNode, type HoldfastNode } from '../../src/index.ts';
import { patientExchange } from '../raw-exchange.ts';
import { ApiWitness } from './api-witness.ts';

let node: HoldfastNode;
let port: number;
let url: string;
let api: ApiWitness;

beforeAll(async () => {
  node = await openNode({ memory: true, maxBodyBytes: 64 * 1024 });
  ({ port, url } = await node.listen({ port: 0 }));
  api = await ApiWitness.of(url);
});
afterAll(() => node.close());

const HOST = 'Host: localhost';

function raw(line: string, headers: readonly string[] = [], body = ''): string {
  return [line, HOST, 'Connection: close', ...headers, '', body].join('\r\n');
}

async function stored(): Promise<number> {
  let count = 0;
  for await (const _ of node.kv.store('bad').keys()) count++;
  return count;
}

function codeIn(text: string): string | undefined {
  return /"code":"([A-Z_]+)"/.exec(text)?.[1];
}

const put = (target: string): string => `PUT ${target} HTTP/1.1`;
const CHUNKED = 'Transfer-Encoding: chunked';

const BAD: readonly [string, string, number, string][] = [
  ['a broken escape', raw(put('/v1/kv/bad/%'), ['Content-Length: 1'], 'x'), 400, 'INVALID_PATH'],
  ['half an escape', raw(put('/v1/kv/bad/%4'), ['Content-Length: 1'], 'x'), 400, 'INVALID_PATH'],
  [
    'bytes that are no UTF-8',
    raw(put('/v1/kv/bad/%ff'), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_PATH',
  ],
  [
    'half a surrogate pair',
    raw(put('/v1/kv/bad/%ed%a0%80'), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_PATH',
  ],
  [
    'overlong UTF-8',
    raw(put('/v1/kv/bad/%c0%af'), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_PATH',
  ],
  [
    'raw bytes above ASCII',
    raw(put('/v1/kv/bad/\xe4'), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_HEADER',
  ],
  ['a backslash', raw(put('/v1/kv/bad/a\\b'), ['Content-Length: 1'], 'x'), 400, 'INVALID_PATH'],
  ['a fragment', raw(put('/v1/kv/bad/a#b'), ['Content-Length: 1'], 'x'), 400, 'INVALID_PATH'],
  ['a dot segment', raw(put('/v1/kv/bad/a/../b'), ['Content-Length: 1'], 'x'), 400, 'INVALID_PATH'],
  [
    'a dot segment for a store',
    raw(put('/v1/kv/../kv/bad'), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_PATH',
  ],
  ['no key', raw(put('/v1/kv/bad/'), ['Content-Length: 1'], 'x'), 400, 'INVALID_ENTRY_KEY'],
  [
    'an empty key in the query',
    raw(put('/v1/kv/bad?key='), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_ENTRY_KEY',
  ],
  ['no store', raw(put('/v1/kv//a'), ['Content-Length: 1'], 'x'), 400, 'INVALID_ENTRY_KEY'],
  [
    'a key in both places',
    raw(put('/v1/kv/bad/a?key=b'), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_QUERY',
  ],
  [
    'a key twice',
    raw(put('/v1/kv/bad?key=a&key=b'), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_QUERY',
  ],
  [
    'a query that is not known',
    raw(put('/v1/kv/bad/a?ttl=5'), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_QUERY',
  ],
  [
    'a key that is too long',
    raw(put(`/v1/kv/bad/${'k'.repeat(LIMITS.maxEntryKeyBytes + 1)}`), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_ENTRY_KEY',
  ],
  [
    'a key that is too long once decoded',
    raw(put(`/v1/kv/bad/${'%E2%82%AC'.repeat(700)}`), ['Content-Length: 1'], 'x'),
    400,
    'INVALID_ENTRY_KEY',
  ],
  ['a URL that is too long', raw(put(`/v1/kv/bad/${'k'.repeat(9_000)}`)), 414, 'URL_TOO_LONG'],
  [
    'a length above the limit',
    raw(put('/v1/kv/bad/a'), ['Content-Length: 65537']),
    413,
    'BODY_TOO_LARGE',
  ],
  [
    'a length beyond all numbers',
    raw(put('/v1/kv/bad/a'), [`Content-Length: ${'9'.repeat(30)}`]),
    400,
    'INVALID_HEADER',
  ],
  ['a negative length', raw(put('/v1/kv/bad/a'), ['Content-Length: -1']), 400, 'INVALID_HEADER'],
  [
    'a length and chunks',
    raw(put('/v1/kv/bad/a'), ['Content-Length: 1', CHUNKED], '0\r\n\r\n'),
    400,
    'INVALID_HEADER',
  ],
  [
    'a chunk that is too large',
    raw(put('/v1/kv/bad/a'), [CHUNKED], `20000\r\n${'x'.repeat(0x20000)}\r\n0\r\n\r\n`),
    413,
    'BODY_TOO_LARGE',
  ],
  ['a chunk of no size', raw(put('/v1/kv/bad/a'), [CHUNKED], 'zz\r\n'), 400, 'INVALID_HEADER'],
  [
    'a coded body',
    raw(put('/v1/kv/bad/a'), ['Content-Encoding: gzip', 'Content-Length: 1'], 'x'),
    415,
    'UNSUPPORTED_ENCODING',
  ],
  [
    'a coded transfer',
    raw(put('/v1/kv/bad/a'), ['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
    415,
    'UNSUPPORTED_ENCODING',
  ],
  [
    'a header twice',
    raw(put('/v1/kv/bad/a'), ['Holdfast-Kv-Ttl-Ms: 5', 'Holdfast-Kv-Ttl-Ms: 6']),
    400,
    'INVALID_HEADER',
  ],
  [
    'an expectation',
    raw(put('/v1/kv/bad/a'), ['Expect: magic', 'Content-Length: 1'], 'x'),
    417,
    'EXPECTATION_FAILED',
  ],
  [
    'a condition that is none',
    raw(put('/v1/kv/bad/a'), ['If-Match: 5', 'Content-Length: 1'], 'x'),
    400,
    'INVALID_HEADER',
  ],
  [
    'a tag with a line break in it',
    raw(put('/v1/kv/bad/a'), ['If-Match: "a\tb"', 'Content-Length: 1'], 'x'),
    400,
    'INVALID_HEADER',
  ],
  ['another host', raw(put('/v1/kv/bad/a'), ['Host: evil.example']), 400, 'INVALID_HEADER'],
  ['an unknown method', raw('PURGE /v1/kv/bad/a HTTP/1.1'), 405, 'METHOD_NOT_ALLOWED'],
  ['a watch from no number', raw('GET /v1/kv/bad?watch&since=abc HTTP/1.1'), 400, 'INVALID_QUERY'],
  ['a watch from below 0', raw('GET /v1/kv/bad?watch&since=-1 HTTP/1.1'), 400, 'INVALID_QUERY'],
  ['a watch of no kind', raw('GET /v1/kv/bad?watch=websocket HTTP/1.1'), 400, 'INVALID_QUERY'],
  [
    'a watch from what is to come',
    raw('GET /v1/kv/bad?watch&since=9007199254740991 HTTP/1.1'),
    410,
    'CHANGES_TRIMMED',
  ],
  [
    'a last event that is none',
    raw('GET /v1/kv/bad?watch HTTP/1.1', ['Last-Event-ID: x\xff']),
    400,
    'INVALID_HEADER',
  ],
  ['a watch that lists', raw('GET /v1/kv/bad?watch&order=key HTTP/1.1'), 400, 'INVALID_QUERY'],
  ['a path beside', raw('GET /v1/kvs HTTP/1.1'), 404, 'ROUTE_NOT_FOUND'],
  [
    'HTTP/1.0 chunks',
    [put('/v1/kv/bad/a').replace('1.1', '1.0'), CHUNKED, '', '0\r\n\r\n'].join('\r\n'),
    400,
    'INVALID_HEADER',
  ],
];

describe('what no library sends', () => {
  it.each(BAD)('%s', async (_, bytes, status, code) => {
    const before = await stored();
    const { statuses, text } = await patientExchange(60_000, port, bytes);
    expect([statuses[0], codeIn(text)]).toEqual([status, code]);
    expect(await stored()).toBe(before);
    expect(text).toContain('application/problem+json');
    api.checkRaw(bytes, text);
  });

  it('is below 500 for every byte in a key, raw and encoded', async () => {
    for (let byte = 0; byte < 256; byte++) {
      const hex = `%${byte.toString(16).padStart(2, '0')}`;
      for (const key of [String.fromCharCode(byte), hex]) {
        const { statuses } = await patientExchange(
          60_000,
          port,
          raw(`GET /v1/kv/bytes/a${key}b HTTP/1.1`),
        );
        expect([key, statuses[0] ?? 0]).toEqual([
          key,
          expect.toSatisfy((n: number) => n >= 400 && n < 500),
        ]);
      }
    }
  }, 120_000);
});

describe('bodies that do not come', () => {
  it('one that breaks off stores nothing', async () => {
    for (const head of [['Content-Length: 10'], [CHUNKED]]) {
      const socket = net.connect(port, '127.0.0.1');
      await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
      const part = head[0] === CHUNKED ? '5\r\nhello\r\n' : 'hello';
      const gone = new Promise((resolve) => socket.once('close', resolve));
      socket.write(raw(put('/v1/kv/bad/broken'), head, part), () => socket.destroy());
      await gone;
    }
    // Requests of another connection begin after those that were there before.
    expect((await api.request('GET', '/v1/kv/bad/broken')).status).toBe(404);
  });

  it('one that drips is 408, by the listener’s pace', async () => {
    const slow = await openNode({ memory: true, minBodyBytesPerSecond: 1024 * 1024 });
    const at = await slow.listen({ port: 0 });
    const head = raw(put('/v1/kv/slow/a'), ['Content-Length: 1000'], 'x');
    const { statuses, text } = await patientExchange(60_000, at.port, head);
    expect([statuses[0], codeIn(text)]).toEqual([408, 'REQUEST_TIMEOUT']);
    expect(await slow.kv.store('slow').get('a')).toBeUndefined();
    await slow.close();
  }, 90_000);
});

describe('after all of that', () => {
  it('the node answers, and readiness says so', async () => {
    expect((await api.request('PUT', '/v1/kv/good/a', { body: 'x' })).status).toBe(204);
    expect((await api.request('GET', '/readyz')).status).toBe(200);
    expect((await api.request('GET', '/v1/kv/good/a')).text).toBe('x');
  });
});
