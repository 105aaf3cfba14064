/** What a browser may do here, and what it does with what it gets. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openNode, type HoldfastNode, type NodeSettingsInput } from '../src/index.ts';
import { LiveReader } from './live-reader.ts';
import { request } from './http-request.ts';

const TEXT = { 'content-type': 'text/plain' };
const opened: HoldfastNode[] = [];
afterAll(async () => {
  for (const node of opened) await node.close();
});

async function open(
  settings: NodeSettingsInput = {},
): Promise<{ url: string; node: HoldfastNode }> {
  const node = await openNode({ memory: true, port: 0, longPollTimeoutMs: 50, ...settings });
  opened.push(node);
  const { port } = await node.listen();
  return { url: `http://127.0.0.1:${port}`, node };
}

let url = '';
let node: HoldfastNode;
beforeAll(async () => {
  ({ url, node } = await open());
});

describe('bytes of a stream', () => {
  const ACTIVE = [
    'text/html',
    'TEXT/HTML',
    'text/html; charset=utf-8',
    'Text/Html ;charset="UTF-8"',
    'application/xhtml+xml',
    'text/xml',
    'application/xml',
    'image/svg+xml',
    'application/rss+xml',
    'application/pdf',
    'text/javascript',
    'application/javascript; charset=utf-8',
    'application/ecmascript',
    'application/wasm',
    'text/css',
    'multipart/x-mixed-replace; boundary=x',
    'multipart/form-data; boundary=x',
    'message/rfc822',
    'text/vtt',
    'application/x-shockwave-flash',
    'application/java-archive',
    'text/x-component',
    'application/mathml+xml',
    'application/octet-stream+x',
    'application/unheard-of',
    'x-any/x-thing',
  ];
  const PASSIVE = [
    'application/json',
    'application/json; charset=utf-8',
    'application/octet-stream',
    'text/plain',
    'TEXT/PLAIN; charset=UTF-8',
    'image/png',
    'audio/ogg',
  ];

  it.each([
    ...ACTIVE.map((type) => [type, true] as const),
    ...PASSIVE.map((type) => [type, false] as const),
  ])('as %s are never run: attachment %s', async (type, attachment) => {
    const stream = `${url}/v1/stream/served`;
    const body = type.toLowerCase().startsWith('application/json') ? '1' : '<script>1</script>';
    const headers = { 'content-type': type };
    expect((await request('PUT', stream, { headers, body })).status).toBe(201);
    const answers = await Promise.all([
      request('GET', stream),
      request('HEAD', stream),
      request('GET', `${stream}?offset=-1&live=long-poll`),
    ]);
    for (const answer of answers) {
      expect(answer.headers['content-type']).toBe(type);
      expect(answer.headers['x-content-type-options']).toBe('nosniff');
      expect(answer.headers['content-security-policy']).toBe("sandbox; default-src 'none'");
      expect(answer.headers['cross-origin-resource-policy']).toBe('cross-origin');
      expect(answer.headers['content-disposition']).toBe(attachment ? 'attachment' : undefined);
    }
    const events = await LiveReader.open(`${stream}?offset=-1&live=sse`);
    expect(events.head).toContain('Content-Type: text/event-stream\r\n');
    expect(events.head).toContain('X-Content-Type-Options: nosniff');
    expect(events.head).toContain("Content-Security-Policy: sandbox; default-src 'none'");
    events.destroy();
    await node.streams.delete('served');
  });

  it.each(['text', '/html', 'text/', 'text/html, text/plain', 'text/html;a', 'a b/c', ''])(
    'cannot have the type %j',
    async (type) => {
      const stream = `${url}/v1/stream/typed`;
      const answer = await request('PUT', stream, { headers: { 'content-type': type } });
      expect([answer.status, answer.code]).toEqual([400, 'INVALID_HEADER']);
    },
  );
});

describe('answers of the node itself', () => {
  it.each([
    ['GET', '/', 200],
    ['GET', '/livez', 200],
    ['GET', '/readyz?verbose', 200],
    ['GET', '/v1/streams', 200],
    ['HEAD', '/v1/streams', 200],
    ['OPTIONS', '/v1/streams', 204],
    ['OPTIONS', '/livez', 204],
    ['GET', '/nothing', 404],
    ['POST', '/livez', 405],
    ['GET', '/v1/streams?limit=0', 400],
    ['GET', '/v1/stream/nobody', 404],
  ])(
    '%s %s have the guards, and the rules for pages, that streams have',
    async (method, path, status) => {
      const near = 'http://localhost:3000';
      for (const [origin, allowed] of [
        [near, near],
        ['https://evil.example', undefined],
      ] as const) {
        const answer = await request(method, url + path, { headers: { origin } });
        expect(answer.status).toBe(status);
        expect(answer.headers['x-content-type-options']).toBe('nosniff');
        expect(answer.headers['cross-origin-resource-policy']).toBe('cross-origin');
        expect(answer.headers['cache-control']).toBe('no-store');
        expect(answer.headers['access-control-allow-origin']).toBe(allowed);
        expect(answer.headers.vary).toContain('Origin');
      }
    },
  );
});

interface Visit {
  readonly origin?: string;
  readonly 'sec-fetch-site'?: string;
  readonly host?: string;
}

const FAR = 'https://evil.example';

describe('a page', () => {
  /** Status of a write, and whether the page may read the answer of a read. */
  async function visit(to: string, headers: Visit): Promise<[number, boolean]> {
    const target = `${to}/v1/stream/visited`;
    const given = { ...TEXT, ...headers } as Record<string, string>;
    const write = await request('POST', target, { headers: given, body: 'x' });
    const read = await request('GET', target, { headers: given });
    const told = read.headers['access-control-allow-origin'];
    return [write.status, told !== undefined && (told === '*' || told === headers.origin)];
  }

  it.each<[string, NodeSettingsInput, Visit, [number, boolean]]>([
    ['nobody', {}, {}, [204, false]],
    ['of this machine', {}, { origin: 'http://localhost:5173' }, [204, true]],
    ['of this machine by number', {}, { origin: 'http://127.0.0.1' }, [204, true]],
    ['of this machine by IPv6', {}, { origin: 'http://[::1]:80' }, [204, true]],
    ['of elsewhere', {}, { origin: FAR }, [403, false]],
    ['of a name like ours', {}, { origin: 'http://localhost.evil.example' }, [403, false]],
    ['of a number like ours', {}, { origin: 'http://127.0.0.1.evil.example' }, [403, false]],
    ['of a user like ours', {}, { origin: 'http://localhost@evil.example' }, [403, false]],
    ['without an origin to tell', {}, { origin: 'null' }, [403, false]],
    ['of a file', {}, { origin: 'file://' }, [403, false]],
    ['that hides its origin', {}, { 'sec-fetch-site': 'cross-site' }, [403, false]],
    ['of a neighbour that hides it', {}, { 'sec-fetch-site': 'same-site' }, [403, false]],
    ['of its own that hides it', {}, { 'sec-fetch-site': 'same-origin' }, [204, false]],
    ['typed by a person', {}, { 'sec-fetch-site': 'none' }, [204, false]],
    [
      'allowed',
      { allowedOrigins: [FAR] },
      { origin: FAR, 'sec-fetch-site': 'cross-site' },
      [204, true],
    ],
    [
      'not among the allowed',
      { allowedOrigins: ['https://app.example'] },
      { origin: FAR },
      [403, false],
    ],
    [
      'of this machine once others are allowed',
      { allowedOrigins: [FAR] },
      { origin: 'http://localhost:1' },
      [403, false],
    ],
    ['of anywhere', { allowedOrigins: ['*'] }, { origin: FAR }, [204, true]],
    [
      'of an allowed host in capitals',
      { allowedOrigins: ['https://app.example'] },
      { origin: 'https://APP.example' },
      [403, false],
    ],
    [
      'of the host it is reached by',
      { allowedHosts: ['db.example'] },
      { origin: 'https://db.example', host: 'db.example' },
      [204, false],
    ],
  ])('%s', async (_name, settings, headers, expected) => {
    const server = await open(settings);
    await server.node.streams.open('visited', { contentType: 'text/plain' });
    expect(await visit(server.url, headers)).toEqual(expected);
  });

  it('asks before it sends what is not simple, and is told only when it may', async () => {
    const ask = (origin: string) =>
      request('OPTIONS', `${url}/v1/stream/x`, {
        headers: {
          origin,
          'access-control-request-method': 'PUT',
          'access-control-request-headers': 'stream-ttl',
        },
      });
    const near = await ask('http://localhost:1');
    expect([near.status, near.headers['access-control-allow-origin']]).toEqual([
      204,
      'http://localhost:1',
    ]);
    expect(near.headers['access-control-allow-methods']).toContain('PUT');
    expect(near.headers['access-control-allow-headers']).toContain('Stream-TTL');
    expect(near.headers['access-control-allow-credentials']).toBeUndefined();
    expect((await ask(FAR)).headers['access-control-allow-origin']).toBeUndefined();
  });
});

describe('a name that leads here', () => {
  it.each<[string, NodeSettingsInput, string, number]>([
    ['of this machine', {}, 'localhost', 204],
    ['of this machine with a port', {}, 'LOCALHOST:65535', 204],
    ['below localhost', {}, 'app.localhost:80', 204],
    ['as a number', {}, '127.0.0.1', 204],
    ['as IPv6', {}, '[::1]:80', 204],
    ['that somebody made lead here', {}, 'rebind.evil.example', 403],
    ['with our number in front', {}, '127.0.0.1.evil.example', 403],
    ['of a private network', {}, '192.168.0.1', 403],
    ['as one number', {}, '2130706433', 403],
    ['as a short number', {}, '127.1', 403],
    ['as an octal number', {}, '0177.0.0.1', 403],
    ['as no number', {}, '0.0.0.0', 403],
    ['with a dot at the end', {}, 'localhost.', 403],
    ['that is allowed', { allowedHosts: ['db.example'] }, 'DB.example:443', 204],
    ['beside the allowed', { allowedHosts: ['db.example'] }, 'x.db.example', 403],
  ])('%s', async (_name, settings, host, status) => {
    const server = await open(settings);
    await server.node.streams.open('named', { contentType: 'text/plain' });
    for (const [method, path] of [
      ['POST', '/v1/stream/named'],
      ['OPTIONS', '/v1/stream/named'],
    ] as const) {
      const answer = await request(method, server.url + path, {
        headers: { ...TEXT, host },
        ...(method === 'POST' ? { body: 'x' } : {}),
      });
      expect([method, answer.status]).toEqual([method, status]);
      if (status === 403 && method === 'POST') expect(answer.code).toBe('HOST_NOT_ALLOWED');
    }
  });
});
