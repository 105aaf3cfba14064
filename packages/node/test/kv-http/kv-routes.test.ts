/** Every route of key-value stores over a real listener; every answer is what OpenAPI says it is. */
import { openNode, type HoldfastNode } from '../../src/index.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiWitness } from './api-witness.ts';

let node: HoldfastNode;
let api: ApiWitness;
let url: string;

beforeAll(async () => {
  node = await openNode({ memory: true });
  ({ url } = await node.listen({ port: 0 }));
  api = await ApiWitness.of(url);
});
afterAll(() => node.close());

let stores = 0;
/** Of a store of its own. */
const fresh = (): string => `/v1/kv/s${++stores}`;
const JSON_BODY = { 'content-type': 'application/json' };

async function put(target: string, body: string | Uint8Array = 'v', headers = {}): Promise<string> {
  const { status, headers: given } = await api.request('PUT', target, { body, headers });
  expect([201, 204]).toContain(status);
  return given.etag ?? '';
}

async function entriesOf(target: string): Promise<Record<string, unknown>[]> {
  const { text, status } = await api.request('GET', target);
  expect(status).toBe(200);
  return (JSON.parse(text) as { entries: Record<string, unknown>[] }).entries;
}

describe('an entry', () => {
  it('comes back byte for byte, with its version and place', async () => {
    const store = fresh();
    const bytes = Buffer.from([0, 255, 13, 10, 0]);
    const tag = await put(`${store}/a`, bytes);
    const { status, body, headers } = await api.request('GET', `${store}/a`);
    expect([status, body]).toEqual([200, bytes]);
    expect(headers.etag).toBe(tag);
    expect(`"${String(headers['holdfast-kv-version'])}"`).toBe(tag);
    expect(headers['holdfast-kv-seq']).toBe(headers['holdfast-kv-version']);
    expect(headers['cache-control']).toBe('no-store');
  });

  it('is served so that no browser runs it, whatever it was sent as', async () => {
    const store = fresh();
    await put(`${store}/x.html`, '<script>alert(1)</script>', { 'content-type': 'text/html' });
    const { headers } = await api.request('GET', `${store}/x.html`);
    expect(headers['content-type']).toBe('application/octet-stream');
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['content-disposition']).toBe('attachment');
    expect(headers['content-security-policy']).toContain('sandbox');
  });

  it('may be empty, which is not absent; and of a HEAD all but the bytes are told', async () => {
    const store = fresh();
    await put(`${store}/empty`, '');
    const got = await api.request('GET', `${store}/empty`);
    expect([got.status, got.text, got.headers['content-length']]).toEqual([200, '', '0']);
    await put(`${store}/five`, 'hello');
    const head = await api.request('HEAD', `${store}/five`);
    expect([head.status, head.text, head.headers['content-length']]).toEqual([200, '', '5']);
    const missing = await api.request('HEAD', `${store}/six`);
    expect([missing.status, missing.text]).toEqual([404, '']);
  });

  it('that is not there is 404 with a code of its own', async () => {
    const { status, code } = await api.request('GET', `${fresh()}/nothing`);
    expect([status, code]).toEqual([404, 'ENTRY_NOT_FOUND']);
  });

  it('of a store that nobody names is refused: names are narrow, some are the node’s own', async () => {
    for (const name of ['_tiers.x', 'a b', 'ä', 'x'.repeat(65), '%00', 'a%2Fb', '%3F']) {
      for (const method of ['GET', 'PUT', 'DELETE']) {
        const { status, code } = await api.request(method, `/v1/kv/${encodeURI(name)}/k`);
        expect([name, status, code]).toEqual([name, 400, 'INVALID_ENTRY_KEY']);
      }
    }
  });

  it('of any text as key, in the path or the query, is one and the same', async () => {
    const store = fresh();
    const keys = [
      'a/b//c',
      'ü€😀',
      'a b+c&d=e?f#g%h',
      '__proto__',
      'constructor',
      '\u0000\n',
      '\\',
      '...',
    ];
    for (const [at, key] of keys.entries()) {
      await put(`${store}/${encodeURIComponent(key)}`, `v${at}`);
      const query = new URLSearchParams({ key }).toString();
      expect((await api.request('GET', `${store}?${query}`)).text).toBe(`v${at}`);
      expect((await api.request('HEAD', `${store}?${query}`)).status).toBe(200);
    }
    expect((await entriesOf(store)).map(({ key }) => key).sort()).toEqual([...keys].sort());
    expect((await api.request('GET', `${store}/a/b//c`)).text).toBe('v0');
  });

  it('with dot segments in its key is reached by the query alone', async () => {
    const store = fresh();
    for (const key of ['.', '..', 'a/../b', './x', 'x/.']) {
      const path = key.split('/').map(encodeURIComponent).join('/');
      for (const written of [path, path.replaceAll('.', '%2e'), encodeURIComponent(key)]) {
        const { status, code } = await api.request('PUT', `${store}/${written}`, { body: 'x' });
        expect([written, status, code]).toEqual([written, 400, 'INVALID_PATH']);
      }
      const query = `${store}?${new URLSearchParams({ key }).toString()}`;
      await put(query, key);
      expect((await api.request('GET', query)).text).toBe(key);
      expect((await api.request('DELETE', query)).headers['holdfast-kv-changed']).toBe('true');
    }
  });

  it('is deleted, and deleting nothing says so', async () => {
    const store = fresh();
    await put(`${store}/a`);
    const first = await api.request('DELETE', `${store}/a`);
    expect([first.status, first.headers['holdfast-kv-changed']]).toEqual([204, 'true']);
    const second = await api.request('DELETE', `${store}/a`);
    expect([second.status, second.headers['holdfast-kv-changed']]).toEqual([204, 'false']);
  });
});

describe('conditions', () => {
  it('If-None-Match: * creates once: 201, then 412 with the version that is there', async () => {
    const store = fresh();
    const first = await api.request('PUT', `${store}/a`, {
      body: '1',
      headers: { 'if-none-match': '*' },
    });
    expect(first.status).toBe(201);
    const second = await api.request('PUT', `${store}/a`, {
      body: '2',
      headers: { 'if-none-match': '*' },
    });
    expect([second.status, second.code]).toEqual([412, 'PRECONDITION_FAILED']);
    expect(second.headers.etag).toBe(first.headers.etag);
    expect((await api.request('GET', `${store}/a`)).text).toBe('1');
  });

  it.each<[string, (tag: string) => string, number]>([
    ['the version', (tag) => tag, 204],
    ['a list with it', (tag) => `"9007199254740999", ${tag}, "x"`, 204],
    ['a list of versions with it', (tag) => `"999999", ${tag}`, 204],
    ['any', () => '*', 204],
    ['another version', () => '"999999"', 412],
    ['a list without it', () => '"999998", "999999"', 412],
    ['it, but weak', (tag) => `W/${tag}`, 412],
    ['a tag that is none of ours', () => '"abc"', 412],
    ['a number with a zero before it', (tag) => tag.replace('"', '"0'), 412],
    ['a number beyond all numbers', () => `"${'9'.repeat(60)}"`, 412],
    ['no tag', (tag) => tag.slice(1, -1), 400],
    ['nothing', () => '', 400],
  ])('If-Match of %s', async (_, match, status) => {
    for (const method of ['PUT', 'DELETE', 'GET']) {
      const store = fresh();
      const tag = await put(`${store}/a`, 'old');
      const headers = { 'if-match': match(tag) };
      const asked = await api.request(method, `${store}/a`, {
        body: method === 'PUT' ? 'new' : '',
        headers,
      });
      expect([method, asked.status]).toEqual([
        method,
        method === 'GET' && status === 204 ? 200 : status,
      ]);
      if (status === 412) expect(asked.headers.etag).toBe(tag);
      const after = await api.request('GET', `${store}/a`);
      const wanted =
        status !== 204 || method === 'GET' ? 'old' : method === 'PUT' ? 'new' : undefined;
      expect(after.status === 200 ? after.text : undefined).toBe(wanted);
    }
  });

  it.each(['"5"', '*', '"5", "6"'])('If-Match: %s of what is not there is 412', async (match) => {
    const store = fresh();
    for (const method of ['PUT', 'DELETE']) {
      const { status } = await api.request(method, `${store}/a`, {
        headers: { 'if-match': match },
      });
      expect(status).toBe(412);
    }
    expect(
      (await api.request('GET', `${store}/a`, { headers: { 'if-match': match } })).status,
    ).toBe(404);
  });

  it('If-None-Match of a read is 304, weak or strong, alone or in a list', async () => {
    const store = fresh();
    const tag = await put(`${store}/a`);
    for (const match of [tag, `W/${tag}`, `"x", ${tag}`, '*']) {
      const { status, text, headers } = await api.request('GET', `${store}/a`, {
        headers: { 'if-none-match': match },
      });
      expect([status, text, headers.etag]).toEqual([304, '', tag]);
    }
    const other = await api.request('GET', `${store}/a`, { headers: { 'if-none-match': '"0"' } });
    expect(other.status).toBe(200);
  });

  it.each<[string, Record<string, string>]>([
    ['PUT', { 'if-none-match': '"5"' }],
    ['PUT', { 'if-none-match': '*', 'if-match': '"5"' }],
    ['DELETE', { 'if-none-match': '*' }],
  ])('%s with %j is refused', async (method, headers) => {
    const { status, code } = await api.request(method, `${fresh()}/a`, { headers });
    expect([status, code]).toEqual([400, 'INVALID_HEADER']);
  });
});

describe('expiry', () => {
  it('is told, ends the entry, and goes with the next put', async () => {
    const store = fresh();
    const before = Date.now();
    await put(`${store}/a`, 'x', { 'holdfast-kv-ttl-ms': '3600000' });
    const { headers } = await api.request('GET', `${store}/a`);
    const expiresAt = Date.parse(String(headers['holdfast-kv-expires-at']));
    expect(expiresAt).toBeGreaterThanOrEqual(before + 3_600_000);
    expect(expiresAt).toBeLessThanOrEqual(Date.now() + 3_600_000);
    const [shown] = await entriesOf(store);
    expect(shown?.['expiresAt']).toBe(headers['holdfast-kv-expires-at']);
    await put(`${store}/a`, 'y');
    const after = await api.request('GET', `${store}/a`);
    expect(after.headers['holdfast-kv-expires-at']).toBeUndefined();
    for (const past of [
      '2001-01-01T00:00:00Z',
      '0001-01-01T00:00:00+23:59',
      '1969-12-31T23:59:59Z',
    ]) {
      await put(`${store}/a`, 'z', { 'holdfast-kv-expires-at': past });
      expect((await api.request('GET', `${store}/a`)).status).toBe(404);
    }
  });

  it('as far as numbers go has a date that is one', async () => {
    const store = fresh();
    await put(`${store}/a`, 'x', { 'holdfast-kv-ttl-ms': String(Number.MAX_SAFE_INTEGER) });
    const { headers } = await api.request('GET', `${store}/a`);
    expect(headers['holdfast-kv-expires-at']).toBe('9999-12-31T23:59:59.999Z');
    expect((await entriesOf(store))[0]?.['expiresAt']).toBe('9999-12-31T23:59:59.999Z');
  });

  it.each<Record<string, string>>([
    { 'holdfast-kv-ttl-ms': '0' },
    { 'holdfast-kv-ttl-ms': '-1' },
    { 'holdfast-kv-ttl-ms': '1.5' },
    { 'holdfast-kv-ttl-ms': '99999999999999999999' },
    { 'holdfast-kv-ttl-ms': '' },
    { 'holdfast-kv-expires-at': 'tomorrow' },
    { 'holdfast-kv-expires-at': '2026-02-30T00:00:00Z' },
    { 'holdfast-kv-ttl-ms': '5', 'holdfast-kv-expires-at': '2030-01-01T00:00:00Z' },
  ])('%j is refused', async (headers) => {
    const { status, code } = await api.request('PUT', `${fresh()}/a`, { body: 'x', headers });
    expect([status, code]).toEqual([400, 'INVALID_TTL']);
  });
});

describe('pages', () => {
  it('go through all in both orders and directions, each once', async () => {
    const store = fresh();
    const keys = Array.from(
      { length: 60 },
      (_, n) => `${n % 2 === 0 ? 'a' : 'b'}/${(n * 37) % 60}`,
    );
    for (const key of keys) await put(`${store}/${key}`, `${key}!`);
    await put(`${store}/${keys[5]}`, 'again'); // which does not move it
    for (const reverse of [false, true]) {
      for (const order of ['key', 'created'] as const) {
        const base = `${store}?order=${order}&reverse=${reverse}&limit=7&prefix=a/`;
        const found: string[] = [];
        let token: string | undefined = '';
        while (token !== undefined) {
          const { text } = await api.request('GET', `${base}&token=${token}`);
          const page = JSON.parse(text) as { entries: { key: string }[]; next?: string };
          found.push(...page.entries.map(({ key }) => key));
          token = page.next;
        }
        const wanted = keys.filter((key) => key.startsWith('a/'));
        if (order === 'key') wanted.sort();
        if (reverse !== (order === 'created')) wanted.reverse();
        expect(found).toEqual(wanted);
      }
    }
  });

  it('show values as text where they are, else in base64', async () => {
    const store = fresh();
    await put(`${store}/text`, 'ü');
    await put(`${store}/bytes`, Buffer.from([255]));
    expect(await entriesOf(`${store}?values=text`)).toMatchObject([
      { key: 'bytes', bytes: 1, value: '/w==' },
      { key: 'text', bytes: 2, text: 'ü' },
    ]);
    expect((await entriesOf(`${store}?values=base64`))[1]).toMatchObject({ value: 'w7w=' });
    expect((await entriesOf(store))[0]).not.toHaveProperty('value');
  });

  it('of large values end before their limit, and lose nothing', async () => {
    const store = fresh();
    for (let n = 0; n < 40; n++) await put(`${store}/${n}`, Buffer.alloc(400_000, n));
    const found: string[] = [];
    let pages = 0;
    for (let token: string | undefined = ''; token !== undefined; pages++) {
      const { text } = await api.request('GET', `${store}?values=base64&limit=1000&token=${token}`);
      expect(text.length).toBeLessThan(16 * 1024 * 1024);
      const page = JSON.parse(text) as { entries: { key: string }[]; next?: string };
      found.push(...page.entries.map(({ key }) => key));
      token = page.next;
    }
    expect(pages).toBeGreaterThan(2);
    expect(found.sort()).toEqual(Array.from({ length: 40 }, (_, n) => String(n)).sort());
    expect(await entriesOf(`${store}?limit=1000`)).toHaveLength(40); // without values they all fit
  });

  it('of stores come in order and leave the node’s own out', async () => {
    const names = ['zz-list-1', 'zz-list-2', 'zz-list-10'];
    for (const name of names) await put(`/v1/kv/${name}/k`);
    const found: string[] = [];
    let after: string | undefined = '';
    while (after !== undefined) {
      const { text } = await api.request('GET', `/v1/kv?limit=2&after=${after}`);
      const page = JSON.parse(text) as { stores: { name: string }[]; next?: string };
      expect(page.stores.length).toBeLessThanOrEqual(2);
      found.push(...page.stores.map(({ name }) => name));
      after = page.next;
    }
    expect(new Set(found).size).toBe(found.length);
    expect(found).toEqual(expect.arrayContaining(names));
    expect(found.some((name) => name.startsWith('_'))).toBe(false);
    expect((await api.request('GET', '/v1/kv/')).code).toBe('INVALID_ENTRY_KEY');
  });

  it.each([
    ['limit=0', 'INVALID_QUERY'],
    ['limit=1001', 'INVALID_QUERY'],
    ['limit=x', 'INVALID_QUERY'],
    ['limit=1&limit=2', 'INVALID_QUERY'],
    ['order=size', 'INVALID_QUERY'],
    ['reverse=perhaps', 'INVALID_QUERY'],
    ['values=all', 'INVALID_QUERY'],
    ['prefx=a', 'INVALID_QUERY'],
    ['__proto__=1', 'INVALID_QUERY'],
    ['prefix=%ff', 'INVALID_QUERY'],
    ['prefix=%', 'INVALID_QUERY'],
    ['since=1', 'INVALID_QUERY'],
    ['token=abc', 'INVALID_PAGE_TOKEN'],
    [`token=${'a'.repeat(5000)}`, 'INVALID_PAGE_TOKEN'],
  ])('?%s is %s', async (query, wanted) => {
    const { status, code } = await api.request('GET', `${fresh()}?${query}`);
    expect([status, code]).toEqual([400, wanted]);
  });

  it('a token of another order is refused', async () => {
    const store = fresh();
    for (const key of ['a', 'b']) await put(`${store}/${key}`);
    const { text } = await api.request('GET', `${store}?limit=1`);
    const { next } = JSON.parse(text) as { next: string };
    const { code } = await api.request('GET', `${store}?limit=1&order=created&token=${next}`);
    expect(code).toBe('INVALID_PAGE_TOKEN');
  });
});

describe('a batch', () => {
  const batch = (store: string, body: unknown, headers: object = JSON_BODY) =>
    api.request('POST', store, {
      headers: headers as Record<string, string>,
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });

  it('happens in order, all of it, with an acknowledgement for each', async () => {
    const store = fresh();
    const { status, text } = await batch(store, {
      operations: [
        { type: 'put', key: 'a', text: '1', ifAbsent: true },
        { type: 'put', key: 'b', value: '/w==', ttlMs: 60_000 },
        { type: 'put', key: 'c', text: '', expiresAt: '2999-01-01T00:00:00Z' },
        { type: 'del', key: 'nothing' },
      ],
    });
    const { acks } = JSON.parse(text) as { acks: { changed: boolean; version: number }[] };
    expect([status, acks.map(({ changed }) => changed)]).toEqual([200, [true, true, true, false]]);
    expect((await entriesOf(`${store}?values=base64`)).map(({ value }) => value)).toEqual([
      'MQ==',
      '/w==',
      '',
    ]);
    const version = acks[0]?.version;
    const second = await batch(store, {
      operations: [
        { type: 'put', key: 'd', text: 'x' },
        { type: 'del', key: 'a', ifVersion: version },
        { type: 'put', key: 'b', text: 'y', ifVersion: version },
      ],
    });
    expect([second.status, second.code]).toEqual([412, 'PRECONDITION_FAILED']);
    expect((await entriesOf(store)).map(({ key }) => key)).toEqual(['a', 'b', 'c']);
    expect((await batch(store, { operations: [] })).text).toBe('{"acks":[]}');
  });

  it.each<[unknown, string]>([
    ['', 'INVALID_JSON'],
    ['[]', 'INVALID_JSON'],
    ['{"operations":[', 'INVALID_JSON'],
    ['{"operations":{}}', 'INVALID_JSON'],
    [{ operations: [null] }, 'INVALID_JSON'],
    [{ operations: [[]] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'get', key: 'a' }] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'put', key: 5, text: '' }] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'put', key: 'a' }] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'put', key: 'a', text: '1', value: 'MQ==' }] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'put', key: 'a', text: null }] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'put', key: 'a', value: 'MQ' }] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'put', key: 'a', value: 'M*==' }] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'put', key: 'a', value: 7 }] }, 'INVALID_JSON'],
    ['{"operations":[{"type":"put","key":"a","text":"\\ud800"}]}', 'INVALID_JSON'],
    ['{"operations":[{"type":"put","key":"\\ud800","text":""}]}', 'INVALID_ENTRY_KEY'],
    ['{"operations":[{"type":"del","key":"a","__proto__":{"ifVersion":1}}]}', 'INVALID_JSON'],
    [{ operations: [{ type: 'del', key: 'a', text: '1' }] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'put', key: 'a', text: '1', ifversion: 1 }] }, 'INVALID_JSON'],
    [
      { operations: [{ type: 'put', key: 'a', text: '1', ifVersion: 1, ifAbsent: true }] },
      'INVALID_JSON',
    ],
    [{ operations: [{ type: 'put', key: 'a', text: '1', ifVersion: 1.5 }] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'put', key: 'a', text: '1', ttlMs: 0 }] }, 'INVALID_JSON'],
    [{ operations: [{ type: 'put', key: 'a', text: '1', ifAbsent: 'yes' }] }, 'INVALID_JSON'],
    [
      { operations: [{ type: 'put', key: 'a', text: '1', ttlMs: 1, expiresAt: 'x' }] },
      'INVALID_JSON',
    ],
    [{ operations: [{ type: 'put', key: 'a', text: '1', expiresAt: 'x' }] }, 'INVALID_TTL'],
    [{ operations: [{ type: 'put', key: '', text: '1' }] }, 'INVALID_ENTRY_KEY'],
    [{ operations: [], more: 1 }, 'INVALID_JSON'],
    [{ ['x'.repeat(100_000)]: 1 }, 'INVALID_JSON'],
  ])('%j is refused, and nothing of it happens', async (body, wanted) => {
    const store = fresh();
    const { status, code } = await batch(store, body);
    expect([status, code]).toEqual([400, wanted]);
    expect(await entriesOf(store)).toEqual([]);
  });

  it('of bytes that are no text, of another type, coded, or too many is refused', async () => {
    const store = fresh();
    const bad = await api.request('POST', store, {
      headers: JSON_BODY,
      body: Buffer.from([0x7b, 0xff]),
    });
    expect(bad.code).toBe('INVALID_JSON');
    const empty = '{"operations":[]}';
    expect((await batch(store, empty, { 'content-type': 'text/plain' })).code).toBe(
      'INVALID_HEADER',
    );
    expect((await batch(store, empty, {})).code).toBe('INVALID_HEADER');
    const coded = await batch(store, empty, { ...JSON_BODY, 'content-encoding': 'gzip' });
    expect([coded.status, coded.code]).toEqual([415, 'UNSUPPORTED_ENCODING']);
    const many = { operations: Array.from({ length: 200_000 }, () => ({ type: 'del', key: 'a' })) };
    const { status, code } = await batch(store, many);
    expect([status, code]).toEqual([413, 'RECORD_TOO_LARGE']);
  });
});

describe('clearing', () => {
  it('takes what begins so, or everything, when it is said', async () => {
    const store = fresh();
    for (const key of ['a/1', 'a/2', 'b/1']) await put(`${store}/${key}`);
    expect((await api.request('DELETE', `${store}?prefix=a/`)).status).toBe(204);
    expect((await entriesOf(store)).map(({ key }) => key)).toEqual(['b/1']);
    for (const query of ['', '?', '?all=false', '?prefix=', '?prefix=b&all=true', '?al=true']) {
      const { status, code } = await api.request('DELETE', store + query);
      expect([query, status, code]).toEqual([query, 400, 'INVALID_QUERY']);
    }
    expect(await entriesOf(store)).toHaveLength(1);
    expect((await api.request('DELETE', `${store}?all=true`)).status).toBe(204);
    expect(await entriesOf(store)).toEqual([]);
  });
});

describe('methods and pages of other sites', () => {
  it.each([
    ['PATCH', '/v1/kv', 'GET, HEAD, OPTIONS'],
    ['PUT', '/v1/kv/s', 'GET, HEAD, PUT, POST, DELETE, OPTIONS'],
    ['POST', '/v1/kv/s/k', 'GET, HEAD, PUT, DELETE, OPTIONS'],
    ['POST', '/v1/kv/s?key=k', 'GET, HEAD, PUT, DELETE, OPTIONS'],
    ['DELETE', '/v1/kv', 'GET, HEAD, OPTIONS'],
  ])('%s %s is 405 with the methods that are there', async (method, target, allow) => {
    const { status, code, headers } = await api.request(method, target);
    expect([status, code, headers.allow]).toEqual([405, 'METHOD_NOT_ALLOWED', allow]);
    const options = await api.request('OPTIONS', target);
    expect([options.status, options.headers.allow]).toEqual([204, allow]);
  });

  it('a page of this machine may write and read everything, a page of elsewhere nothing', async () => {
    const target = `${fresh()}/k`;
    const own = await api.request('PUT', target, {
      body: 'x',
      headers: { origin: 'http://localhost:5173' },
    });
    expect(own.status).toBe(204);
    expect(own.headers['access-control-allow-origin']).toBe('http://localhost:5173');
    expect(own.headers['access-control-expose-headers']).toContain('Holdfast-Kv-Version');
    const preflight = await api.request('OPTIONS', target, {
      headers: { origin: 'http://localhost:5173', 'access-control-request-method': 'PUT' },
    });
    expect(preflight.headers['access-control-allow-headers']).toContain('Holdfast-Kv-Ttl-Ms');
    const foreign = { origin: 'https://evil.example' };
    for (const method of ['PUT', 'DELETE']) {
      const { status, code } = await api.request(method, target, { headers: foreign });
      expect([status, code]).toEqual([403, 'ORIGIN_NOT_ALLOWED']);
    }
    const read = await api.request('GET', target, { headers: foreign });
    expect(read.headers['access-control-allow-origin']).toBeUndefined();
    const hidden = await api.request('DELETE', target, {
      headers: { 'sec-fetch-site': 'cross-site' },
    });
    expect(hidden.status).toBe(403);
  });

  it('answers to its own host names alone', async () => {
    const { status, code } = await api.request('GET', '/v1/kv', {
      headers: { host: 'evil.example' },
    });
    expect([status, code]).toEqual([403, 'HOST_NOT_ALLOWED']);
  });
});

describe('the document', () => {
  it('was true of everything above, and most of what it describes was seen', () => {
    const seen = [...api.seen];
    for (const operation of [
      'listStores',
      'getEntry',
      'putEntry',
      'deleteEntry',
      'batch',
      'clearStore',
    ]) {
      expect(seen.some((one) => one.startsWith(`${operation} `))).toBe(true);
    }
    expect(api.described()).toEqual(expect.arrayContaining(seen));
  });

  it('streams under any base path do not hide stores, and none may begin at theirs', async () => {
    const other = await openNode({ memory: true, basePath: '/' });
    const at = await other.listen({ port: 0 });
    const sent = await fetch(`${at.url}/v1/kv/s/k`, { method: 'PUT', body: 'x' });
    expect([sent.status, String(await other.kv.store('s').get('k'))]).toEqual([204, 'x']);
    await other.close();
    await expect(openNode({ memory: true, basePath: '/v1/kv/' })).rejects.toMatchObject({
      code: 'INVALID_SETTINGS',
    });
  });

  it('works through the Fetch API of the node too', async () => {
    const sent = await node.fetch(
      new Request('http://localhost/v1/kv/fetched/k', { method: 'PUT', body: 'x' }),
    );
    expect(sent.status).toBe(204);
    const got = await node.fetch(new Request('http://localhost/v1/kv/fetched/k'));
    expect(await got.text()).toBe('x');
  });
});
