/** Faults other servers had at the edges of HTTP: each one named, each one once. */
import { describe, expect, it } from 'vitest';
import { expectStatus, JSON_TYPE, OCTETS, readAll, request, TEXT } from '../http-request.ts';
import { useServer } from '../use-server.ts';

const server = useServer();
let streams = 0;

async function newStream(headers: Record<string, string> = OCTETS, body?: string): Promise<string> {
  const url = server().stream(`http/${streams++}`);
  await expectStatus(201, 'PUT', url, { headers, ...(body === undefined ? {} : { body }) });
  return url;
}

describe('Stream-Closed', () => {
  it.each(['TRUE', 'True', 'tRuE'])('%s closes as true does', async (value) => {
    const url = await newStream();
    const headers = { ...OCTETS, 'stream-closed': value };
    const answer = await expectStatus(204, 'POST', url, { headers, body: 'last' });
    expect(answer.headers['stream-closed']).toBe('true');
    expect((await readAll(url)).toString()).toBe('last');
    await expectStatus(409, 'POST', url, { headers: OCTETS, body: 'more' });
    const created = server().stream(`http/closed-${value}`);
    await expectStatus(201, 'PUT', created, { headers });
    expect((await request('HEAD', created)).headers['stream-closed']).toBe('true');
  });

  it.each(['false', 'yes', '1', '', 'true,true', 'truee'])('%j is no closure', async (value) => {
    const url = await newStream();
    const headers = { ...OCTETS, 'stream-closed': value };
    await expectStatus(204, 'POST', url, { headers, body: 'data' });
    expect((await request('HEAD', url)).headers['stream-closed']).toBeUndefined();
  });
});

describe('If-None-Match', () => {
  it('takes one tag, a weak tag, a list and a star', async () => {
    const url = await newStream(OCTETS, 'body');
    const etag = (await expectStatus(200, 'GET', `${url}?offset=-1`)).headers.etag as string;
    expect(etag).toMatch(/^"[^"]+"$/);
    for (const value of [etag, `W/${etag}`, `"a", ${etag}`, `"a,b" , W/"c",W/${etag}`, '*']) {
      const headers = { 'if-none-match': value };
      const again = await request('GET', `${url}?offset=-1`, { headers });
      expect([value, again.status, again.body.length]).toEqual([value, 304, 0]);
      expect(again.headers.etag).toBe(etag);
    }
    for (const value of ['"other"', 'W/"other"', `"${etag.slice(1, -2)}"`, '""', ',']) {
      const headers = { 'if-none-match': value };
      const again = await request('GET', `${url}?offset=-1`, { headers });
      expect([value, again.status, again.text]).toEqual([value, 200, 'body']);
    }
  });

  it('does not hide new data or closure', async () => {
    const url = await newStream(OCTETS, 'one');
    const tag = async (): Promise<string> =>
      (await expectStatus(200, 'GET', `${url}?offset=-1`)).headers.etag as string;
    const first = await tag();
    await expectStatus(204, 'POST', url, { headers: OCTETS, body: 'two' });
    const second = await tag();
    await expectStatus(204, 'POST', url, { headers: { 'stream-closed': 'true' } });
    const third = await tag();
    expect(new Set([first, second, third]).size).toBe(3);
    const headers = { 'if-none-match': second };
    const closed = await expectStatus(200, 'GET', `${url}?offset=-1`, { headers });
    expect(closed.headers['stream-closed']).toBe('true');
  });

  it('a new stream at an old path has other tags', async () => {
    const url = await newStream(OCTETS, 'same');
    const before = (await expectStatus(200, 'GET', url)).headers.etag;
    await expectStatus(204, 'DELETE', url);
    await expectStatus(201, 'PUT', url, { headers: OCTETS, body: 'same' });
    expect((await expectStatus(200, 'GET', url)).headers.etag).not.toBe(before);
  });
});

describe('caching and methods', () => {
  it('a read may be cached; HEAD and offset=now may not', async () => {
    const url = await newStream(OCTETS, 'body');
    const read = await expectStatus(200, 'GET', `${url}?offset=-1`);
    expect(read.headers['cache-control']).toMatch(/max-age=60/);
    expect((await request('HEAD', url)).headers['cache-control']).toMatch(/no-store/);
    const now = await expectStatus(200, 'GET', `${url}?offset=now`);
    expect(now.headers['cache-control']).toMatch(/no-store/);
  });

  it.each(['PATCH', 'TRACE', 'PROPFIND', 'SEARCH'])(
    '%s is 405 and says what is allowed',
    async (method) => {
      const url = await newStream();
      const answer = await request(method, url);
      expect(answer.status).toBe(405);
      for (const allowed of ['GET', 'HEAD', 'PUT', 'POST', 'DELETE']) {
        expect(answer.headers.allow).toMatch(new RegExp(`\\b${allowed}\\b`));
      }
    },
  );

  it('bytes of a stream are never run by a browser', async () => {
    const url = await newStream({ 'content-type': 'text/html' }, '<script>alert(1)</script>');
    const read = await expectStatus(200, 'GET', url);
    expect(read.headers['x-content-type-options']).toBe('nosniff');
    const policy = String(read.headers['content-security-policy'] ?? '');
    const disposition = String(read.headers['content-disposition'] ?? '');
    expect(/\bsandbox\b/.test(policy) || disposition.startsWith('attachment')).toBe(true);
  });
});

describe('time to live and expiry', () => {
  it.each([
    '18446744073709551615',
    '99999999999999999999',
    '9007199254740993',
    '-1',
    '+60',
    '060',
    '60.0',
    '6e1',
    'NaN',
    '1 2',
    '',
    '0x10',
    'Infinity',
  ])('Stream-TTL %j is 400 and makes nothing', async (value) => {
    const url = server().stream(`http/ttl-${streams++}`);
    const answer = await request('PUT', url, { headers: { ...OCTETS, 'stream-ttl': value } });
    expect([value, answer.status, answer.code]).toEqual([value, 400, 'INVALID_TTL']);
    expect((await request('HEAD', url)).status).toBe(404);
  });

  it('Stream-TTL 0 is answered, never with a fault of the server', async () => {
    const url = server().stream('http/ttl-zero');
    const answer = await request('PUT', url, { headers: { ...OCTETS, 'stream-ttl': '0' } });
    expect([201, 400]).toContain(answer.status);
    expect([404, 410]).toContain((await request('GET', url)).status);
  });

  it.each([
    '1 Jan 2099',
    '2024-01-01',
    '2099-01-01',
    '2099-01-01T00:00:00',
    '2099-02-30T00:00:00Z',
    '2099-13-01T00:00:00Z',
    '2099-01-01T25:00:00Z',
    '2099-01-01 00:00:00Z x',
    '99999999999999',
    'tomorrow',
    '',
  ])('Stream-Expires-At %j is 400 and makes nothing', async (value) => {
    const url = server().stream(`http/expires-${streams++}`);
    const answer = await request('PUT', url, {
      headers: { ...OCTETS, 'stream-expires-at': value },
    });
    expect([value, answer.status, answer.code]).toEqual([value, 400, 'INVALID_TTL']);
    expect((await request('HEAD', url)).status).toBe(404);
  });

  it.each(['2099-01-01T00:00:00Z', '2099-01-01T00:00:00.123456+02:00'])(
    'Stream-Expires-At %j is kept',
    async (value) => {
      const headers = { ...OCTETS, 'stream-expires-at': value };
      const url = server().stream(`http/expires-${streams++}`);
      await expectStatus(201, 'PUT', url, { headers });
      const told = String((await request('HEAD', url)).headers['stream-expires-at']);
      expect(Date.parse(told)).toBe(Date.parse(value));
      await expectStatus(200, 'PUT', url, { headers });
    },
  );
});

describe('names', () => {
  it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty', 'valueOf'])(
    'Producer-Id %s is an ordinary producer',
    async (id) => {
      const url = await newStream();
      const send = (seq: number) =>
        request('POST', url, {
          headers: {
            ...OCTETS,
            'producer-id': id,
            'producer-epoch': '0',
            'producer-seq': String(seq),
          },
          body: String(seq),
        });
      const statuses = [];
      for (const seq of [0, 0, 1, 3]) statuses.push((await send(seq)).status);
      expect(statuses).toEqual([200, 204, 200, 409]);
      expect((await readAll(url)).toString()).toBe('01');
    },
  );

  it.each([
    'constructor',
    '__proto__',
    'toString',
    'a/__proto__/b',
    '.updates',
    'a%20b',
    '%E4%BD%A0',
  ])('a stream may be called %s', async (name) => {
    const url = server().stream(name);
    expect((await request('HEAD', url)).status).toBe(404);
    await expectStatus(201, 'PUT', url, { headers: TEXT, body: name });
    expect((await readAll(url)).toString()).toBe(name);
  });

  it('a long path works whole, a too long one is 414, and neither is a fault', async () => {
    const long = server().stream(`${'p'.repeat(500)}/${'q'.repeat(500)}`);
    await expectStatus(201, 'PUT', long, { headers: OCTETS, body: 'x' });
    const fork = { 'stream-forked-from': new URL(long).pathname };
    await expectStatus(201, 'PUT', server().stream('http/fork-of-long'), { headers: fork });
    expect((await readAll(server().stream('http/fork-of-long'))).toString()).toBe('x');
    for (const length of [1_100, 1_900, 2_000, 6_000, 8_100]) {
      const answer = await request('PUT', server().stream('p'.repeat(length)), { headers: OCTETS });
      expect([length, answer.status]).toEqual([length, 414]);
    }
    // Beyond what the HTTP parser takes at all.
    const huge = await request('PUT', server().stream('p'.repeat(60_000)), { headers: OCTETS });
    expect([400, 414, 431]).toContain(huge.status);
  });

  it.each([
    '../../etc/passwd',
    'a/../b',
    'a/..',
    './a',
    'a/./b',
    '%2e%2e/a',
    'a/%2E%2e/b',
    '..%2fa',
  ])('%s leaves no prefix and makes no stream', async (name) => {
    const answer = await request('PUT', server().stream(name), { headers: OCTETS });
    expect(answer.status).toBe(400);
    expect(answer.code).toBe('INVALID_PATH');
    for (const path of ['/etc/passwd', '/v1/stream/etc/passwd', '/v1/stream/b', '/v1/stream/a']) {
      expect((await request('HEAD', server().url + path)).status).toBe(404);
    }
  });
});

describe('cursors', () => {
  it.each(['0', '5', '999999999999999', '9007199254740991'])(
    'a live answer to cursor %s carries a greater decimal one',
    async (cursor) => {
      const url = await newStream(JSON_TYPE, '[1]');
      const read = await expectStatus(
        200,
        'GET',
        `${url}?offset=-1&live=long-poll&cursor=${cursor}`,
      );
      const next = String(read.headers['stream-cursor']);
      expect(next).toMatch(/^\d+$/);
      expect(BigInt(next) > BigInt(cursor)).toBe(true);
    },
  );

  it.each(['999999999999999999999999', '1e21', '-5', 'abc', '1.5'])(
    'cursor %s never comes back as a number that is not one',
    async (cursor) => {
      const url = await newStream(JSON_TYPE, '[1]');
      const read = await request('GET', `${url}?offset=-1&live=long-poll&cursor=${cursor}`);
      const refused = read.status === 400;
      const next = String(read.headers['stream-cursor'] ?? '');
      const floor = /^\d+$/.test(cursor) ? BigInt(cursor) : -1n;
      const greater = /^\d+$/.test(next) && BigInt(next) > floor;
      expect([read.status, next, refused || greater]).toEqual([read.status, next, true]);
    },
  );
});

describe('offsets between and beyond appends', () => {
  it('an offset inside an append gives that append whole; past the tail is empty', async () => {
    const url = await newStream();
    const offsets: string[] = [];
    for (const body of ['first;', 'x', 'third;']) {
      offsets.push((await expectStatus(204, 'POST', url, { headers: OCTETS, body })).nextOffset);
    }
    const plusOne = (offset: string): string => {
      const [left, right] = offset.split('_') as [string, string];
      return `${left}_${String(Number(right) + 1).padStart(right.length, '0')}`;
    };
    const start = '0000000000000000_0000000000000000';
    expect((await readAll(url, start)).toString()).toBe('first;xthird;');
    expect((await readAll(url, plusOne(offsets[0] as string))).toString()).toBe('xthird;');
    expect((await readAll(url, plusOne(offsets[1] as string))).toString()).toBe('third;');
    const past = await expectStatus(200, 'GET', `${url}?offset=${plusOne(offsets[2] as string)}`);
    expect([past.text, past.headers['stream-up-to-date']]).toEqual(['', 'true']);
    expect(past.nextOffset).toBe(offsets[2]);
    const beyond = '9999999999999999_9999999999999999';
    await expectStatus(400, 'GET', `${url}?offset=${beyond}`);
  });
});
