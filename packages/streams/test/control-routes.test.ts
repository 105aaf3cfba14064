/** The routes under `__ds` over HTTP: what reaches the store, what comes back, what is refused. */
import net from 'node:net';
import { HoldfastError, LIMITS, type ErrorCode } from '@holdfast/core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { controlEndpoints } from '../src/protocol/subscriptions/control-endpoints.ts';
import { CONFIG, FakeSubscriptionStore, INFO, KEYS } from './fake-subscription-store.ts';
import { MemoryStreamStore } from './memory-stream-store.ts';
import { serveProtocol, type ProtocolServer } from './protocol-server.ts';
import { sendRaw } from './raw-http.ts';

const BASE = '/v1/stream/__ds';
const TOKEN = 'a-token-for-claims-1';
const OTHER_TOKEN = 'a-token-for-claims-2';
const OFFSET = '0000000000000002_0000000000000084';
const PUBLIC_URL = 'https://streams.example/holdfast';
const JSON_TYPE = 'Content-Type: application/json';

const streams = new MemoryStreamStore();
let store: FakeSubscriptionStore;
let publicUrl: string | undefined;
let claims = { open: false, tokens: [OTHER_TOKEN, TOKEN] };
let served: ProtocolServer;

beforeAll(async () => {
  await serve();
});
beforeEach(() => {
  store.calls.length = 0;
  store.error = undefined;
  store.info = INFO;
  store.created = true;
  publicUrl = PUBLIC_URL;
});
afterAll(() => served.close());

async function serve(): Promise<void> {
  store = new FakeSubscriptionStore();
  served = await serveProtocol(
    streams,
    { longPollTimeoutMs: 200, maxUnsentBytes: 1024 * 1024 },
    { store, claims, endpoints: controlEndpoints('/v1/stream/', () => publicUrl) },
  );
}

interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly json: Record<string, unknown>;
  readonly text: string;
}

async function ask(line: string, body?: unknown, headers: readonly string[] = []): Promise<Answer> {
  const text = typeof body === 'string' || body instanceof Buffer ? body : JSON.stringify(body);
  const bytes = text === undefined ? Buffer.alloc(0) : Buffer.from(text);
  const head = [
    `${line.replace(' ', ` ${BASE}`)} HTTP/1.1`,
    'Host: x',
    // Nothing but the end of the connection says that a HEAD is answered.
    ...(line.startsWith('HEAD') ? ['Connection: close'] : []),
    ...(body === undefined ? [] : [JSON_TYPE]),
    ...headers,
    ...(body === undefined ? [] : [`Content-Length: ${bytes.length}`]),
    '',
    '',
  ].join('\r\n');
  const answer = await sendRaw(served.port, Buffer.concat([Buffer.from(head, 'latin1'), bytes]));
  const answered = answer.body.toString();
  const isJson = (answer.headers.get('content-type') ?? '').includes('json') && answered !== '';
  return {
    status: answer.status,
    headers: answer.headers,
    text: answered,
    json: isJson ? (JSON.parse(answered) as Record<string, unknown>) : {},
  };
}

const bearer = (token: string): string[] => [`Authorization: Bearer ${token}`];
const WEBHOOK = { type: 'webhook', pattern: 'a/*', webhook: { url: 'https://worker.example/' } };
const PULL = { type: 'pull-wake', streams: ['a'], wake_stream: 'wake/pool' };
const REFERENCE = { wake_id: 'w_1', generation: 7 };

function expectError(answer: Answer, status: number, code: ErrorCode): void {
  const { json } = answer;
  const error = json['error'] as Record<string, unknown> | undefined;
  expect([answer.status, json['code'], error?.['code'], answer.text.slice(0, 300)]).toEqual([
    status,
    code,
    code,
    expect.anything(),
  ]);
  expect(answer.headers.get('content-type')).toBe('application/json');
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  expect(json['status']).toBe(status);
  expect(error?.['message']).toBe(json['detail']);
  expect(Object.keys(json).sort()).toEqual(['code', 'detail', 'error', 'status', 'title', 'type']);
}

describe('a subscription', () => {
  it('is put with what its body says, and answered in the shape of the protocol', async () => {
    const body = {
      type: 'webhook',
      pattern: 'events/*',
      streams: ['events/b', 'events/a', 'events/b'],
      webhook: { url: 'https://worker.example/hooks' },
      wake_stream: 'wake/pool',
      lease_ttl_ms: 1000,
      description: 'event processor',
    };
    const answer = await ask('PUT /subscriptions/sub-1', body);
    expect(store.calls).toEqual([
      [
        'put',
        'sub-1',
        { ...CONFIG, streams: ['events/a', 'events/b'], leaseTtlMs: 1000, pattern: 'events/*' },
      ],
    ]);
    expect(answer.status).toBe(201);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.json).toEqual({
      id: 'sub-1',
      subscription_id: 'sub-1',
      type: 'webhook',
      pattern: 'events/*',
      streams: [
        {
          path: 'events/a',
          link_type: 'explicit',
          acked_offset: '0000000000000001_0000000000000042',
        },
      ],
      webhook: {
        url: 'https://worker.example/hooks',
        signing: {
          alg: 'ed25519',
          kid: 'ds_now',
          jwks_url: `${PUBLIC_URL}/v1/stream/__ds/jwks.json`,
        },
      },
      wake_stream: null,
      lease_ttl_ms: 30_000,
      created_at: '2026-05-09T00:00:00.000Z',
      status: 'active',
      description: 'event processor',
      generation: 7,
      stream_count: 1,
    });
    store.created = false;
    expect((await ask('PUT /subscriptions/sub-1', body)).status).toBe(200);
  });

  it('of pull-wake has a wake stream, no webhook, and needs no public URL', async () => {
    publicUrl = undefined;
    const { type, streams: links, wake_stream: wakeStream } = PULL;
    store.info = {
      ...INFO,
      config: { type: 'pull-wake', streams: links, wakeStream, leaseTtlMs: 5_000 },
      status: 'failed',
      failedAttempts: 3,
      nextAttemptAtMs: 1_000,
      parked: true,
      holder: 'worker-1',
    };
    const answer = await ask('PUT /subscriptions/p', { ...PULL, webhook: null, description: null });
    expect(store.calls).toEqual([
      ['put', 'p', { type, streams: links, wakeStream, leaseTtlMs: LIMITS.leaseTtlMs }],
    ]);
    expect(answer.json).toMatchObject({
      webhook: null,
      wake_stream: 'wake/pool',
      pattern: null,
      description: null,
      status: 'failed',
      failed_attempts: 3,
      next_attempt_at: '1970-01-01T00:00:01.000Z',
      parked: true,
      current_holder: 'worker-1',
    });
  });

  it('of webhooks is refused while nobody knows how to reach the node, whatever Host says', async () => {
    publicUrl = undefined;
    const answer = await ask('PUT /subscriptions/p', WEBHOOK);
    expectError(answer, 400, 'INVALID_SETTINGS');
    expect(answer.text).toContain('publicUrl');
    expect(store.calls).toEqual([]);
    expect((await ask('GET /subscriptions/p')).json['webhook']).toEqual({ url: CONFIG.webhookUrl });
  });

  it('is read, also by HEAD, and deleted', async () => {
    const read = await ask('GET /subscriptions/sub-1');
    const head = await ask('HEAD /subscriptions/sub-1');
    expect([read.status, head.status, head.text]).toEqual([200, 200, '']);
    expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(read.text)));
    expect((await ask('DELETE /subscriptions/sub-1')).status).toBe(204);
    expect(store.calls.map(([what]) => what)).toEqual(['get', 'get', 'delete']);
  });

  it.each([
    ['/subscriptions/a%20b', 'a b'],
    ['/subscriptions/__proto__', '__proto__'],
    ['/subscriptions/constructor', 'constructor'],
    ['/subscriptions/%E2%82%AC', '€'],
    ['/subscriptions/*', '*'],
    [`/subscriptions/${'a'.repeat(256)}`, 'a'.repeat(256)],
  ])('%s has the id %s', async (path, id) => {
    expect((await ask(`GET ${path}`)).status).toBe(200);
    expect(store.calls).toEqual([['get', id]]);
  });

  it('is given and loses explicit streams, whose slashes may be encoded or not', async () => {
    const names = ['a b', '__proto__', 'a/b%c', 'x/y'];
    expect((await ask('POST /subscriptions/s/streams', { streams: names })).status).toBe(204);
    expect((await ask('DELETE /subscriptions/s/streams/a%2Fb%25c')).status).toBe(204);
    expect((await ask('DELETE /subscriptions/s/streams/x/y')).status).toBe(204);
    expect(store.calls).toEqual([
      ['link', 's', ['__proto__', 'a b', 'a/b%c', 'x/y']],
      ['unlink', 's', 'a/b%c'],
      ['unlink', 's', 'x/y'],
    ]);
  });
});

describe('the list', () => {
  it('is in pages, without the streams of each', async () => {
    store.infos = ['a', 'b', 'c'].map((id) => ({ ...INFO, id }));
    const first = await ask('GET /subscriptions?limit=2&after=%2a');
    expect(store.calls).toEqual([['list', { limit: 3, after: '*' }]]);
    expect(first.json['next']).toBe('b');
    const shown = first.json['subscriptions'] as Record<string, unknown>[];
    expect(shown.map((one) => [one['id'], one['streams'], one['stream_count']])).toEqual([
      ['a', undefined, 1],
      ['b', undefined, 1],
    ]);
    expect((await ask('GET /subscriptions')).json['next']).toBeUndefined();
  });

  it.each(['limit=0', 'limit=1001', 'limit=x', 'limit=1&limit=2', 'prefix=a'])(
    'refuses ?%s',
    async (query) => {
      expectError(await ask(`GET /subscriptions?${query}`), 400, 'INVALID_QUERY');
    },
  );
});

describe('the key set', () => {
  it('has every public key, may be cached, and nothing else in it', async () => {
    const answer = await ask('GET /jwks.json');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/jwk-set+json');
    expect(answer.headers.get('cache-control')).toBe('public, max-age=300');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    const common = { kty: 'OKP', crv: 'Ed25519', use: 'sig', alg: 'EdDSA' };
    expect(answer.json).toEqual({
      keys: [
        { ...common, kid: 'ds_next', x: 'bmV4dA' },
        { ...common, kid: 'ds_now', x: 'bm93' },
      ],
    });
    expect((await ask('HEAD /jwks.json')).text).toBe('');
  });
});

it('a set without keys is kept by nobody: the first key signs at once', async () => {
  store.keys = [];
  const { headers, json } = await ask('GET /jwks.json');
  store.keys = KEYS;
  expect(json).toEqual({ keys: [] });
  expect(headers.get('cache-control')).toBe('no-store');
});

describe('dead letters', () => {
  it('are no stream until there are some, and then read like one, and not written', async () => {
    expectError(await ask('GET /dead-letters'), 404, 'STREAM_NOT_FOUND');
    expect((await ask('HEAD /dead-letters')).status).toBe(404);
    await streams.create({
      path: '__ds/dead-letters',
      contentType: 'application/json',
      closed: false,
    });
    const read = await ask('GET /dead-letters?offset=-1');
    expect([read.status, read.text, read.headers.get('stream-up-to-date')]).toEqual([
      200,
      '[]',
      'true',
    ]);
    expect((await ask('HEAD /dead-letters')).headers.get('stream-next-offset')).toMatch(/^0+_0+$/);
    const poll = await ask('GET /dead-letters?offset=now&live=long-poll');
    expect(poll.status).toBe(204);
    for (const method of ['POST', 'PUT', 'DELETE']) {
      expectError(await ask(`${method} /dead-letters`, []), 405, 'METHOD_NOT_ALLOWED');
    }
    expectError(await ask('GET /dead-letters?offset=x'), 400, 'INVALID_OFFSET');
  });
});

describe('a claim', () => {
  it('needs one of the tokens, in any case of the scheme, and gets the wake', async () => {
    const answer = await ask('POST /subscriptions/p/claim', { worker: 'w' }, [
      `authorization: bearer  ${TOKEN}`,
    ]);
    expect(answer.json).toEqual({
      wake_id: 'w_1',
      generation: 7,
      token: 'token-of-the-wake',
      streams: [
        {
          path: 'events/a',
          link_type: 'explicit',
          acked_offset: '0000000000000000_0000000000000000',
          tail_offset: OFFSET,
          has_pending: true,
        },
      ],
      lease_ttl_ms: 30_000,
    });
    expect(store.calls).toEqual([['claim', 'p', 'w']]);
  });

  it.each<[string, string[], ErrorCode]>([
    ['no token', [], 'TOKEN_REQUIRED'],
    ['another scheme', [`Authorization: Basic ${TOKEN}`], 'TOKEN_REQUIRED'],
    ['an empty token', ['Authorization: Bearer '], 'TOKEN_REQUIRED'],
    ['two words', [`Authorization: Bearer ${TOKEN} ${TOKEN}`], 'TOKEN_REQUIRED'],
    ['another token', bearer('a-token-for-claims-3'), 'TOKEN_INVALID'],
    ['the beginning of a token', bearer(TOKEN.slice(0, -1)), 'TOKEN_INVALID'],
    ['the token of a wake', bearer('token-of-the-wake'), 'TOKEN_INVALID'],
  ])('with %s is refused before anything is looked at', async (_what, headers, code) => {
    const answer = await ask('POST /subscriptions/p/claim', 'not json', headers);
    expectError(answer, 401, code);
    const challenge = code === 'TOKEN_INVALID' ? 'Bearer error="invalid_token"' : 'Bearer';
    expect(answer.headers.get('www-authenticate')).toBe(challenge);
    expect(answer.text).not.toContain(TOKEN);
    expect(store.calls).toEqual([]);
  });

  it('with two tokens is refused', async () => {
    const headers = [...bearer(TOKEN), ...bearer(TOKEN)];
    const answer = await ask('POST /subscriptions/p/claim', { worker: 'w' }, headers);
    expectError(answer, 400, 'INVALID_HEADER');
  });

  it('is refused by a node without tokens, which says what to set, and open to all when it says so', async () => {
    const before = served;
    claims = { open: false, tokens: [] };
    await serve();
    const refused = await ask('POST /subscriptions/p/claim', { worker: 'w' }, bearer(TOKEN));
    expectError(refused, 401, 'TOKEN_REQUIRED');
    expect(refused.text).toMatch(/claimTokens.*openClaims/);
    await served.close();
    claims = { open: true, tokens: [] };
    await serve();
    expect((await ask('POST /subscriptions/p/claim', { worker: 'w' })).status).toBe(200);
    await served.close();
    served = before;
    claims = { open: false, tokens: [OTHER_TOKEN, TOKEN] };
    await served.close();
    await serve();
  });
});

describe('a wake', () => {
  it.each([
    ['callback', 'webhook'],
    ['ack', 'pull-wake'],
  ])('is acked by %s with its own token', async (endpoint, type) => {
    const body = {
      ...REFERENCE,
      acks: [
        { stream: 'events/a', offset: OFFSET },
        { stream: '__proto__', offset: OFFSET },
        { stream: 'events/a', offset: '0000000000000001_0000000000000042' },
      ],
      done: true,
    };
    const answer = await ask(`POST /subscriptions/s/${endpoint}`, body, bearer('t1'));
    expect([answer.status, answer.json]).toEqual([200, { ok: true, next_wake: true }]);
    const offset = { messages: 2, bytes: 84 };
    expect(store.calls).toEqual([
      [
        'ack',
        {
          id: 's',
          token: 't1',
          type,
          wakeId: 'w_1',
          generation: 7,
          acks: [
            { path: 'events/a', offset },
            { path: '__proto__', offset },
          ],
          done: true,
        },
      ],
    ]);
  });

  it('is kept by an ack without acks', async () => {
    await ask('POST /subscriptions/s/ack', REFERENCE, bearer('t1'));
    expect(store.calls[0]?.[1]).toMatchObject({ acks: [], done: false });
  });

  it('is given back', async () => {
    const answer = await ask('POST /subscriptions/s/release', REFERENCE, bearer('t1'));
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(store.calls).toEqual([
      ['release', { id: 's', token: 't1', wakeId: 'w_1', generation: 7 }],
    ]);
  });

  it.each(['callback', 'ack', 'release'])('by %s needs a token', async (endpoint) => {
    const answer = await ask(`POST /subscriptions/s/${endpoint}`, REFERENCE);
    expectError(answer, 401, 'TOKEN_REQUIRED');
    expect(store.calls).toEqual([]);
  });
});

describe('bad input', () => {
  const put = 'PUT /subscriptions/s';
  const link = 'POST /subscriptions/s/streams';
  const claim = 'POST /subscriptions/s/claim';
  const ack = 'POST /subscriptions/s/ack';
  const release = 'POST /subscriptions/s/release';
  const long = (length: number): string => 'a'.repeat(length);
  const acks = (item: unknown): unknown => ({ ...REFERENCE, acks: [item] });
  const nested = `{"streams":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;

  it.each<[string, string, unknown, ErrorCode]>([
    ['no JSON', put, '{"type":', 'INVALID_SUBSCRIPTION'],
    ['nothing', put, '', 'INVALID_SUBSCRIPTION'],
    ['two values', put, '{} {}', 'INVALID_SUBSCRIPTION'],
    ['a list', put, [], 'INVALID_SUBSCRIPTION'],
    ['null', put, null, 'INVALID_SUBSCRIPTION'],
    ['a text', put, '"webhook"', 'INVALID_SUBSCRIPTION'],
    ['no UTF-8', put, Buffer.from([0x7b, 0xff, 0x7d]), 'INVALID_SUBSCRIPTION'],
    ['deep nesting', put, nested, 'INVALID_SUBSCRIPTION'],
    ['half of deep nesting', put, `[`.repeat(100_000), 'INVALID_SUBSCRIPTION'],
    ['a member twice', put, '{"type":"webhook","type":"webhook"}', 'INVALID_SUBSCRIPTION'],
    ['the same name in escapes', put, '{"type":1,"t\\u0079pe":1}', 'INVALID_SUBSCRIPTION'],
    ['an unknown member', put, { ...WEBHOOK, retries: 1 }, 'INVALID_SUBSCRIPTION'],
    ['a prototype', put, '{"__proto__":{"type":"webhook"}}', 'INVALID_SUBSCRIPTION'],
    ['constructor', put, '{"constructor":1}', 'INVALID_SUBSCRIPTION'],
    ['no type', put, { ...WEBHOOK, type: undefined }, 'INVALID_SUBSCRIPTION'],
    ['another type', put, { ...WEBHOOK, type: 'push' }, 'INVALID_SUBSCRIPTION'],
    ['a type of a prototype', put, { ...WEBHOOK, type: 'toString' }, 'INVALID_SUBSCRIPTION'],
    ['a number as type', put, { ...WEBHOOK, type: 1 }, 'INVALID_SUBSCRIPTION'],
    ['neither pattern nor streams', put, { ...PULL, streams: null }, 'INVALID_SUBSCRIPTION'],
    ['an empty pattern', put, { ...WEBHOOK, pattern: '' }, 'INVALID_SUBSCRIPTION'],
    ['a long pattern', put, { ...WEBHOOK, pattern: long(1025) }, 'INVALID_SUBSCRIPTION'],
    ['half a character', put, { ...WEBHOOK, pattern: '\ud800' }, 'INVALID_SUBSCRIPTION'],
    ['no webhook', put, { ...WEBHOOK, webhook: undefined }, 'INVALID_SUBSCRIPTION'],
    ['a webhook without URL', put, { ...WEBHOOK, webhook: {} }, 'INVALID_SUBSCRIPTION'],
    ['a webhook as text', put, { ...WEBHOOK, webhook: 'https://a.b/' }, 'INVALID_SUBSCRIPTION'],
    [
      'a webhook with a secret',
      put,
      { ...WEBHOOK, webhook: { url: 'a', secret: 's' } },
      'INVALID_SUBSCRIPTION',
    ],
    ['a long URL', put, { ...WEBHOOK, webhook: { url: long(2049) } }, 'INVALID_SUBSCRIPTION'],
    ['no wake stream', put, { ...PULL, wake_stream: undefined }, 'INVALID_SUBSCRIPTION'],
    ['a bad wake stream', put, { ...PULL, wake_stream: '/wake' }, 'INVALID_PATH'],
    ['a reserved wake stream', put, { ...PULL, wake_stream: '__ds/x' }, 'INVALID_PATH'],
    ['a lease too short', put, { ...WEBHOOK, lease_ttl_ms: 999 }, 'INVALID_SUBSCRIPTION'],
    ['a lease too long', put, { ...WEBHOOK, lease_ttl_ms: 600_001 }, 'INVALID_SUBSCRIPTION'],
    ['a lease of parts', put, { ...WEBHOOK, lease_ttl_ms: 1000.5 }, 'INVALID_SUBSCRIPTION'],
    ['a lease as text', put, { ...WEBHOOK, lease_ttl_ms: '1000' }, 'INVALID_SUBSCRIPTION'],
    ['an infinite lease', put, '{"lease_ttl_ms":1e999}', 'INVALID_SUBSCRIPTION'],
    ['a long description', put, { ...WEBHOOK, description: long(4097) }, 'INVALID_SUBSCRIPTION'],
    ['streams as text', put, { ...PULL, streams: 'a' }, 'INVALID_SUBSCRIPTION'],
    ['a stream as number', put, { ...PULL, streams: [1] }, 'INVALID_SUBSCRIPTION'],
    ['an empty stream', put, { ...PULL, streams: [''] }, 'INVALID_PATH'],
    ['dots', put, { ...PULL, streams: ['a/../b'] }, 'INVALID_PATH'],
    ['a slash before', put, { ...PULL, streams: ['/a'] }, 'INVALID_PATH'],
    ['a slash behind', put, { ...PULL, streams: ['a/'] }, 'INVALID_PATH'],
    ['a backslash', put, { ...PULL, streams: ['a\\b'] }, 'INVALID_PATH'],
    ['a control character', put, { ...PULL, streams: ['a\u0000'] }, 'INVALID_PATH'],
    ['half a character in a path', put, { ...PULL, streams: ['a\udc00'] }, 'INVALID_PATH'],
    ['a reserved stream', put, { ...PULL, streams: ['__ds/dead-letters'] }, 'INVALID_PATH'],
    ['many segments', put, { ...PULL, streams: ['a/'.repeat(32) + 'a'] }, 'INVALID_PATH'],
    ['no streams to link', link, {}, 'INVALID_SUBSCRIPTION'],
    ['more than streams to link', link, { streams: [], path: 'a' }, 'INVALID_SUBSCRIPTION'],
    ['a bad stream to link', link, { streams: ['a', '..'] }, 'INVALID_PATH'],
    ['no worker', claim, {}, 'INVALID_SUBSCRIPTION'],
    ['an empty worker', claim, { worker: '' }, 'INVALID_SUBSCRIPTION'],
    ['a long worker', claim, { worker: long(257) }, 'INVALID_SUBSCRIPTION'],
    ['a worker as list', claim, { worker: ['w'] }, 'INVALID_SUBSCRIPTION'],
    ['no wake', ack, { generation: 7 }, 'INVALID_SUBSCRIPTION'],
    ['no generation', ack, { wake_id: 'w' }, 'INVALID_SUBSCRIPTION'],
    ['a negative generation', ack, { ...REFERENCE, generation: -1 }, 'INVALID_SUBSCRIPTION'],
    ['a huge generation', ack, { ...REFERENCE, generation: 2 ** 53 }, 'INVALID_SUBSCRIPTION'],
    ['a generation as text', ack, { ...REFERENCE, generation: '7' }, 'INVALID_SUBSCRIPTION'],
    ['done as text', ack, { ...REFERENCE, done: 'true' }, 'INVALID_SUBSCRIPTION'],
    ['acks as object', ack, { ...REFERENCE, acks: {} }, 'INVALID_SUBSCRIPTION'],
    ['an ack as text', ack, acks('a'), 'INVALID_SUBSCRIPTION'],
    ['an ack as list', ack, acks([]), 'INVALID_SUBSCRIPTION'],
    ['an ack without stream', ack, acks({ offset: OFFSET }), 'INVALID_SUBSCRIPTION'],
    ['an ack without offset', ack, acks({ stream: 'a' }), 'INVALID_SUBSCRIPTION'],
    ['an ack of a path', ack, acks({ path: 'a', offset: OFFSET }), 'INVALID_SUBSCRIPTION'],
    ['an ack of no stream', ack, acks({ stream: '../a', offset: OFFSET }), 'INVALID_PATH'],
    ['an ack of -1', ack, acks({ stream: 'a', offset: '-1' }), 'INVALID_OFFSET'],
    ['an ack of now', ack, acks({ stream: 'a', offset: 'now' }), 'INVALID_OFFSET'],
    ['an ack of a number', ack, acks({ stream: 'a', offset: 2 }), 'INVALID_SUBSCRIPTION'],
    [
      'an ack beyond numbers',
      ack,
      acks({ stream: 'a', offset: `${'9'.repeat(16)}_${'9'.repeat(16)}` }),
      'INVALID_OFFSET',
    ],
    [
      'too many acks',
      ack,
      { ...REFERENCE, acks: Array.from({ length: 1001 }, () => 0) },
      'INVALID_SUBSCRIPTION',
    ],
    ['acks of a release', release, { ...REFERENCE, acks: [] }, 'INVALID_SUBSCRIPTION'],
  ])('%s', async (_what, line, body, code) => {
    const text = body === null ? 'null' : body;
    expectError(await ask(line, text, bearer(TOKEN)), 400, code);
    expect(store.calls).toEqual([]);
  });

  it.each<[string, string, number, ErrorCode]>([
    ['nothing behind the prefix', 'GET ', 404, 'ROUTE_NOT_FOUND'],
    ['a slash', 'GET /', 404, 'ROUTE_NOT_FOUND'],
    ['an unknown route', 'GET /x', 404, 'ROUTE_NOT_FOUND'],
    ['a prototype as route', 'GET /__proto__', 404, 'ROUTE_NOT_FOUND'],
    ['more than the keys', 'GET /jwks.json/x', 404, 'ROUTE_NOT_FOUND'],
    ['more than dead letters', 'GET /dead-letters/x', 404, 'ROUTE_NOT_FOUND'],
    ['an unknown action', 'POST /subscriptions/s/steal', 404, 'ROUTE_NOT_FOUND'],
    ['a prototype as action', 'POST /subscriptions/s/constructor', 404, 'ROUTE_NOT_FOUND'],
    ['more than an action', 'POST /subscriptions/s/ack/x', 404, 'ROUTE_NOT_FOUND'],
    ['an empty id', 'GET /subscriptions/', 400, 'INVALID_SUBSCRIPTION'],
    ['an id of a dot', 'GET /subscriptions/.', 400, 'INVALID_SUBSCRIPTION'],
    ['an id of encoded dots', 'GET /subscriptions/%2e%2e', 400, 'INVALID_SUBSCRIPTION'],
    ['a slash in an id', 'GET /subscriptions/a%2Fack', 400, 'INVALID_SUBSCRIPTION'],
    ['a long id', `GET /subscriptions/${long(257)}`, 400, 'INVALID_SUBSCRIPTION'],
    [
      'a long id in bytes',
      `GET /subscriptions/${'%E2%82%AC'.repeat(86)}`,
      400,
      'INVALID_SUBSCRIPTION',
    ],
    ['a zero byte in an id', 'GET /subscriptions/a%00', 400, 'INVALID_PATH'],
    ['a backslash in an id', 'GET /subscriptions/a%5Cb', 400, 'INVALID_PATH'],
    ['a bad escape', 'GET /subscriptions/%zz', 400, 'INVALID_PATH'],
    ['half a character in an id', 'GET /subscriptions/%ED%A0%80', 400, 'INVALID_PATH'],
    ['no path to unlink', 'DELETE /subscriptions/s/streams/', 400, 'INVALID_PATH'],
    ['dots to unlink', 'DELETE /subscriptions/s/streams/a/../b', 400, 'INVALID_PATH'],
    ['encoded dots to unlink', 'DELETE /subscriptions/s/streams/a%2F..%2Fb', 400, 'INVALID_PATH'],
    ['a reserved path to unlink', 'DELETE /subscriptions/s/streams/__ds', 400, 'INVALID_PATH'],
    ['a long target', `GET /subscriptions?after=${long(9_000)}`, 414, 'URL_TOO_LONG'],
    ['POST to a subscription', 'POST /subscriptions/s', 405, 'METHOD_NOT_ALLOWED'],
    ['PUT to the list', 'PUT /subscriptions', 405, 'METHOD_NOT_ALLOWED'],
    ['GET of links', 'GET /subscriptions/s/streams', 405, 'METHOD_NOT_ALLOWED'],
    ['GET of a claim', 'GET /subscriptions/s/claim', 405, 'METHOD_NOT_ALLOWED'],
    ['POST of a link', 'POST /subscriptions/s/streams/a', 405, 'METHOD_NOT_ALLOWED'],
    ['PATCH', 'PATCH /subscriptions/s', 405, 'METHOD_NOT_ALLOWED'],
    ['POST of keys', 'POST /jwks.json', 405, 'METHOD_NOT_ALLOWED'],
  ])('%s', async (_what, line, status, code) => {
    const answer = await ask(line);
    expectError(answer, status, code);
    expect(store.calls).toEqual([]);
    if (status === 405) expect(answer.headers.get('allow')).toContain('OPTIONS');
  });

  it.each<[string, string[], number, ErrorCode]>([
    ['another type of body', ['Content-Type: text/plain'], 400, 'INVALID_HEADER'],
    ['a form', ['Content-Type: application/x-www-form-urlencoded'], 400, 'INVALID_HEADER'],
    ['no type of body', [], 400, 'INVALID_HEADER'],
    ['two types', [JSON_TYPE, JSON_TYPE], 400, 'INVALID_HEADER'],
    ['a coded body', [JSON_TYPE, 'Content-Encoding: gzip'], 415, 'UNSUPPORTED_ENCODING'],
    ['a page of elsewhere', [JSON_TYPE, 'Origin: https://evil.example'], 403, 'ORIGIN_NOT_ALLOWED'],
    ['a page that hides', [JSON_TYPE, 'Sec-Fetch-Site: cross-site'], 403, 'ORIGIN_NOT_ALLOWED'],
    ['a large body', [JSON_TYPE, `Content-Length: ${2 ** 21 + 1}`], 413, 'BODY_TOO_LARGE'],
  ])('%s', async (_what, headers, status, code) => {
    // Of a body that is too large the rest is waited for: once is enough.
    for (const line of status === 413 ? [put] : [put, link, claim, ack, release]) {
      expectError(await ask(line, undefined, [...headers, ...bearer(TOKEN)]), status, code);
    }
    expect(store.calls).toEqual([]);
  });

  it('is what pages of elsewhere send to delete', async () => {
    const headers = ['Origin: https://evil.example'];
    for (const line of ['DELETE /subscriptions/s', 'DELETE /subscriptions/s/streams/a']) {
      expectError(await ask(line, undefined, headers), 403, 'ORIGIN_NOT_ALLOWED');
    }
    expect(
      (await ask('GET /subscriptions/s', undefined, headers)).headers.has(
        'access-control-allow-origin',
      ),
    ).toBe(false);
  });

  it('spelled in escapes is no way under the reserved prefix', async () => {
    for (const path of ['%5F_ds/subscriptions/s', '%5f%5fds', '__ds%2Fsubscriptions/s']) {
      const head = `GET /v1/stream/${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
      const answer = await sendRaw(served.port, Buffer.from(head));
      expect([path, answer.status]).toEqual([path, 404]);
    }
    expect(store.calls).toEqual([]);
  });
});

describe('an answer', () => {
  it.each([
    ['/subscriptions', 'GET, HEAD, OPTIONS'],
    ['/subscriptions/s', 'GET, HEAD, PUT, DELETE, OPTIONS'],
    ['/subscriptions/s/streams', 'POST, OPTIONS'],
    ['/subscriptions/s/streams/a/b', 'DELETE, OPTIONS'],
    ['/subscriptions/s/callback', 'POST, OPTIONS'],
    ['/jwks.json', 'GET, HEAD, OPTIONS'],
    ['/dead-letters', 'GET, HEAD, OPTIONS'],
  ])('to OPTIONS of %s says what may be asked', async (path, methods) => {
    const page = ['Origin: http://localhost:3000'];
    const answer = await ask(`OPTIONS ${path}`, undefined, page);
    expect([answer.status, answer.headers.get('allow')]).toEqual([204, methods]);
    expect(answer.headers.get('access-control-allow-methods')).toBe(methods);
    expect(answer.headers.get('access-control-allow-origin')).toBe('http://localhost:3000');
    expect(answer.headers.get('access-control-allow-headers')).toContain('Authorization');
  });

  it('to an error of the store has its code, and what goes with it', async () => {
    store.error = new HoldfastError('ALREADY_CLAIMED', 'another worker has it', {
      details: { currentHolder: 'worker-2', generation: 7 },
    });
    const answer = await ask('POST /subscriptions/p/claim', { worker: 'w' }, bearer(TOKEN));
    expectError(answer, 409, 'ALREADY_CLAIMED');
    expect(answer.json['error']).toEqual({
      code: 'ALREADY_CLAIMED',
      message: 'another worker has it',
      current_holder: 'worker-2',
      generation: 7,
    });
  });

  it.each<[ErrorCode, number]>([
    ['SUBSCRIPTION_NOT_FOUND', 404],
    ['SUBSCRIPTION_EXISTS', 409],
    ['WAKE_STREAM_NOT_FOUND', 409],
    ['WEBHOOK_URL_REJECTED', 400],
    ['INVALID_SUBSCRIPTION', 400],
    ['NO_PENDING_WORK', 409],
    ['FENCED', 409],
    ['TOKEN_INVALID', 401],
    ['QUOTA_EXCEEDED', 413],
    ['COMMIT_QUEUE_FULL', 503],
    ['DISK_FULL', 507],
    ['NODE_FAILED', 503],
  ])('to %s of the store is %i', async (code, status) => {
    for (const [line, body] of [
      ['PUT /subscriptions/s', WEBHOOK],
      ['POST /subscriptions/s/ack', REFERENCE],
    ] as const) {
      store.error = new HoldfastError(code, 'of the store');
      const answer = await ask(line, body, bearer('t'));
      expectError(answer, status, code);
      if (status === 503 || status === 507) expect(answer.headers.get('retry-after')).toBe('1');
    }
    store.error = new HoldfastError(code, 'of the store');
    expectError(await ask('GET /subscriptions/s'), status, code);
  });

  it('that nobody takes counts like any other, and the next one drops it', async () => {
    const link = { linkType: 'glob', acked: { messages: 0, bytes: 0 } } as const;
    const name = 'x'.repeat(500);
    store.info = {
      ...INFO,
      links: Array.from({ length: 40_000 }, (_, i) => ({ ...link, path: `${name}/${i}` })),
    };
    const sockets = Array.from({ length: 3 }, () => net.connect(served.port, '127.0.0.1').pause());
    for (const socket of sockets) {
      socket.on('error', () => undefined);
      socket.write(`GET ${BASE}/subscriptions/sub-1 HTTP/1.1\r\nHost: x\r\n\r\n`);
    }
    await expect.poll(() => served.protocol.stats.unsentDropped, { timeout: 10_000 }).toBe(2);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => served.protocol.stats.unsentBytes, { timeout: 10_000 }).toBe(0);
  });

  it('to a bug says nothing of it', async () => {
    store.error = new TypeError('secret of the machine') as unknown as HoldfastError;
    const answer = await ask('GET /subscriptions/s');
    expectError(answer, 500, 'INTERNAL_ERROR');
    expect(answer.text).not.toContain('secret');
  });
});
