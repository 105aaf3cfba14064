/** What a connection may do: ask in order, in every form HTTP has, at a pace that is one. */
import net from 'node:net';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LIMITS } from '@holdfast/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openNode, type HoldfastNode } from '../src/index.ts';
import { serve } from './listener-fixture.ts';
import { exchange, patientExchange } from './raw-exchange.ts';

const HOST = 'Host: 127.0.0.1\r\n';
const TEXT = 'Content-Type: text/plain\r\n';

let node: HoldfastNode;
let port = 0;
beforeAll(async () => {
  node = await openNode({ memory: true, port: 0, longPollTimeoutMs: 300 });
  ({ port } = await node.listen());
});
afterAll(() => node.close());

function post(path: string, body: string, headers = ''): string {
  return `POST /v1/stream/${path} HTTP/1.1\r\n${HOST}${TEXT}${headers}Content-Length: ${body.length}\r\n\r\n${body}`;
}

function get(path: string, headers = ''): string {
  return `GET /v1/stream/${path} HTTP/1.1\r\n${HOST}${headers}\r\n`;
}

async function newStream(path: string): Promise<void> {
  const head = `PUT /v1/stream/${path} HTTP/1.1\r\n${HOST}${TEXT}Connection: close\r\n\r\n`;
  expect((await exchange(port, head)).statuses).toEqual([201]);
}

describe('requests sent ahead of their answers', () => {
  it('take effect in their order', async () => {
    await newStream('ordered');
    const letters = 'abcdefghijklmnopqrstuvwxyz';
    const bytes = [...letters].map((letter) => post('ordered', letter)).join('');
    const answer = await exchange(port, bytes + get('ordered', 'Connection: close\r\n'));
    expect(answer.statuses).toEqual([...[...letters].map(() => 204), 200]);
    expect(answer.text.endsWith(letters)).toBe(true);
  });

  it('wait for one that takes long, also for its answer', async () => {
    const begun: string[] = [];
    const held: ServerResponse[] = [];
    const served = await serve((request, response) => {
      begun.push(String(request.url));
      held.push(response);
    });
    const answer = exchange(served.port, get('1') + get('2') + get('3', 'Connection: close\r\n'));
    for (let n = 1; n <= 3; n++) {
      while (held.length < n) await new Promise((resolve) => setTimeout(resolve, 2));
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(begun).toHaveLength(n);
      held[n - 1]?.end(String(n));
    }
    expect((await answer).statuses).toEqual([200, 200, 200]);
  });

  it('are not begun once the connection is gone', async () => {
    const begun: string[] = [];
    const held: ServerResponse[] = [];
    const served = await serve((request, response) => {
      begun.push(String(request.url));
      held.push(response);
    });
    const socket = net.connect(served.port, '127.0.0.1', () => socket.write(get('1') + get('2')));
    while (held.length < 1) await new Promise((resolve) => setTimeout(resolve, 2));
    const gone = new Promise((resolve) => held[0]?.once('close', resolve));
    socket.destroy();
    await gone;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(begun).toEqual(['/v1/stream/1']);
  });

  it('beyond the limit end in 429, and in the end of the connection', async () => {
    await newStream('ahead');
    const count = 3 * LIMITS.maxPipelinedRequests;
    const answer = await exchange(port, post('ahead', 'x').repeat(count));
    const kept = answer.statuses.filter((status) => status === 204).length;
    expect(answer.statuses.at(-1)).toBe(429);
    expect(answer.text).toContain('CLIENT_QUOTA_EXCEEDED');
    expect(answer.closed).toBe(true);
    // What was answered with success, and nothing else, has happened.
    expect(kept).toBe(answer.statuses.length - 1);
    expect(kept).toBeLessThan(count);
    expect(Number(node.streams.info('ahead').nextOffset.split('_')[0])).toBe(kept);
  });
});

describe('requests that keep coming ahead of an answer that takes long', () => {
  it('end the connection when they are many: each is an object a hundred times its size', async () => {
    let begun = 0;
    const served = await serve(() => void begun++); // and never answers
    const socket = net.connect(served.port, '127.0.0.1').on('error', () => undefined);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const requests = get('x').repeat(1_000);
    for (let round = 0; round < 100 && !socket.destroyed; round++) {
      const taken = new Promise<void>((resolve) => socket.write(requests, () => resolve()));
      await Promise.race([closed, taken]);
    }
    await closed;
    expect(begun).toBe(1);
  });

  it('end in 429 when they are large, before they are many', async () => {
    const held: ServerResponse[] = [];
    const served = await serve((_, response) => {
      if (held.push(response) > 1) response.end();
    });
    const body = 'x'.repeat(8_000);
    const head = `POST /v1/stream/x HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n\r\n`;
    const count = LIMITS.maxPipelinedRequests - 4;
    expect(count * body.length).toBeGreaterThan(LIMITS.maxPipelinedBytes);
    const answer = exchange(served.port, (head + body).repeat(count));
    await new Promise((resolve) => setTimeout(resolve, 200)); // all of it is taken, or is not
    held[0]?.end();
    const { statuses, closed } = await answer;
    expect(closed).toBe(true);
    expect(statuses.at(-1)).toBe(429);
    expect(statuses.length).toBeLessThan(count);
  });
});

describe('forms of a request', () => {
  it.each([
    ['http', 'http://127.0.0.1/v1/stream/forms?offset=-1', 200],
    ['https in capitals', 'HTTPS://LOCALHOST:1/v1/stream/forms', 200],
    ['without a path', 'http://127.0.0.1', 200],
    ['with a query alone', 'http://127.0.0.1?x=1', 200],
    ['of another scheme', 'ftp://127.0.0.1/v1/stream/forms', 400],
    ['of a foreign host', 'http://evil.example/v1/stream/forms', 403],
    ['with an empty host', 'http:///v1/stream/forms', 400],
  ])('an absolute target %s', async (_name, target, status) => {
    if (status === 200 && target.includes('offset')) await newStream('forms');
    const bytes = `GET ${target} HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`;
    expect((await exchange(port, bytes)).statuses).toEqual([status]);
  });

  it('the host of an absolute target counts, the header does not', async () => {
    const bytes = `PUT http://127.0.0.1:9/v1/stream/absolute HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`;
    const answer = await exchange(port, bytes);
    expect(answer.statuses).toEqual([201]);
    expect(answer.text).toContain('Location: http://127.0.0.1:9/v1/stream/absolute');
  });

  it('OPTIONS * tells the methods', async () => {
    const answer = await exchange(port, `OPTIONS * HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`);
    expect(answer.statuses).toEqual([204]);
    expect(answer.text).toContain('Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS');
    const other = await exchange(port, `GET * HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`);
    expect(other.statuses).toEqual([404]);
  });

  it('CONNECT and TRACE are 405', async () => {
    const tunnel = await exchange(port, `CONNECT 127.0.0.1:22 HTTP/1.1\r\n${HOST}\r\n`);
    expect([tunnel.statuses, tunnel.closed]).toEqual([[405], true]);
    const trace = `TRACE /v1/stream/forms HTTP/1.1\r\n${HOST}Cookie: secret\r\nConnection: close\r\n\r\n`;
    const answer = await exchange(port, trace);
    expect(answer.statuses).toEqual([405]);
    expect(answer.text).not.toContain('secret');
  });

  it('CONNECT behind the last request of a connection harms nobody', async () => {
    const tunnel = `CONNECT 127.0.0.1:22 HTTP/1.1\r\n${HOST}\r\n`;
    for (const before of [
      'GET /livez HTTP/1.0\r\n\r\n',
      `GET /x HTTP/1.1\r\n${HOST}Host: x\r\n\r\n`,
    ]) {
      const answer = await exchange(port, before + tunnel);
      expect(answer.statuses).toHaveLength(1);
    }
    expect((await exchange(port, `GET /livez HTTP/1.1\r\n${HOST}\r\n`)).statuses).toEqual([200]);
  });

  it('a HEAD that is refused has no body, also when the parser refuses it', async () => {
    for (const bytes of [`HEAD x:y HTTP/1.1\r\n${HOST}\r\n`, 'HEAD / HTTP/1.1\r\n\r\n']) {
      const answer = await exchange(port, bytes);
      expect(answer.statuses).toEqual([400]);
      expect(answer.text.endsWith('\r\n\r\n')).toBe(true);
    }
  });

  it('an upgrade is not made: the request is answered as it is', async () => {
    for (const to of ['websocket', 'h2c']) {
      const bytes = `GET /livez HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: ${to}\r\n\r\n`;
      expect((await exchange(port, bytes)).statuses).toEqual([200]);
    }
  });

  it('100-continue is said to whom may send its body, and to nobody else', async () => {
    await newStream('expects');
    const head = (headers: string, length: number): string =>
      `POST /v1/stream/expects HTTP/1.1\r\n${HOST}${headers}Expect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;
    expect((await exchange(port, head(TEXT, 1), 'x')).statuses).toEqual([100, 204]);
    const coded = head(`${TEXT}Content-Encoding: gzip\r\n`, 1);
    expect((await exchange(port, coded)).statuses).toEqual([415]);
    const long = await patientExchange(1_500, port, head(TEXT, LIMITS.maxBodyBytes + 1));
    expect([long.statuses, long.closed]).toEqual([[413], true]);
  });

  it('as many headers as there may be are taken, one more is 431', async () => {
    const bytes = (count: number): string =>
      `GET /livez HTTP/1.1\r\n${HOST}Connection: close\r\n${'A: b\r\n'.repeat(count - 2)}\r\n`;
    const { maxRequestHeaders } = LIMITS;
    expect((await exchange(port, bytes(maxRequestHeaders))).statuses).toEqual([200]);
    const refused = await exchange(port, bytes(maxRequestHeaders + 1));
    expect([refused.statuses, refused.closed]).toEqual([[431], true]);
    // Node.js would have left out what came after the first two thousand.
    const hidden = `POST /v1/stream/expects HTTP/1.1\r\n${HOST}${'A:b\r\n'.repeat(2_001)}Content-Encoding: gzip\r\n\r\n`;
    expect((await exchange(port, hidden)).statuses).toEqual([431]);
  });
});

describe('pace', () => {
  const QUICK = {
    headersTimeoutMs: 5_000,
    connectionsCheckMs: 50,
    bodyWindowMs: 300,
    writeIdleTimeoutMs: 300,
    keepAliveTimeoutMs: 5_000,
  };
  /** Ends the response when all of the body is here. */
  const whole = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume().on('end', () => response.end('whole'));
  };

  /** Sends a piece every so often until the other side ends. */
  function trickle(to: number, head: string, piece: string, everyMs: number, pieces = Infinity) {
    return new Promise<string>((resolve) => {
      const socket = net.connect(to, '127.0.0.1', () => socket.write(head));
      let text = '';
      let sent = 0;
      const timer = setInterval(() => {
        if (sent++ < pieces) socket.write(piece);
      }, everyMs);
      socket.setEncoding('latin1').on('data', (part: string) => (text += part));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        clearInterval(timer);
        resolve(text);
      });
    });
  }

  it('a body that trickles is 408 and never has an effect', async () => {
    let ended = false;
    const served = await serve((request, response) => {
      whole(request, response);
      request.on('end', () => (ended = true));
    }, QUICK);
    for (const framing of ['Content-Length: 50', 'Transfer-Encoding: chunked']) {
      const head = `POST /v1/stream/x HTTP/1.1\r\n${HOST}${framing}\r\n\r\n`;
      const text = await trickle(
        served.port,
        head,
        framing.startsWith('C') ? 'x' : '1\r\nx\r\n',
        40,
      );
      expect(text).toMatch(/^HTTP\/1\.1 408 /);
      expect(text).toContain('REQUEST_TIMEOUT');
      expect(text).toMatch(/connection: close/i);
    }
    expect(ended).toBe(false);
  });

  it('a body that takes many windows but keeps its rate is taken whole', async () => {
    const served = await serve(whole, QUICK);
    // 2500 bytes a second, in a second: 1000 are asked for.
    const head = `POST /v1/stream/x HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: 2500\r\n\r\n`;
    const text = await trickle(served.port, head, 'x'.repeat(100), 40, 25);
    expect(text).toContain('whole');
  });

  it('a body that trickles behind its answer holds nothing for long', async () => {
    const served = await serve((_, response) => void response.end('early'), QUICK);
    const head = `POST /v1/stream/x HTTP/1.1\r\n${HOST}Content-Length: 500\r\n\r\n`;
    expect(await trickle(served.port, head, 'x', 40)).toContain('early');
  });

  it('a reader that takes a little at a time is dropped', async () => {
    let closed: Promise<unknown> | undefined;
    const served = await serve(
      (_, response) => {
        closed = new Promise((resolve) => response.once('close', () => resolve(true)));
        response.end(Buffer.alloc(64 * 1024 * 1024));
      },
      { ...QUICK, minReadBytesPerSecond: 64 * 1024 * 1024 },
    );
    const socket = net.connect(served.port, '127.0.0.1', () => socket.write(get('x')));
    socket.on('error', () => undefined);
    socket.pause();
    // Some of it is taken all the time: it moves, but not at the rate that is asked for.
    const timer = setInterval(() => socket.read(16 * 1024), 10);
    while (closed === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await closed).toBe(true);
    clearInterval(timer);
    socket.destroy();
  });

  it('a reader at the rate that is asked for is not', async () => {
    const bytes = 24 * 1024 * 1024;
    // Wide enough for a test machine that has other things to do.
    const wide = { ...QUICK, writeIdleTimeoutMs: 5_000 };
    const served = await serve((_, response) => void response.end(Buffer.alloc(bytes)), wide);
    const socket = net.connect(served.port, '127.0.0.1', () => {
      socket.write(get('x', 'Connection: close\r\n'));
    });
    let taken = 0;
    await new Promise<void>((resolve) => {
      socket.on('data', (part) => {
        taken += part.length;
        socket.pause();
        setTimeout(() => socket.resume(), 2);
      });
      socket.on('close', () => resolve());
    });
    expect(taken).toBeGreaterThan(bytes);
  });

  it('a connection that only sends line ends between requests ends', async () => {
    const served = await serve(undefined, { ...QUICK, keepAliveTimeoutMs: 100 });
    const text = await trickle(served.port, get('x'), '\r\n', 40);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });
});

describe('what one client may', () => {
  it('has few connections: one more is 429 and closed, and may come when one has gone', async () => {
    const served = await serve(undefined, {}, { maxConnectionsPerClient: 2 });
    const two = [1, 2].map(() =>
      net.connect(served.port, '127.0.0.1').on('error', () => undefined),
    );
    await Promise.all(two.map((one) => new Promise((resolve) => one.once('connect', resolve))));
    const refused = await exchange(served.port);
    expect([refused.statuses, refused.closed]).toEqual([[429], true]);
    expect(refused.text).toContain('CLIENT_QUOTA_EXCEEDED');
    expect(refused.text).toContain('Retry-After: 1');
    two[0]?.destroy();
    while (served.clients.sizes.active > 0) {
      const again = await exchange(served.port, get('x', 'Connection: close\r\n'));
      if (again.statuses[0] === 200) break;
    }
    two[1]?.destroy();
    while (served.clients.sizes.active > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  });

  it('has few requests under way', async () => {
    const held: ServerResponse[] = [];
    const served = await serve(
      (_, response) => void held.push(response),
      {},
      {
        maxRequestsPerClient: 1,
      },
    );
    const first = patientExchange(5_000, served.port, get('x', 'Connection: close\r\n'));
    while (held.length < 1) await new Promise((resolve) => setTimeout(resolve, 2));
    expect((await exchange(served.port, get('y'))).statuses).toEqual([429]);
    held[0]?.end('done');
    expect((await first).statuses).toEqual([200]);
    const third = exchange(served.port, get('z'));
    while (held.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
    held[1]?.end();
    expect((await third).statuses).toEqual([200]);
  });

  it('sends few requests a second', async () => {
    const served = await serve(undefined, {}, { requestsPerSecondPerClient: 0.5 });
    const answer = await exchange(served.port, get('x').repeat(3));
    expect(answer.statuses).toEqual([200, 429, 429]);
    expect(answer.text).toContain('RATE_LIMITED');
    expect(answer.text).toContain('Retry-After: 2');
    expect(answer.closed).toBe(false);
  });

  it('sends few bytes a second, over all of its connections', async () => {
    const served = await serve(
      (request, response) => void request.resume().on('end', () => response.end()),
      {},
      { receivedBytesPerSecondPerClient: 1_000 },
    );
    const large = post('x', 'y'.repeat(50_000));
    expect((await exchange(served.port, large)).statuses).toEqual([200]);
    const refused = await patientExchange(1_500, served.port, large);
    expect([refused.statuses, refused.closed]).toEqual([[429], true]);
    expect(Number(/Retry-After: (\d+)/.exec(refused.text)?.[1])).toBeGreaterThan(30);
  });
});
