/**
 * What a store fails with, by HTTP: every code that a route is described with, and those that no route
 * expects, over stores that do nothing else.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  ERROR_CODES,
  type ErrorCode,
  HoldfastError,
  LIMITS,
  NodeClock,
  SILENT,
} from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import {
  createHttpBounds,
  CrossOriginPolicy,
  DEFAULT_PROTOCOL_SETTINGS,
  statusOf,
} from '@holdfast/streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KvProtocol } from '../../src/kv/http/kv-protocol.ts';
import { KV_ROUTES, type KvRoute } from '../../src/kv/http/kv-routes.ts';
import { OWN_ROUTES } from '../../src/own-routes.ts';
import { openApiDocument } from '../../src/openapi/openapi-document.ts';
import { request, type RequestOptions } from '../http-request.ts';
import { ApiWitness } from './api-witness.ts';

const SECRET = 'postgres://user:hunter2@db.internal/prod';

let failure: unknown;
let overrides: Partial<KvStore> = {};
let server: Server;
let url: string;
let api: ApiWitness;

/** Every call fails with `failure`, but for what is overridden. */
const store = new Proxy({} as KvStore, {
  get: (_, name) => {
    const own = overrides[name as keyof KvStore];
    if (own !== undefined) return own;
    if (name === 'capabilities') return { maxBatchOperations: 10 };
    if (name === 'watch') return () => failing();
    return () => Promise.reject(failure as Error);
  },
});

function failing(): AsyncIterable<never> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure as Error) }) };
}

beforeAll(async () => {
  const clock = new NodeClock();
  const settings = DEFAULT_PROTOCOL_SETTINGS;
  const protocol = new KvProtocol({
    ...createHttpBounds({ clock }, settings),
    ...{ clock, settings, logger: SILENT, crossOrigin: new CrossOriginPolicy({ allowOrigin: [] }) },
    stores: { store: () => store, stores: failing },
  });
  const document = JSON.stringify(openApiDocument([...OWN_ROUTES, ...KV_ROUTES]));
  server = createServer((asked, response) => {
    if (asked.url === '/openapi.json') response.end(document);
    else protocol.handle(asked, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  api = await ApiWitness.of(url);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** A request that reaches the store. */
function askOf({ id, method, path }: KvRoute): [string, string, RequestOptions] {
  const target = path.replace('{store}', 's').replace('{key}', 'k');
  const query = id.endsWith('ByQuery') ? '?key=k' : id === 'watchStore' ? '?watch' : '';
  const all = id === 'clearStore' ? '?all=true' : query;
  if (method === 'POST') {
    return [
      method,
      target,
      { headers: { 'content-type': 'application/json' }, body: '{"operations":[]}' },
    ];
  }
  return [method, target + all, method === 'PUT' ? { body: 'x' } : {}];
}

describe.each(KV_ROUTES.map((route) => [route.id, route] as const))('%s', (_, route) => {
  it.each(route.errors)('%s has its status, and is described', async (code) => {
    overrides = {};
    failure = new HoldfastError(code, `what happened at ${SECRET}`);
    const answer = await api.request(...askOf(route));
    expect([answer.status, answer.code]).toEqual([statusOf(failure as HoldfastError), code]);
    if (['unavailable', 'closed', 'corrupt', 'internal'].includes(ERROR_CODES[code])) {
      expect(answer.text).not.toContain('hunter2');
    }
  });

  it.each([new TypeError(SECRET), 'a text', undefined, null])(
    'what nobody foresaw is 500: %s',
    async (thrown) => {
      overrides = {};
      failure = thrown;
      const answer = await api.request(...askOf(route));
      expect([answer.status, answer.code]).toEqual([500, 'INTERNAL_ERROR']);
      expect(answer.text).not.toContain('hunter2');
    },
  );
});

describe('a store behind tiers', () => {
  it('that answered from its backup says so', async () => {
    const entry = {
      key: 'k',
      value: Buffer.from('old'),
      version: 3,
      seq: 2,
      epoch: 0,
      expiresAtMs: undefined,
    };
    overrides = { getEntry: () => Promise.resolve({ ...entry, stale: true }) };
    const { status, text, headers } = await api.request('GET', '/v1/kv/s/k');
    expect([status, text, headers['holdfast-kv-stale']]).toEqual([200, 'old', 'true']);
    overrides = { getEntry: () => Promise.resolve(entry) };
    expect((await api.request('GET', '/v1/kv/s/k')).headers['holdfast-kv-stale']).toBeUndefined();
  });
});

describe('an entry that others write all the time', () => {
  it('is not looked at for ever by If-Match: *', async () => {
    let version = 1;
    let looks = 0;
    const entry = { key: 'k', value: Buffer.from(''), seq: 1, epoch: 0, expiresAtMs: undefined };
    const lost = new HoldfastError('PRECONDITION_FAILED', 'too late', { details: { version: 2 } });
    overrides = {
      getEntry: () => {
        looks++;
        return Promise.resolve({ ...entry, version: version++ });
      },
      put: () => Promise.reject(lost),
    };
    const headers = { 'if-match': '*' };
    const { status, code } = await api.request('PUT', '/v1/kv/s/k', { body: 'x', headers });
    expect([status, code, looks]).toEqual([503, 'COMMIT_QUEUE_FULL', LIMITS.maxConditionTries]);
    overrides = {};
  });
});

describe('a watch that fails once it has begun', () => {
  it.each<[ErrorCode, string | undefined]>([
    ['CHANGES_TRIMMED', 'trimmed'],
    ['CLOSED', 'end'],
    ['STORAGE_UNAVAILABLE', 'end'],
    ['INTERNAL_ERROR', undefined],
  ])('with %s ends with %s', async (code, event) => {
    let fail: (error: Error) => void = () => undefined;
    const next = new Promise<never>((_, reject) => (fail = reject));
    overrides = {
      lastChange: () => Promise.resolve(7),
      watch: () => ({ [Symbol.asyncIterator]: () => ({ next: () => next }) }),
    };
    const answer = await fetch(`${url}/v1/kv/s?watch`);
    expect(answer.status).toBe(200);
    fail(new HoldfastError(code, SECRET));
    const text = await answer.text().catch(() => undefined); // cut: the client sees that it is
    if (event === undefined) expect(text).toBeUndefined();
    else expect(text?.endsWith(`event: ${event}\nid: 7\ndata: {"code":"${code}"}\n\n`)).toBe(true);
    overrides = {};
  });

  it('as it begins has a status', async () => {
    overrides = { lastChange: () => Promise.resolve(7) };
    failure = new HoldfastError('CHANGES_TRIMMED', 'gone');
    expect((await request('GET', `${url}/v1/kv/s?watch&since=1`)).status).toBe(410);
    overrides = {};
  });
});
