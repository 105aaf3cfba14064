import { connect } from 'node:net';
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { serve } from '../test/listener-fixture.ts';

/** Sends bytes as they are; everything that comes back until the other side ends. */
function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
    socket.on('end', () => resolve(text));
    socket.on('close', () => resolve(text));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' ? resolve(text) : reject(error),
    );
  });
}

const HOST = 'Host: 127.0.0.1\r\n';
const CLOSE = 'Connection: close\r\n';

function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
}

function codeOf(answer: string): string | undefined {
  return (JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as { code?: string }).code;
}

async function expectRefused(port: number, bytes: string, status: number, code: string) {
  const answer = await exchange(port, bytes);
  expect([statusOf(answer), answer.match(/application\/problem\+json/)?.length]).toEqual([
    status,
    1,
  ]);
  expect(codeOf(answer)).toBe(code);
}

describe('what the parser refuses', () => {
  it.each([
    ['both lengths', 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
    ['a length that is no number', 'Content-Length: +3\r\n\r\nabc'],
    ['an unknown transfer encoding', 'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n'],
    ['a folded header', 'A: b\r\n c\r\nContent-Length : 3\r\n\r\nabc'],
  ])('%s is 400 and the connection ends', async (_, rest) => {
    const seen: string[] = [];
    const { port } = await serve((request, response) => {
      seen.push(String(request.url));
      response.end();
    });
    const smuggled = 'GET /v1/stream/smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
    const head = `POST /v1/stream/x HTTP/1.1\r\n${HOST}`;
    await expectRefused(port, head + rest + smuggled, 400, 'INVALID_HEADER');
    expect(seen).not.toContain('/v1/stream/smuggled');
  });

  it('garbage is 400', async () => {
    const { port } = await serve();
    await expectRefused(port, 'hello\r\n\r\n', 400, 'INVALID_HEADER');
  });

  it('a body that breaks its chunks is 400', async () => {
    const { port } = await serve(() => undefined);
    const head = `POST /v1/stream/x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`;
    await expectRefused(port, `${head}2\r\nabc\r\n`, 400, 'INVALID_HEADER');
  });

  it('garbage behind a request is never an answer to it, nor a part of one', async () => {
    const unanswered = await serve(() => undefined);
    const waiting = `GET /v1/stream/x HTTP/1.1\r\n${HOST}\r\nhello\r\n\r\n`;
    expect(await exchange(unanswered.port, waiting)).toBe('');

    const { port } = await serve((_, response) => void response.write('begun'));
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.write(`GET /v1/stream/x HTTP/1.1\r\n${HOST}\r\n`);
      });
      let text = '';
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        if (text === '') socket.write('hello\r\n\r\n');
        text += chunk;
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(text));
    });
    expect(answer).toContain('begun');
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it('headers beyond the limit are 431', async () => {
    const { port } = await serve();
    const big = `GET / HTTP/1.1\r\n${HOST}A: ${'x'.repeat(20_000)}\r\n\r\n`;
    await expectRefused(port, big, 431, 'HEADERS_TOO_LARGE');
  });

  it.each([9_000, 20_000])('a url of %i bytes is 414', async (length) => {
    const { port } = await serve();
    const long = `GET /v1/stream/${'x'.repeat(length)} HTTP/1.1\r\n${HOST}${CLOSE}\r\n`;
    await expectRefused(port, long, 414, 'URL_TOO_LONG');
  });
});

describe('Host', () => {
  it.each(['evil.example', '127.0.0.1.evil.example:80'])('%s is 403 on loopback', async (host) => {
    let handled = 0;
    const { port } = await serve((_, response) => {
      handled++;
      response.end();
    });
    const bytes = `GET /v1/stream/x HTTP/1.1\r\nHost: ${host}\r\n${CLOSE}\r\n`;
    await expectRefused(port, bytes, 403, 'HOST_NOT_ALLOWED');
    expect(handled).toBe(0);
  });

  it('missing is 400, and localhost with a port is served', async () => {
    const { port } = await serve();
    await expectRefused(port, `GET / HTTP/1.1\r\n${CLOSE}\r\n`, 400, 'INVALID_HEADER');
    const bytes = `GET /v1/stream/x HTTP/1.1\r\nHost: localhost:${port}\r\n${CLOSE}\r\n`;
    expect(statusOf(await exchange(port, bytes))).toBe(200);
  });
});

describe('slow peers', () => {
  const QUICK = { headersTimeoutMs: 200, requestTimeoutMs: 400, connectionsCheckMs: 50 };

  it('headers that dribble in end with 408', async () => {
    const { port } = await serve(undefined, QUICK);
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n'));
      const dribble = setInterval(() => socket.write('A: b\r\n'), 30);
      let text = '';
      socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        clearInterval(dribble);
        resolve(text);
      });
    });
    expect(statusOf(answer)).toBe(408);
    expect(codeOf(answer)).toBe('REQUEST_TIMEOUT');
  });

  it('a connection that never says anything ends', async () => {
    const { port } = await serve(undefined, QUICK);
    await exchange(port, '');
  });

  it('a body that never ends is cut', async () => {
    const { port } = await serve((request, response) => {
      request.resume().on('end', () => response.end());
    }, QUICK);
    await exchange(port, `POST /v1/stream/x HTTP/1.1\r\n${HOST}Content-Length: 9\r\n\r\nabc`);
  });

  it('a reader that takes nothing is dropped, one that waits for data is not', async () => {
    const settings = { writeIdleTimeoutMs: 200, connectionsCheckMs: 50 };
    let stalled: Promise<unknown> | undefined;
    const { port } = await serve((request, response) => {
      if (request.url?.endsWith('wait') === true) {
        setTimeout(() => response.end('late'), 700);
        return;
      }
      stalled = new Promise((resolve) => response.once('close', () => resolve(undefined)));
      response.write(Buffer.alloc(32 * 1024 * 1024));
    }, settings);
    const waiting = exchange(port, `GET /v1/stream/wait HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`GET /v1/stream/big HTTP/1.1\r\n${HOST}\r\n`),
    );
    socket.on('error', () => undefined);
    socket.pause();
    expect(await waiting).toContain('late');
    await stalled;
    socket.destroy();
  });

  it('an idle keep-alive connection ends', async () => {
    const { port } = await serve(undefined, { keepAliveTimeoutMs: 100 });
    expect(statusOf(await exchange(port, `GET /livez HTTP/1.1\r\n${HOST}\r\n`))).toBe(200);
  });
});

describe('addresses', () => {
  it.each(['0.0.0.0', '::', '192.0.2.1'])('%s is refused unless insecure says so', async (host) => {
    await expect(serve(undefined, { host })).rejects.toMatchObject({ code: 'INVALID_SETTINGS' });
    await expect(serve(undefined, { host })).rejects.toThrow(/access control does not exist/);
  });

  it('a public address is served when insecure says so, under any name', async () => {
    const { port } = await serve(undefined, { host: '0.0.0.0', insecure: true });
    const bytes = `GET /livez HTTP/1.1\r\nHost: db.example\r\n${CLOSE}\r\n`;
    expect(statusOf(await exchange(port, bytes))).toBe(200);
  });

  it('a port that is taken says so', async () => {
    const { port } = await serve();
    await expect(serve(undefined, { port })).rejects.toThrow(/another process listens/);
  });
});

describe('own routes', () => {
  async function get(port: number, path: string, method = 'GET') {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  }

  it('say alive and ready, then draining, and refuse everything else meanwhile', async () => {
    const { port, health } = await serve();
    expect(await get(port, '/livez')).toMatchObject({ status: 200, text: '{"status":"alive"}' });
    expect(await get(port, '/readyz')).toMatchObject({ status: 200, text: '{"status":"ready"}' });
    health.drain();
    expect((await get(port, '/readyz?verbose')).text).toBe(
      '{"status":"draining","checks":{"storage":"ok","requests":"draining"}}',
    );
    expect((await get(port, '/readyz')).status).toBe(503);
    expect((await get(port, '/livez')).status).toBe(200);
    const refused = await get(port, '/v1/stream/x');
    expect([refused.status, JSON.parse(refused.text)]).toMatchObject([503, { code: 'DRAINING' }]);
    expect(refused.headers.get('retry-after')).toBe('1');
  });

  it('refuse writes and keep reads after storage failed', async () => {
    const { port, health } = await serve();
    health.fail();
    expect((await get(port, '/readyz')).status).toBe(503);
    const refused = await get(port, '/v1/stream/x', 'POST');
    expect([refused.status, JSON.parse(refused.text)]).toMatchObject([
      503,
      { code: 'NODE_FAILED' },
    ]);
    expect((await get(port, '/v1/stream/x')).status).toBe(200);
  });

  it('list streams page by page', async () => {
    const { port } = await serve();
    const first = JSON.parse((await get(port, '/v1/streams?limit=2')).text) as {
      streams: { path: string; nextOffset: string }[];
      next: string;
    };
    expect(first.streams.map((one) => one.path)).toEqual(['a', 'b']);
    expect(first.streams[0]?.nextOffset).toBe('0000000000000001_0000000000000009');
    const rest = await get(port, `/v1/streams?limit=2&after=${first.next}`);
    expect(JSON.parse(rest.text)).toMatchObject({ streams: [{ path: 'c' }] });
    expect(JSON.parse(rest.text)).not.toHaveProperty('next');
    expect(JSON.parse((await get(port, '/v1/streams?limit=3')).text)).not.toHaveProperty('next');
  });

  it.each(['limit=0', 'limit=1001', 'limit=x', 'limit=1&limit=2', 'unknown=1'])(
    'refuse a list with %s',
    async (query) => {
      const { port } = await serve();
      const refused = await get(port, `/v1/streams?${query}`);
      expect([refused.status, JSON.parse(refused.text)]).toMatchObject([
        400,
        { code: 'INVALID_QUERY' },
      ]);
    },
  );

  it('answer unknown places with 404 and wrong methods with 405', async () => {
    const { port } = await serve();
    expect((await get(port, '/nothing')).status).toBe(404);
    expect((await get(port, '/livezz')).status).toBe(404);
    const wrong = await get(port, '/v1/streams', 'POST');
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
    expect((await get(port, '/')).text).toContain('Holdfast');
  });

  it('turn a bug of a handler into 500 without telling what it was', async () => {
    const { port } = await serve(() => {
      throw new Error('secret');
    });
    const answer = await get(port, '/v1/stream/x');
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain('secret');
  });

  it('count what is in flight until it is answered or gone', async () => {
    const held: ServerResponse[] = [];
    const { port, router } = await serve((_, response) => void held.push(response));
    const answer = get(port, '/v1/stream/x');
    while (held.length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(router.inFlight).toBe(1);
    let idle = false;
    const waiting = router.idle().then(() => (idle = true));
    await new Promise(setImmediate);
    expect(idle).toBe(false);
    held[0]?.end();
    await Promise.all([answer, waiting]);
    expect(router.inFlight).toBe(0);
  });
});
