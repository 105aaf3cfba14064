/** Every bad request gets a 4xx with a stable code; none gets a 5xx and nothing of it is stored. */
import net from 'node:net';
import { ERROR_CODES, LIMITS } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { expectStatus, JSON_TYPE, OCTETS, readAll, request } from './http-request.ts';
import { residentBytes, hasProcessCounters } from './process-counters.ts';
import { exchange, patientExchange } from './raw-exchange.ts';
import { useServer } from './use-server.ts';

const MIB = 1024 * 1024;
const START = '0000000000000000_0000000000000000';
const server = useServer({ longPollTimeoutMs: 300 });

interface BadRequest {
  readonly name: string;
  readonly method: string;
  readonly query?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
  readonly status?: number;
  /** One of these. */
  readonly codes: readonly (keyof typeof ERROR_CODES)[];
}

const producer = (id: string, epoch: string, seq: string): Record<string, string> => ({
  ...OCTETS,
  'producer-id': id,
  'producer-epoch': epoch,
  'producer-seq': seq,
});

const OFFSETS = [
  '',
  '0',
  '-2',
  '--1',
  '+1',
  'NOW',
  'Now',
  'start',
  'null',
  'undefined',
  'NaN',
  '1e3',
  '0x10',
  '0_0',
  '000000000000000_0000000000000000',
  '00000000000000000_0000000000000000',
  '0000000000000000-0000000000000000',
  '0000000000000000_000000000000000',
  '0000000000000000_0000000000000000_0',
  '000000000000000a_0000000000000000',
  '-000000000000001_0000000000000000',
  '%200000000000000000_0000000000000000',
  '0000000000000000_0000000000000000%20',
  '0000000000000000_0000000000000000%00',
  '%EF%BC%90000000000000000_0000000000000000',
  '9999999999999999_9999999999999999',
  '../../etc/passwd',
  "0' OR '1'='1",
  '0'.repeat(4_000),
].map((offset) => encodeOnce(offset));

/** Escapes what a request line cannot hold, and leaves escapes as they are. */
function encodeOnce(text: string): string {
  return text.replaceAll(/[^\w%.~/+*()-]/g, (char) => encodeURIComponent(char));
}

const QUERIES = [
  ...OFFSETS.map((offset) => `offset=${offset}`),
  `offset=${START}&offset=${START}`,
  `offset=${START}&live=tail`,
  `offset=${START}&live=`,
  `offset=${START}&live=SSE`,
  `offset=${START}&live=sse&live=long-poll`,
  'live=sse',
  'live=long-poll',
  'offset=%zz',
  'offset=%ff',
];

const READS: BadRequest[] = QUERIES.map((query) => ({
  name: `GET ?${query.slice(0, 60)}`,
  method: 'GET',
  query,
  codes: ['INVALID_OFFSET', 'INVALID_QUERY'],
}));

const APPENDS: BadRequest[] = [
  { name: 'no content type', method: 'POST', body: 'x', codes: ['INVALID_HEADER'] },
  { name: 'no body', method: 'POST', headers: OCTETS, codes: ['EMPTY_BODY'] },
  { name: 'an empty body', method: 'POST', headers: OCTETS, body: '', codes: ['EMPTY_BODY'] },
  {
    name: 'another content type',
    method: 'POST',
    headers: JSON_TYPE,
    body: '{}',
    status: 409,
    codes: ['CONTENT_TYPE_MISMATCH'],
  },
  {
    name: 'a content type that is none',
    method: 'POST',
    headers: { 'content-type': 'not a type' },
    body: 'x',
    codes: ['INVALID_HEADER', 'CONTENT_TYPE_MISMATCH'],
  },
  {
    name: 'an encoded body',
    method: 'POST',
    headers: { ...OCTETS, 'content-encoding': 'gzip' },
    body: 'x',
    status: 415,
    codes: ['UNSUPPORTED_ENCODING'],
  },
  {
    name: 'a body beyond the limit',
    method: 'POST',
    headers: OCTETS,
    body: Buffer.alloc(LIMITS.maxBodyBytes + 1),
    status: 413,
    codes: ['BODY_TOO_LARGE'],
  },
  ...['', ' '].map((id) => appendBy('an empty producer id', producer(id, '0', '0'))),
  appendBy('a producer id beyond the limit', producer('p'.repeat(2_000), '0', '0'), [
    'INVALID_PRODUCER',
    'INVALID_HEADER',
  ]),
  ...[
    '-1',
    '+1',
    '1.5',
    '1e3',
    '01',
    'x',
    '',
    '9007199254740992',
    '9'.repeat(40),
    '0x1',
    'NaN',
  ].flatMap((bad) => [
    appendBy(`producer epoch ${bad}`, producer('p', bad, '0')),
    appendBy(`producer seq ${bad}`, producer('p', '0', bad)),
  ]),
  appendBy('a producer id alone', { ...OCTETS, 'producer-id': 'p' }),
  appendBy('a producer without a seq', {
    ...OCTETS,
    'producer-id': 'p',
    'producer-epoch': '0',
  }),
  appendBy('a new producer that does not begin at 0', producer('late', '0', '7'), [
    'PRODUCER_SEQ_GAP',
    'INVALID_PRODUCER',
  ]),
  appendBy('a Stream-Seq beyond the limit', { ...OCTETS, 'stream-seq': 's'.repeat(3_000) }, [
    'INVALID_HEADER',
  ]),
];

function appendBy(
  name: string,
  headers: Record<string, string>,
  codes: BadRequest['codes'] = ['INVALID_PRODUCER'],
): BadRequest {
  return { name, method: 'POST', headers, body: 'must not be stored', codes };
}

const CREATES: BadRequest[] = [
  createBy('both expiries', {
    'stream-ttl': '60',
    'stream-expires-at': '2099-01-01T00:00:00Z',
  }),
  createBy('a fork of nothing', { 'stream-forked-from': '/v1/stream/absent' }, 404, [
    'STREAM_NOT_FOUND',
  ]),
  ...[
    '',
    'relative',
    '/other/stream/target',
    'http://127.0.0.1/v1/stream/target',
    '/v1/stream/',
    '/v1/stream/../target',
    '/v1/stream/%zz',
  ].map((source) =>
    createBy(`a fork of ${JSON.stringify(source)}`, { 'stream-forked-from': source }, null),
  ),
  ...['now', 'x', '9999999999999999_9999999999999999', '0000000000000009_0000000000000900'].map(
    (offset) =>
      createBy(`a fork at ${offset}`, {
        'stream-forked-from': '/v1/stream/target',
        'stream-fork-offset': offset,
      }),
  ),
  ...['-1', '1.5', 'x', '999', '01', '+1', '9007199254740993', ' '].map((sub) =>
    createBy(`a fork with sub-offset ${sub}`, {
      'stream-forked-from': '/v1/stream/target',
      'stream-fork-sub-offset': sub,
    }),
  ),
  createBy('a fork offset without a source', { 'stream-fork-offset': START }),
  createBy(
    'another content type than its source',
    {
      'stream-forked-from': '/v1/stream/target',
      'content-type': 'text/plain',
    },
    409,
  ),
  createBy('a content type beyond the limit', { 'content-type': `text/${'x'.repeat(2_000)}` }),
];

function createBy(
  name: string,
  headers: Record<string, string>,
  /** `null`: any 4xx. */
  status: number | null = 400,
  codes: BadRequest['codes'] = [],
): BadRequest {
  return { name, method: 'PUT', headers, codes, ...(status === null ? {} : { status }) };
}

describe('bad requests to a stream', () => {
  const all = [...READS, ...APPENDS, ...CREATES];
  it.each(all.map((bad) => [bad.method, bad.name, bad] as const))('%s: %s', async (_m, _n, bad) => {
    const target = server().stream('target');
    await expectStatus([200, 201], 'PUT', target, { headers: OCTETS });
    const tail = (await expectStatus(200, 'HEAD', target)).nextOffset;
    if (tail === START) await expectStatus(204, 'POST', target, { headers: OCTETS, body: 'kept' });

    const fresh = server().stream('never-made');
    const url = bad.method === 'PUT' ? fresh : target;
    const answer = await request(bad.method, url + (bad.query ? `?${bad.query}` : ''), {
      ...(bad.headers === undefined ? {} : { headers: bad.headers }),
      ...(bad.body === undefined ? {} : { body: bad.body }),
    });
    const is4xx = answer.status >= 400 && answer.status < 500;
    expect([answer.status, answer.text]).toEqual([
      bad.status ?? (is4xx ? answer.status : '4xx'),
      answer.text,
    ]);
    expect(bad.codes.length > 0 ? bad.codes : Object.keys(ERROR_CODES)).toContain(answer.code);

    expect((await readAll(target)).toString()).toBe('kept');
    expect((await request('HEAD', fresh)).status).toBe(404);
  });
});

describe('bad paths', () => {
  it.each([
    ['/v1/stream/', 400],
    ['/v1/stream', 404],
    ['/v1/stream//', 400],
    ['/v1/stream/a//b', 400],
    ['/v1/stream/a/', 400],
    ['/v1/stream/%', 400],
    ['/v1/stream/%zz', 400],
    ['/v1/stream/%ff', 400],
    ['/v1/stream/%C0%AF', 400],
    ['/v1/stream/a%00b', 400],
    ['/v1/stream/a%0Ab', 400],
    ['/v1/stream/a%5Cb', 400],
    [`/v1/stream/${'a/'.repeat(60)}a`, 400],
    ['/', 404],
    ['/other', 404],
    ['/v2/stream/a', 404],
    ['/V1/STREAM/a', 404],
    ['/_test/inject-error', 404],
  ])('PUT %s is refused', async (path, status) => {
    const answer = await request('PUT', server().url + path, { headers: OCTETS });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(Object.keys(ERROR_CODES)).toContain(answer.code);
    if (answer.status !== status) console.log(`bad path ${path}: ${answer.status} ${answer.code}`);
  });
});

describe('requests that two readers would understand differently', () => {
  const smuggled = 'PUT /v1/stream/smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
  const post = (headers: string, body: string): string =>
    `POST /v1/stream/carrier HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n${headers}\r\n\r\n${body}`;
  const chunked = 'Transfer-Encoding: chunked';

  it.each([
    ['a length and chunks', post(`Content-Length: 6\r\n${chunked}`, `0\r\n\r\n${smuggled}`)],
    ['chunks and a length', post(`${chunked}\r\nContent-Length: 6`, `0\r\n\r\n${smuggled}`)],
    ['two lengths', post('Content-Length: 3\r\nContent-Length: 0', `abc${smuggled}`)],
    ['a list of lengths', post('Content-Length: 3, 0', `abc${smuggled}`)],
    ['a signed length', post('Content-Length: +3', `abc${smuggled}`)],
    ['a length in hex', post('Content-Length: 0x3', `abc${smuggled}`)],
    ['an unknown coding', post('Transfer-Encoding: xchunked', `0\r\n\r\n${smuggled}`)],
    ['chunked not last', post('Transfer-Encoding: chunked, identity', `0\r\n\r\n${smuggled}`)],
    [
      'a coding behind a tab',
      post('Transfer-Encoding:\tchunked\r\nContent-Length: 3', `abc${smuggled}`),
    ],
    ['a space before the colon', post('Content-Length : 3', `abc${smuggled}`)],
    ['a folded header', post('X: a\r\n Content-Length: 3\r\nContent-Length: 0', smuggled)],
    ['bare line feeds', post('Content-Length: 0', '').replaceAll('\r\n', '\n') + smuggled],
    ['a bare carriage return', post('X: a\rContent-Length: 3', `abc${smuggled}`)],
    ['a zero byte in a header', post('X: a\0b', smuggled)],
    ['a chunk size that is none', post(chunked, `zz\r\nabc\r\n0\r\n\r\n${smuggled}`)],
    ['a negative chunk size', post(chunked, `-1\r\nabc\r\n0\r\n\r\n${smuggled}`)],
    [
      'a chunk size beyond 64 bits',
      post(chunked, `fffffffffffffffff\r\nabc\r\n0\r\n\r\n${smuggled}`),
    ],
    ['a chunk longer than it says', post(chunked, `1\r\nabc\r\n0\r\n\r\n${smuggled}`)],
    ['no host', 'GET /v1/stream/carrier HTTP/1.1\r\n\r\n'],
    ['two hosts', 'GET /v1/stream/carrier HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n'],
    ['a foreign host', 'GET /v1/stream/carrier HTTP/1.1\r\nHost: evil.example\r\n\r\n'],
    ['an unknown version', 'GET /v1/stream/carrier HTTP/3.7\r\nHost: 127.0.0.1\r\n\r\n'],
    ['an unknown method', 'FROB /v1/stream/carrier HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
    ['a target with a space', 'GET /v1/stream/a b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
    [
      'headers beyond the limit',
      `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`,
    ],
    [
      'two thousand headers',
      `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n${'X: yyyyyyyyyy\r\n'.repeat(3_000)}\r\n`,
    ],
    [
      'noise',
      Buffer.from(Array.from({ length: 500 }, (_, n) => (n * 89 + 7) % 256)).toString('latin1'),
    ],
    ['a TLS greeting', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ])('%s: refused once, and nothing behind it is run', async (_name, bytes) => {
    await expectStatus([200, 201], 'PUT', server().stream('carrier'), {
      headers: { 'content-type': 'text/plain' },
    });
    const answer = await exchange(server().port, bytes);
    for (const status of answer.statuses) {
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
    }
    expect(answer.statuses.length).toBeLessThanOrEqual(1);
    expect((await readAll(server().stream('carrier'))).length).toBe(0);
    expect((await request('HEAD', server().stream('smuggled'))).status).toBe(404);
  });

  it('clients that never end their headers are cut, and hold nobody up meanwhile', async () => {
    const head = 'POST /v1/stream/carrier HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ';
    const slow = Array.from({ length: 50 }, () => net.connect(server().port, '127.0.0.1'));
    const cut = slow.map((socket) => {
      socket.on('error', () => undefined).resume();
      socket.write(head);
      return new Promise<void>((resolve) => socket.once('close', () => resolve()));
    });
    // One byte now and then keeps an idle time-out away, but not the time for all headers.
    const drip = setInterval(() => {
      for (const socket of slow) if (socket.writable) socket.write('x');
    }, 500);
    try {
      await expectStatus(200, 'GET', `${server().url}/livez`);
      await Promise.all(cut);
    } finally {
      clearInterval(drip);
      for (const socket of slow) socket.destroy();
    }
  }, 20_000);
});

describe('size', () => {
  // Memory of the server is read from /proc.
  it.skipIf(!hasProcessCounters)(
    'a body of 600 MB is refused and does not rest in memory',
    async () => {
      await expectStatus(201, 'PUT', server().stream('big'), { headers: OCTETS });
      const before = residentBytes(server().pid);
      for (const framing of ['Content-Length: 629145600', 'Transfer-Encoding: chunked']) {
        const head = `POST /v1/stream/big HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n${framing}\r\n\r\n`;
        const piece = Buffer.alloc(8 * MIB, 'z');
        const size = Buffer.from(`${piece.length.toString(16)}\r\n`);
        const pieces = framing.startsWith('T')
          ? Array.from({ length: 75 }, () => [size, piece, Buffer.from('\r\n')]).flat()
          : Array.from({ length: 75 }, () => piece);
        const answer = await patientExchange(5_000, server().port, head, ...pieces);
        // Who sends that much may be cut off before it reads the answer; accepted it is never.
        expect(answer.statuses.filter((status) => status !== 413)).toEqual([]);
        expect(answer.closed).toBe(true);
      }
      expect(residentBytes(server().pid) - before).toBeLessThan(128 * MIB);
      expect((await readAll(server().stream('big'))).length).toBe(0);
    },
  );
});
