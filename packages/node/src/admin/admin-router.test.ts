import { createServer, request as httpRequest, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { HoldfastError, LIMITS, NodeClock } from '@holdfast/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ADMIN_PATH, AdminRouter } from './admin-router.ts';
import type { AdminHost } from './admin-host.ts';

type Create = AdminHost['snapshots']['create'];

let create: Create;
let exported: AdminHost['tiers']['export'];
let asked: unknown[];
const unavailable = (): Promise<never> =>
  Promise.reject(new HoldfastError('STORAGE_UNAVAILABLE', 'bucket "b" does not answer'));

const administration: AdminHost = {
  backup: () => ({ lagMs: 5 }),
  snapshots: {
    list: async () => ({ snapshots: [{ id: 'a' }] }),
    info: async (id) => ({ id }),
    create: (options) => create(options),
    verify: async (id) => ({ id, ok: true }),
    delete: unavailable,
    prune: async ({ signal, ...options }) => {
      asked.push(options);
      return { deleted: [], aborted: signal.aborted };
    },
    drill: async () => ({ ok: true }),
  },
  tiers: {
    list: () => [{ name: 'orders' }],
    status: (name) => ({ name }),
    drain: async (name) => ({ name }),
    verify: async (name, { signal: _s, onProgress: _p, ...options }) => ({ name, ...options }),
    repair: async (name, { signal: _s, onProgress: _p, ...options }) => ({ name, ...options }),
    restore: async (name, { overwrite }) => ({ name, overwrite }),
    promote: async (name, { force }) => ({ name, force }),
    migrate: async (name, to) => ({ name, to }),
    takeOver: async (name) => ({ name }),
    rewrap: async (name) => ({ name }),
    export: (name, options) => exported(name, options),
    import: async (name, bytes, { overwrite }) => {
      let length = 0;
      for await (const piece of bytes) length += piece.length;
      return { name, length, overwrite };
    },
  },
  mark: async (name) => {
    if (name === '') throw new HoldfastError('INVALID_QUERY', 'a name is missing');
    return 7;
  },
  keys: {
    status: async () => ({ keys: [] }),
    rotate: async () => ({ active: 'abcd0123' }),
    retire: async (id) => {
      asked.push(id);
    },
  },
};

let server: Server;
let router: AdminRouter;
let port: number;
let peer: string | undefined;

beforeEach(async () => {
  peer = undefined;
  asked = [];
  create = async ({ full }) => ({ id: 'new', full });
  router = new AdminRouter(administration, { clock: new NodeClock() });
  server = createServer((request, response) => {
    if (peer !== undefined)
      Object.defineProperty(request.socket, 'remoteAddress', { value: peer, configurable: true });
    void router.handle(request, response, (request.url ?? '').slice(ADMIN_PATH.length));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

interface Ask {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly bare?: boolean;
}

function ask(method: string, path: string, { headers, body, bare }: Ask = {}): Promise<Answer> {
  const given = bare === true ? {} : { 'holdfast-admin': '1' };
  const typed = body === undefined ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      { port, method, path: ADMIN_PATH + path, headers: { ...given, ...typed, ...headers } },
      (response) => {
        let text = '';
        response.on('data', (piece: Buffer) => (text += piece.toString()));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

const codeOf = ({ text }: Answer): string => (JSON.parse(text) as { code: string }).code;

describe('who may administer', () => {
  it('a program on this machine that says so', async () => {
    const answer = await ask('GET', 'backup');
    expect([answer.status, answer.text]).toEqual([200, '{"lagMs":5}']);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.headers['content-security-policy']).toContain("default-src 'none'");
  });

  it.each([
    ['without the header', { bare: true }, 'ADMIN_REFUSED'],
    ['with another value of it', { headers: { 'holdfast-admin': 'yes' } }, 'ADMIN_REFUSED'],
    [
      'a page of another site',
      { headers: { origin: 'https://evil.example' } },
      'ORIGIN_NOT_ALLOWED',
    ],
    [
      'a page from this machine',
      { headers: { origin: 'http://localhost:3000' } },
      'ORIGIN_NOT_ALLOWED',
    ],
    ['a page without an origin', { headers: { origin: 'null' } }, 'ORIGIN_NOT_ALLOWED'],
    [
      'a browser that hides it',
      { headers: { 'sec-fetch-site': 'cross-site' } },
      'ORIGIN_NOT_ALLOWED',
    ],
    [
      'another port of this site',
      { headers: { 'sec-fetch-site': 'same-site' } },
      'ORIGIN_NOT_ALLOWED',
    ],
    ['under a name of others', { headers: { host: 'node.example' } }, 'ADMIN_REFUSED'],
    ['through a proxy', { headers: { 'x-forwarded-for': '203.0.113.9' } }, 'ADMIN_REFUSED'],
    ['through another proxy', { headers: { forwarded: 'for=203.0.113.9' } }, 'ADMIN_REFUSED'],
    ['through a third one', { headers: { via: '1.1 proxy' } }, 'ADMIN_REFUSED'],
    [
      'through one that names its port',
      { headers: { 'x-forwarded-port': '443' } },
      'ADMIN_REFUSED',
    ],
    ['through one that names who asks', { headers: { 'x-real-ip': '::1' } }, 'ADMIN_REFUSED'],
    ['through a network', { headers: { 'true-client-ip': '203.0.113.9' } }, 'ADMIN_REFUSED'],
  ] as const)('not %s, whatever is asked', async (_who, given, code) => {
    for (const [method, path] of [
      ['GET', 'backup'],
      ['POST', 'drill'],
      ['GET', 'nowhere'],
    ] as const) {
      const answer = await ask(method, path, given);
      expect([answer.status, codeOf(answer)]).toEqual([403, code]);
      expect(answer.headers['access-control-allow-origin']).toBe(undefined);
    }
  });

  it('not from another machine', async () => {
    for (peer of ['203.0.113.9', '10.0.0.1', '2001:db8::1', '::ffff:192.168.0.2']) {
      expect(codeOf(await ask('GET', 'backup'))).toBe('ADMIN_REFUSED');
    }
    for (peer of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) {
      expect((await ask('GET', 'backup')).status).toBe(200);
    }
  });

  it('not over HTTP/1.0, as a proxy that names nobody may speak it', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      let text = '';
      socket.on('data', (piece) => (text += piece.toString()));
      socket.once('end', () => resolve(text)).once('error', reject);
      socket.write(
        `GET ${ADMIN_PATH}backup HTTP/1.0\r\nHost: 127.0.0.1:${port}\r\n` +
          'Holdfast-Admin: 1\r\nConnection: close\r\n\r\n',
      );
    });
    expect(answer).toContain(' 403 ');
    expect(answer).toContain('ADMIN_REFUSED');
  });

  it('no page gets its preflight granted', async () => {
    for (const origin of ['https://evil.example', `http://localhost:${port}`]) {
      const answer = await ask('OPTIONS', 'drill', {
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'holdfast-admin',
        },
      });
      expect(answer.status).toBe(403);
      expect(
        Object.keys(answer.headers).filter((name) => name.startsWith('access-control')),
      ).toEqual([]);
    }
  });
});

describe('routes of administration', () => {
  it('answer objects', async () => {
    expect((await ask('GET', 'snapshots')).text).toBe('{"snapshots":[{"id":"a"}]}');
    expect((await ask('GET', 'snapshots/a%2Fb')).text).toBe('{"id":"a/b"}');
    expect((await ask('HEAD', 'snapshots')).text).toBe('');
    const mark = await ask('POST', 'marks', { body: '{"name":"before"}' });
    expect([mark.status, mark.text]).toEqual([201, '{"name":"before","lsn":7}']);
    expect((await ask('DELETE', 'keys/abcd0123')).text).toBe('{"id":"abcd0123","retired":true}');
    expect(asked).toEqual(['abcd0123']);
  });

  it('hand members of the body on, and what was not given as not given', async () => {
    await ask('POST', 'snapshots/prune', { body: '{"keepLast":2,"dryRun":true}' });
    await ask('POST', 'snapshots/prune');
    expect(asked).toEqual([{ keepLast: 2, dryRun: true }, { dryRun: false }]);
  });

  it('what fails has the status of its error, and the operator is told why', async () => {
    const answer = await ask('DELETE', 'snapshots/a');
    expect([answer.status, codeOf(answer)]).toEqual([503, 'STORAGE_UNAVAILABLE']);
    expect(answer.text).toContain('bucket \\"b\\" does not answer');
    create = () => Promise.reject(new Error('a secret of the code'));
    const bug = await ask('POST', 'snapshots');
    expect([bug.status, codeOf(bug)]).toEqual([500, 'INTERNAL_ERROR']);
    expect(bug.text).not.toContain('secret');
  });

  it.each([
    ['GET', 'nowhere', 404, 'ROUTE_NOT_FOUND'],
    ['GET', '', 404, 'ROUTE_NOT_FOUND'],
    ['GET', 'snapshots/', 404, 'ROUTE_NOT_FOUND'],
    ['GET', 'snapshots/a/b/c', 404, 'ROUTE_NOT_FOUND'],
    ['GET', 'keys/rotate', 405, 'METHOD_NOT_ALLOWED'],
    ['GET', 'snapshots/prune', 405, 'METHOD_NOT_ALLOWED'],
    ['PUT', 'snapshots/a', 405, 'METHOD_NOT_ALLOWED'],
    ['POST', 'backup', 405, 'METHOD_NOT_ALLOWED'],
    ['GET', 'snapshots?x=1', 400, 'INVALID_QUERY'],
    ['GET', 'snapshots/%ff', 400, 'INVALID_PATH'],
  ])('%s %j is %i', async (method, path, status, code) => {
    const answer = await ask(method, path);
    expect([answer.status, codeOf(answer)]).toEqual([status, code]);
    if (status === 405) expect(answer.headers['allow']).toMatch(/GET|POST|DELETE/);
  });

  it.each([
    ['{"name":', {}, 400, 'INVALID_JSON'],
    ['[]', {}, 400, 'INVALID_JSON'],
    ['null', {}, 400, 'INVALID_JSON'],
    ['{"nane":"x"}', {}, 400, 'INVALID_JSON'],
    ['{"__proto__":"x"}', {}, 400, 'INVALID_JSON'],
    ['{"name":1}', {}, 400, 'INVALID_JSON'],
    ['"\xff"', {}, 400, 'INVALID_JSON'],
    ['{"name":"x"}', { 'content-type': 'text/plain' }, 415, 'UNSUPPORTED_ENCODING'],
    ['{"name":"x"}', { 'content-encoding': 'gzip' }, 415, 'UNSUPPORTED_ENCODING'],
    [`{"name":"${'x'.repeat(LIMITS.maxAdminBodyBytes)}"}`, {}, 413, 'BODY_TOO_LARGE'],
    [
      `{"name":"${'x'.repeat(LIMITS.maxAdminBodyBytes)}"}`,
      { 'transfer-encoding': 'chunked' },
      413,
      'BODY_TOO_LARGE',
    ],
  ])('a body %.20s with %j is refused', async (body, headers, status, code) => {
    const answer = await ask('POST', 'marks', { body, headers: headers as Record<string, string> });
    expect([answer.status, codeOf(answer)]).toEqual([status, code]);
  });
});

describe('long work', () => {
  const linesOf = ({ text }: Answer): unknown[] =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);

  it('is told by lines, and its last line is the result', async () => {
    create = async ({ onProgress, full }) => {
      onProgress({ phase: 'upload', done: 1, total: 2, unit: 'bytes' });
      return { id: 'new', full };
    };
    const answer = await ask('POST', 'snapshots', { body: '{"full":true}' });
    expect(answer.headers['content-type']).toBe('application/x-ndjson');
    expect(linesOf(answer)).toEqual([
      { progress: { phase: 'upload', done: 1, total: 2, unit: 'bytes' } },
      { result: { id: 'new', full: true } },
    ]);
  });

  it('that fails behind its first line ends with an error line', async () => {
    create = async ({ onProgress }) => {
      onProgress({ phase: 'upload', done: 0, unit: 'bytes' });
      throw new HoldfastError('DISK_FULL', 'no room');
    };
    expect(linesOf(await ask('POST', 'snapshots')).at(-1)).toEqual({
      error: { code: 'DISK_FULL', message: 'no room' },
    });
  });

  it('that fails before it has the status of its error', async () => {
    create = () => Promise.reject(new HoldfastError('DISK_FULL', 'no room'));
    const answer = await ask('POST', 'snapshots');
    expect([answer.status, codeOf(answer)]).toEqual([507, 'DISK_FULL']);
  });

  it('is never silent for long, and its timer ends with it', async () => {
    const timers: (() => void)[] = [];
    let cancelled = 0;
    const clock = new NodeClock();
    clock.after = (delayMs, callback) => {
      if (delayMs === LIMITS.adminSilenceMs) timers.push(callback);
      return { cancel: () => cancelled++ };
    };
    router = new AdminRouter(administration, { clock });
    create = async ({ onProgress }) => {
      timers[0]?.();
      onProgress({ phase: 'upload', done: 1, unit: 'bytes' }); // too soon behind the other
      timers[1]?.();
      return { id: 'new' };
    };
    expect(linesOf(await ask('POST', 'snapshots'))).toEqual([
      { progress: { phase: 'working', done: 0, unit: 'bytes' } },
      { progress: { phase: 'upload', done: 1, unit: 'bytes' } },
      { result: { id: 'new' } },
    ]);
    expect([timers.length, cancelled]).toEqual([3, 1]);
  });

  it('is refused while as much is under way as may be, and taken again behind it', async () => {
    const release: (() => void)[] = [];
    create = () => new Promise((resolve) => release.push(() => resolve({ id: 'new' })));
    const held = Array.from({ length: LIMITS.maxAdminRequests }, () => ask('POST', 'snapshots'));
    while (release.length < held.length) await new Promise((resolve) => setTimeout(resolve, 5));
    const answer = await ask('POST', 'snapshots');
    expect([answer.status, codeOf(answer)]).toEqual([429, 'CLIENT_QUOTA_EXCEEDED']);
    // Who may not administer takes nobody's place, and learns nothing.
    expect((await ask('GET', 'backup', { bare: true })).status).toBe(403);
    for (const done of release) done();
    for (const one of await Promise.all(held)) expect(one.status).toBe(200);
    expect((await ask('GET', 'backup')).status).toBe(200);
  });

  it('ends when its client goes away', async () => {
    const ended = new Promise<void>((resolve, reject) => {
      create = ({ onProgress, signal }) => {
        onProgress({ phase: 'upload', done: 0, unit: 'bytes' });
        return new Promise((_resolve, fail) => {
          signal.addEventListener('abort', () => {
            fail(new HoldfastError('ABORTED', 'ended'));
            resolve();
          });
        });
      };
      const headers = { 'holdfast-admin': '1' };
      const sent = httpRequest({ port, method: 'POST', path: `${ADMIN_PATH}snapshots`, headers });
      sent.on('response', (response) => {
        response.on('error', () => undefined);
        response.once('data', () => sent.destroy());
      });
      sent.on('error', reject);
      sent.end();
    });
    await ended;
  });
});

describe('routes of tiers', () => {
  it('hand on which store, and what of its members was given', async () => {
    expect((await ask('GET', 'tiers')).text).toBe('{"stores":[{"name":"orders"}]}');
    expect((await ask('GET', 'tiers/orders')).text).toBe('{"name":"orders"}');
    const said: [string, string | undefined, object][] = [
      ['drain', undefined, { name: 'orders' }],
      ['verify', '{"prefix":"a","rate":5}', { name: 'orders', prefix: 'a', rate: 5 }],
      [
        'repair',
        '{"direction":"primary-wins","dryRun":true}',
        { name: 'orders', direction: 'primary-wins', dryRun: true },
      ],
      ['restore', '{"overwrite":true}', { name: 'orders', overwrite: true }],
      ['promote', '{"force":true}', { name: 'orders', force: true }],
      ['migrate', '{"to":"lmdb:/x"}', { name: 'orders', to: 'lmdb:/x' }],
      ['take-over', undefined, { name: 'orders' }],
      ['rewrap', undefined, { name: 'orders' }],
    ];
    for (const [what, body, result] of said) {
      const answer = await ask('POST', `tiers/orders/${what}`, body === undefined ? {} : { body });
      expect(JSON.parse(answer.text)).toEqual({ result });
    }
    const wrong = await ask('POST', 'tiers/orders/repair', { body: '{"direction":"up"}' });
    expect([wrong.status, codeOf(wrong)]).toEqual([400, 'INVALID_JSON']);
  });

  it('an export is its lines, and one that fails behind the first is cut', async () => {
    exported = async function* (_name, { since }) {
      yield `{"since":${since}}\n`;
      yield '{"entries":0}\n';
    };
    const whole = await ask('POST', 'tiers/orders/export', { body: '{"since":7}' });
    expect(whole.text).toBe('{"since":7}\n{"entries":0}\n');
    exported = async function* () {
      yield 'first\n';
      throw new HoldfastError('STORAGE_UNAVAILABLE', 'gone');
    };
    await expect(ask('POST', 'tiers/orders/export')).rejects.toThrow(/aborted|ECONNRESET|hang up/);
    // oxlint-disable-next-line require-yield
    exported = async function* () {
      throw new HoldfastError('TIERS_NOT_CONFIGURED', 'none');
    };
    const none = await ask('POST', 'tiers/orders/export');
    expect([none.status, codeOf(none)]).toEqual([404, 'TIERS_NOT_CONFIGURED']);
  });

  it('an import takes more than other bodies, of one type, and its client may go', async () => {
    const body = 'x'.repeat(LIMITS.maxAdminBodyBytes * 3);
    const headers = { 'content-type': 'application/x-ndjson' };
    const answer = await ask('POST', 'tiers/orders/import', { body, headers });
    expect(JSON.parse(answer.text)).toEqual({
      result: { name: 'orders', length: body.length, overwrite: false },
    });
    const other = await ask('POST', 'tiers/orders/import', { body: '{}' });
    expect([other.status, codeOf(other)]).toEqual([415, 'UNSUPPORTED_ENCODING']);
    const over = await ask('POST', 'tiers/orders/import/overwrite', { body: 'y', headers });
    expect(over.text).toContain('"overwrite":true');
  });
});
