import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { bridgeFetch, type RouteFunction } from './fetch-bridge.ts';

function ask(route: RouteFunction, path = '/x', init: RequestInit = {}): Promise<Response> {
  return bridgeFetch(route, new Request(`http://node.test${path}`, init));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

describe('bridgeFetch', () => {
  it('hands over method, target, headers and body, and gives back status, headers and body', async () => {
    const response = await ask(
      (request, res) => {
        void bodyOf(request).then((body) => {
          const { method, url, headers } = request;
          res.writeHead(201, ['Stream-Next-Offset', '7', 'Set-Cookie', 'a', 'Set-Cookie', 'b']);
          res.end(
            JSON.stringify({ method, url, host: headers.host, body, raw: request.rawHeaders }),
          );
        });
      },
      '/v1/stream/a%20b?offset=-1',
      { method: 'POST', body: 'hello', headers: { 'Content-Type': 'text/plain' } },
    );
    expect(response.status).toBe(201);
    expect(response.headers.get('stream-next-offset')).toBe('7');
    const seen = (await response.json()) as Record<string, unknown>;
    expect(seen).toMatchObject({
      method: 'POST',
      url: '/v1/stream/a%20b?offset=-1',
      host: 'node.test',
      body: 'hello',
    });
    expect(seen['raw']).toEqual(expect.arrayContaining(['content-type', 'text/plain', 'host']));
  });

  it('throws for a header that cannot be one, and a handler may answer otherwise', async () => {
    const response = await ask((_, res) => {
      expect(() => res.writeHead(200, ['A', 'b', 'C', 'd\r\ne: f'])).toThrow(TypeError);
      res.writeHead(500, { 'Content-Length': '0' }).end();
    });
    expect([response.status, [...response.headers]]).toEqual([500, [['content-length', '0']]]);
  });

  it('tells the handler whether the client came by TLS', async () => {
    for (const scheme of ['http', 'https']) {
      const answer = await bridgeFetch(
        (request, res) => {
          res.end(String((request.socket as { encrypted?: boolean }).encrypted === true));
        },
        new Request(`${scheme}://node.test/x`),
      );
      expect(await answer.text()).toBe(String(scheme === 'https'));
    }
  });

  it('answers HEAD and 204 without a body', async () => {
    const head = await ask((_, res) => void res.writeHead(200, { A: '1' }).end('hidden'), '/x', {
      method: 'HEAD',
    });
    expect([head.status, head.headers.get('a'), await head.text()]).toEqual([200, '1', '']);
    const empty = await ask((_, res) => void res.writeHead(204).end());
    expect([empty.status, empty.body]).toEqual([204, null]);
  });

  it('sends the head before the body is there, and each piece when it is written', async () => {
    const handled: ServerResponse[] = [];
    const answer = await ask((_, res) => {
      handled.push(res);
      res.writeHead(200, { 'Content-Type': 'text/event-stream' });
      res.flushHeaders();
    });
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    handled[0]?.write('one');
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('one');
    handled[0]?.write(Buffer.from('two'));
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('two');
    handled[0]?.end();
    expect((await reader.read()).done).toBe(true);
  });

  it('tells the handler that the reader went away when the body is cancelled', async () => {
    let closed = 0;
    const answer = await ask((_, res) => {
      res.on('close', () => closed++);
      res.writeHead(200);
      res.write('x');
    });
    await answer.body?.cancel();
    await new Promise(setImmediate);
    expect(closed).toBe(1);
  });

  it('tells the handler when the request is aborted while it waits, and rejects', async () => {
    const controller = new AbortController();
    let closed = 0;
    const answer = ask((_, res) => void res.on('close', () => closed++), '/x', {
      signal: controller.signal,
    });
    controller.abort(new Error('enough'));
    await expect(answer).rejects.toThrow('enough');
    await new Promise(setImmediate);
    expect(closed).toBe(1);
  });

  it('is cut off when the body of the request breaks off, and harms nobody else', async () => {
    const uncaught: unknown[] = [];
    const onUncaught = (error: unknown): void => void uncaught.push(error);
    process.on('uncaughtException', onUncaught);
    let broken: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => void (broken = controller),
    });
    const closed: string[] = [];
    const answer = ask(
      (request, res) => {
        request.on('data', () => undefined); // and nobody hears its errors, as on a socket
        request.once('close', () => closed.push('request'));
        res.once('close', () => closed.push('response'));
      },
      '/x',
      { method: 'POST', body, duplex: 'half' } as RequestInit,
    );
    broken?.enqueue(Buffer.from('half'));
    broken?.error(new Error('the client went away'));
    await expect(answer).rejects.toThrow();
    await new Promise(setImmediate);
    process.off('uncaughtException', onUncaught);
    expect(uncaught).toEqual([]);
    expect(closed.sort()).toEqual(['request', 'response']);
  }, 5_000);

  it('makes a fast writer wait for a slow reader', async () => {
    const chunk = Buffer.alloc(48 * 1024, 1);
    const handled: ServerResponse[] = [];
    const answer = await ask((_, res) => {
      handled.push(res);
      res.writeHead(200);
    });
    let accepted = 0;
    while (accepted < 1000 && handled[0]?.write(chunk) === true) accepted++;
    expect(accepted).toBeLessThan(20);
    const drained = new Promise((resolve) => handled[0]?.once('drain', resolve));
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    for (let i = 0; i <= accepted; i++) await reader.read();
    await drained;
    handled[0]?.destroy();
  });

  it('knows how much of a body its reader took: who reads slowly is not given up', async () => {
    const handled: ServerResponse[] = [];
    const answer = await ask((_, res) => {
      handled.push(res);
      res.writeHead(200);
      for (let i = 0; i < 4; i++) res.write(Buffer.alloc(48 * 1024));
    });
    const taken = (): unknown => (handled[0] as { bytesTaken?: unknown } | undefined)?.bytesTaken;
    expect(taken()).toBe(0);
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    for (let i = 1; i <= 3; i++) {
      await reader.read();
      await new Promise(setImmediate);
      expect(taken()).toBe(i * 48 * 1024);
    }
    handled[0]?.destroy();
  });

  it('breaks the body when the handler gives up half-way', async () => {
    const answer = await ask((_, res) => {
      res.writeHead(200);
      res.write('half', () => res.destroy());
    });
    await expect(answer.text()).rejects.toThrow();
  });

  it('rejects when the handler gives up before it answers', async () => {
    await expect(ask((_, res) => void res.destroy())).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('closes the response once when all went well', async () => {
    let closed = 0;
    const answer = await ask((_, res) => {
      res.on('close', () => closed++);
      res.end('done');
    });
    expect(await answer.text()).toBe('done');
    await new Promise(setImmediate);
    expect(closed).toBe(1);
  });
});
