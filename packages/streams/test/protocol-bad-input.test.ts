/** Every kind of bad input: a client error with a stable code, and nothing stored. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MemoryStreamStore } from './memory-stream-store.ts';
import { serveProtocol, type ProtocolServer } from './protocol-server.ts';
import { RawReader, sendRaw } from './raw-http.ts';

const MAX_BODY_BYTES = 64 * 1024;
const store = new MemoryStreamStore();
let served: ProtocolServer;
let writes = 0;

beforeAll(async () => {
  served = await serveProtocol(store, { maxBodyBytes: MAX_BODY_BYTES, longPollTimeoutMs: 200 });
  await store.create({ path: 'text', contentType: 'text/plain', closed: false });
  await store.create({ path: 'json', contentType: 'application/json', closed: false });
});
beforeEach(() => {
  writes = store.writes;
});
afterAll(() => served.close());

function requestText(line: string, headers: readonly string[], body: string | Uint8Array): Buffer {
  const bytes = Buffer.from(body);
  const head = [
    `${line} HTTP/1.1`,
    'Host: x',
    ...headers,
    `Content-Length: ${bytes.length}`,
    '',
    '',
  ];
  return Buffer.concat([Buffer.from(head.join('\r\n'), 'latin1'), bytes]);
}

async function expectRefused(request: Buffer, status: number, code: string): Promise<void> {
  const answer = await sendRaw(served.port, request);
  const problem = JSON.parse(answer.body.toString()) as Record<string, unknown>;
  expect([answer.status, problem['code']]).toEqual([status, code]);
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(Object.keys(problem).sort()).toEqual(['code', 'detail', 'status', 'title', 'type']);
  expect(problem['status']).toBe(status);
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(store.writes).toBe(writes);
  expect(store.size).toBe(2);
}

const T = 'Content-Type: text/plain';
const J = 'Content-Type: application/json';
const P = (id: string, epoch: string, seq: string): string[] => [
  `Producer-Id: ${id}`,
  `Producer-Epoch: ${epoch}`,
  `Producer-Seq: ${seq}`,
];
const FORK = 'Stream-Forked-From: /v1/stream/text';
const START = '0000000000000000_0000000000000000';

describe('bad input', () => {
  it.each([
    ['GET /v1/stream/text?offset=', 400, 'INVALID_OFFSET'],
    ['GET /v1/stream/text?offset=x', 400, 'INVALID_OFFSET'],
    ['GET /v1/stream/text?offset=9999999999999999_9999999999999999', 400, 'INVALID_OFFSET'],
    ['GET /v1/stream/text?offset=-1&offset=now', 400, 'INVALID_QUERY'],
    ['GET /v1/stream/text?live=sse', 400, 'INVALID_QUERY'],
    ['GET /v1/stream/text?live=long-poll', 400, 'INVALID_QUERY'],
    ['GET /v1/stream/text?live=maybe&offset=-1', 400, 'INVALID_QUERY'],
    ['GET /v1/stream/text?offset=%ff', 400, 'INVALID_QUERY'],
    ['GET /v1/stream/../text', 400, 'INVALID_PATH'],
    ['GET /v1/stream/a//b', 400, 'INVALID_PATH'],
    ['PUT /v1/stream/../../etc/passwd', 400, 'INVALID_PATH'],
    ['PUT /v1/stream/%2e%2e/x', 400, 'INVALID_PATH'],
    ['PUT /v1/stream/a%00b', 400, 'INVALID_PATH'],
    [`PUT /v1/stream/${'x'.repeat(6000)}`, 414, 'URL_TOO_LONG'],
    [`GET /v1/stream/text?x=${'x'.repeat(9000)}`, 414, 'URL_TOO_LONG'],
    ['PUT /v1/stream/__ds/x', 404, 'ROUTE_NOT_FOUND'],
    ['PUT /v1/stream/', 404, 'ROUTE_NOT_FOUND'],
    ['PUT /elsewhere', 404, 'ROUTE_NOT_FOUND'],
    ['GET /v1/stream/__proto__', 404, 'STREAM_NOT_FOUND'],
    ['DELETE /v1/stream/constructor', 404, 'STREAM_NOT_FOUND'],
    ['PATCH /v1/stream/text', 405, 'METHOD_NOT_ALLOWED'],
    ['PROPFIND /v1/stream/text', 405, 'METHOD_NOT_ALLOWED'],
  ])('%s', async (line, status, code) => {
    await expectRefused(requestText(line, [], ''), status, code);
  });

  it.each<[string, string[], string, number, string]>([
    ['no type', [], 'x', 400, 'INVALID_HEADER'],
    ['bad type', ['Content-Type: text'], 'x', 400, 'INVALID_HEADER'],
    ['two types', [T, T], 'x', 400, 'INVALID_HEADER'],
    ['another type', [J], '1', 409, 'CONTENT_TYPE_MISMATCH'],
    ['no body', [T], '', 400, 'EMPTY_BODY'],
    ['gzip', [T, 'Content-Encoding: gzip'], 'x', 415, 'UNSUPPORTED_ENCODING'],
    ['empty Stream-Seq', [T, 'Stream-Seq:'], 'x', 400, 'INVALID_HEADER'],
    ['long Stream-Seq', [T, `Stream-Seq: ${'9'.repeat(257)}`], 'x', 400, 'INVALID_HEADER'],
    ['two Stream-Seq', [T, 'Stream-Seq: 1', 'stream-seq: 2'], 'x', 400, 'INVALID_HEADER'],
    ['producer in part', [T, 'Producer-Id: p'], 'x', 400, 'INVALID_PRODUCER'],
    ['empty producer', [T, ...P('', '0', '0')], 'x', 400, 'INVALID_PRODUCER'],
    ['epoch 2^53', [T, ...P('p', '9007199254740992', '0')], 'x', 400, 'INVALID_PRODUCER'],
    ['seq 2^53', [T, ...P('p', '0', '9007199254740992')], 'x', 400, 'INVALID_PRODUCER'],
    ['seq 1e3', [T, ...P('p', '0', '1e3')], 'x', 400, 'INVALID_PRODUCER'],
    ['seq gap', [T, ...P('__proto__', '0', '5')], 'x', 409, 'PRODUCER_SEQ_GAP'],
    ['body over the limit', [T], 'x'.repeat(MAX_BODY_BYTES + 1), 413, 'BODY_TOO_LARGE'],
    ['foreign page', [T, 'Origin: https://evil.example'], 'x', 403, 'ORIGIN_NOT_ALLOWED'],
  ])('append: %s', async (_title, headers, body, status, code) => {
    await expectRefused(requestText('POST /v1/stream/text', headers, body), status, code);
  });

  it.each<[string, string | Uint8Array]>([
    ['half an object', '{"a":'],
    ['two values', '1 2'],
    ['a trailing comma', '[1,]'],
    ['a single quote', "{'a':1}"],
    ['NaN', 'NaN'],
    ['a leading zero', '01'],
    ['only space', '  '],
    ['a byte order mark', '\ufeff1'],
    ['a control character', '"\u0001"'],
    ['an escaped lone surrogate', '"\\ud800"'],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['too many levels', '['.repeat(5000) + ']'.repeat(5000)],
  ])('JSON with %s', async (_title, body) => {
    await expectRefused(requestText('POST /v1/stream/json', [J], body), 400, 'INVALID_JSON');
    await expectRefused(requestText('PUT /v1/stream/new', [J], body), 400, 'INVALID_JSON');
  });

  it.each<[string, string[], number, string]>([
    ['TTL 01', ['Stream-TTL: 01'], 400, 'INVALID_TTL'],
    ['TTL 2^53', ['Stream-TTL: 9007199254740992'], 400, 'INVALID_TTL'],
    ['TTL 1e20', ['Stream-TTL: 99999999999999999999'], 400, 'INVALID_TTL'],
    ['date alone', ['Stream-Expires-At: 2099-01-01'], 400, 'INVALID_TTL'],
    ['31 April', ['Stream-Expires-At: 2099-04-31T00:00:00Z'], 400, 'INVALID_TTL'],
    ['both', ['Stream-TTL: 5', 'Stream-Expires-At: 2099-01-01T00:00:00Z'], 400, 'INVALID_TTL'],
    ['TTL twice', ['Stream-TTL: 5', 'Stream-TTL: 5'], 400, 'INVALID_HEADER'],
    ['fork of nothing', ['Stream-Forked-From: /v1/stream/none'], 404, 'STREAM_NOT_FOUND'],
    ['fork of elsewhere', ['Stream-Forked-From: /etc/passwd'], 400, 'INVALID_HEADER'],
    ['fork upwards', ['Stream-Forked-From: /v1/stream/../text'], 400, 'INVALID_HEADER'],
    ['fork of a reserved path', ['Stream-Forked-From: /v1/stream/__ds/x'], 400, 'INVALID_HEADER'],
    ['fork offset alone', [`Stream-Fork-Offset: ${START}`], 400, 'INVALID_HEADER'],
    ['sub-offset alone', ['Stream-Fork-Sub-Offset: 0'], 400, 'INVALID_HEADER'],
    ['bad fork offset', [FORK, 'Stream-Fork-Offset: now'], 400, 'INVALID_OFFSET'],
    [
      'sub-offset 01',
      [FORK, `Stream-Fork-Offset: ${START}`, 'Stream-Fork-Sub-Offset: 01'],
      400,
      'INVALID_HEADER',
    ],
    ['sub-offset at no offset', [FORK, 'Stream-Fork-Sub-Offset: 1'], 400, 'INVALID_HEADER'],
    ['gzip', ['Content-Encoding: br'], 415, 'UNSUPPORTED_ENCODING'],
    ['bad type', ['Content-Type: ;'], 400, 'INVALID_HEADER'],
  ])('create: %s', async (_title, headers, status, code) => {
    await expectRefused(requestText('PUT /v1/stream/new', headers, ''), status, code);
  });

  it('a body that is more than chunked by its transfer is refused, never stored as it comes', async () => {
    for (const line of ['POST /v1/stream/text', 'PUT /v1/stream/new']) {
      const head = `${line} HTTP/1.1\r\nHost: x\r\n${T}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n`;
      await expectRefused(Buffer.from(`${head}1\r\nx\r\n0\r\n\r\n`), 415, 'UNSUPPORTED_ENCODING');
    }
  });

  it('a 405 says what is allowed, a 415 which coding', async () => {
    const wrongMethod = await sendRaw(served.port, requestText('PATCH /v1/stream/text', [], ''));
    expect(wrongMethod.headers.get('allow')).toBe('GET, HEAD, POST, PUT, DELETE, OPTIONS');
    const coded = requestText('POST /v1/stream/text', [T, 'Content-Encoding: gzip'], 'x');
    expect((await sendRaw(served.port, coded)).headers.get('accept-encoding')).toBe('identity');
  });

  it('a body that is announced too long is refused before it comes, and the connection ends', async () => {
    const head = `POST /v1/stream/text HTTP/1.1\r\nHost: x\r\n${T}\r\nContent-Length: 999999999\r\n\r\n`;
    const answer = await sendRaw(served.port, head);
    expect([answer.status, answer.closed]).toEqual([413, true]);
    expect(answer.headers.get('connection')).toBe('close');
    expect(store.writes).toBe(writes);
  });

  it('a chunked body is refused where it passes the limit', async () => {
    const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`;
    const head = `POST /v1/stream/text HTTP/1.1\r\nHost: x\r\n${T}\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const answer = await sendRaw(served.port, head + chunk.repeat(3));
    expect([answer.status, answer.closed]).toEqual([413, true]);
    expect(store.writes).toBe(writes);
  });

  it('an upload that breaks off stores nothing', async () => {
    for (const framing of [
      'Content-Length: 10\r\n\r\nhalf',
      'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    ]) {
      const { socket } = new RawReader(
        served.port,
        `POST /v1/stream/text HTTP/1.1\r\nHost: x\r\n${T}\r\n${framing}`,
      );
      const before = served.protocol.stats.requests;
      while (served.protocol.stats.requests === before) await new Promise((r) => setTimeout(r, 2));
      socket.destroy();
      await sendRaw(served.port, requestText('GET /v1/stream/text', [], ''));
      expect(store.writes).toBe(writes);
    }
  });

  it('what fails inside is told without a word of it', async () => {
    const broken = new MemoryStreamStore();
    broken.stat = () => {
      throw new Error('/secret/path exploded');
    };
    broken.append = () => Promise.reject(new TypeError('/secret/path exploded'));
    const own = await serveProtocol(broken);
    const answer = await sendRaw(own.port, requestText('POST /v1/stream/text', [T], 'x'));
    await own.close();
    expect(answer.status).toBe(500);
    expect(answer.body.toString()).toContain('INTERNAL_ERROR');
    expect(answer.body.toString()).not.toContain('secret');
  });
});
