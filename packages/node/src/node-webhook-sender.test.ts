import type { LookupAddress } from 'node:dns';
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import { LIMITS, NodeClock } from '@holdfast/core';
import type { WebhookAnswer } from '@holdfast/streams';
import { afterEach, describe, expect, it } from 'vitest';
import { LOCALHOST_CERTIFICATE, OTHER_CERTIFICATE } from '../test/test-certificates.ts';
import { NodeWebhookSender, type WebhookSenderSettings } from './node-webhook-sender.ts';

type Lookup = (hostname: string) => Promise<readonly LookupAddress[]>;

const LOOPBACK: LookupAddress = { address: '127.0.0.1', family: 4 };
const PUBLIC: LookupAddress = { address: '8.8.8.8', family: 4 };
const BODY = Buffer.from('{"wake":1}');

const open: net.Server[] = [];

afterEach(() => {
  for (const server of open.splice(0)) {
    server.close();
    if (server instanceof http.Server) server.closeAllConnections();
  }
});

function sender(lookup?: Lookup, settings: Partial<WebhookSenderSettings> = {}): NodeWebhookSender {
  const clock = new NodeClock();
  return new NodeWebhookSender(lookup === undefined ? { clock } : { clock, lookup }, {
    allowLoopback: true,
    ...settings,
  });
}

function send(
  by: NodeWebhookSender,
  url: string,
  { timeoutMs = 5_000, signal = new AbortController().signal } = {},
): Promise<WebhookAnswer> {
  const headers = { 'Content-Type': 'application/json', 'Webhook-Signature': 't=1' };
  return by.send({ url, headers, body: BODY, timeoutMs, signal });
}

async function listening<S extends net.Server>(server: S, host = '127.0.0.1'): Promise<number> {
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

/** Counts connections: a refused address must not get even one. */
async function receiver(
  answer: http.RequestListener = (_request, response) => response.end('{"done":true}'),
): Promise<{ port: number; connections: () => number }> {
  let connections = 0;
  const server = http.createServer(answer).on('connection', () => connections++);
  return { port: await listening(server), connections: () => connections };
}

describe('a delivery', () => {
  it('carries exactly the given body and headers, a name of its own, and nothing else', async () => {
    let seen: { headers: http.IncomingHttpHeaders; body: string; path: string } | undefined;
    const { port } = await receiver((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (part: string) => (body += part));
      request.on('end', () => {
        seen = { headers: request.headers, body, path: `${request.method} ${request.url}` };
        response.writeHead(202).end('{"done":true}');
      });
    });
    const answer = await send(sender(), `http://127.0.0.1:${port}/hook?a=b#c`);
    expect([answer.status, answer.body.toString()]).toEqual([202, '{"done":true}']);
    expect([seen?.path, seen?.body]).toEqual(['POST /hook?a=b', BODY.toString()]);
    expect(seen?.headers).toEqual({
      accept: 'application/json',
      connection: 'close',
      'content-length': String(BODY.length),
      'content-type': 'application/json',
      host: `127.0.0.1:${port}`,
      'user-agent': 'holdfast-webhook',
      'webhook-signature': 't=1',
    });
  });

  it('reaches localhost by its name', async () => {
    const { port } = await receiver();
    const by = sender(() => Promise.resolve([LOOPBACK]));
    expect((await send(by, `http://localhost:${port}/`)).status).toBe(200);
    const withSystem = await send(sender(), `http://localhost:${port}/`);
    expect(withSystem.status).toBe(200);
  });

  it('follows no redirect: the answer is the redirect', async () => {
    const target = await receiver();
    const { port } = await receiver((_request, response) => {
      response.writeHead(307, { Location: `http://127.0.0.1:${target.port}/` }).end();
    });
    expect((await send(sender(), `http://127.0.0.1:${port}/`)).status).toBe(307);
    expect(target.connections()).toBe(0);
  });

  it('takes no proxy from the environment', async () => {
    const proxy = await receiver();
    const { port, connections } = await receiver();
    const names = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'NODE_USE_ENV_PROXY'];
    const before = names.map((name) => process.env[name]);
    for (const name of names) process.env[name] = `http://127.0.0.1:${proxy.port}`;
    try {
      await send(sender(), `http://127.0.0.1:${port}/`);
    } finally {
      names.forEach((name, index) => {
        if (before[index] === undefined) delete process.env[name];
        else process.env[name] = before[index];
      });
    }
    expect([proxy.connections(), connections()]).toEqual([0, 1]);
  });

  it('opens a connection each time: none is left for another request', async () => {
    const { port, connections } = await receiver();
    for (let n = 0; n < 3; n++) await send(sender(), `http://127.0.0.1:${port}/`);
    expect(connections()).toBe(3);
  });
});

describe('a name', () => {
  it('that turns to another address between two deliveries is judged each time', async () => {
    const { port, connections } = await receiver();
    const over = new AbortController();
    let lookups = 0;
    const by = sender(() => {
      if (lookups++ > 0) return Promise.resolve([LOOPBACK]);
      over.abort(); // the public address is passed, and need not be called for this
      return Promise.resolve([PUBLIC]);
    });
    const url = `https://rebind.example:${port}/`;
    await expect(send(by, url, { signal: over.signal })).rejects.toMatchObject({
      code: 'WEBHOOK_FAILED',
    });
    await expect(send(by, url)).rejects.toMatchObject({ code: 'WEBHOOK_URL_REJECTED' });
    expect([lookups, connections()]).toEqual([2, 0]);
  });

  it('is looked up once for a delivery: what was judged is what is connected to', async () => {
    const { port, connections } = await receiver();
    let lookups = 0;
    const by = sender(() => Promise.resolve(lookups++ === 0 ? [LOOPBACK] : [PUBLIC]));
    await send(by, `http://localhost:${port}/`);
    expect([lookups, connections()]).toEqual([1, 1]);
  });

  it.each([
    ['loopback', '127.0.0.1', 4],
    ['mapped loopback', '::ffff:127.0.0.1', 6],
    ['private', '10.0.0.1', 4],
    ['metadata', '169.254.169.254', 4],
    ['unique local', 'fd00:ec2::254', 6],
    ['a zone', 'fe80::1%lo', 6],
  ])(
    'with one address that is %s is refused, whatever the others are',
    async (_, address, family) => {
      const { port, connections } = await receiver();
      const bad = { address, family };
      for (const found of [[bad], [PUBLIC, bad], [bad, PUBLIC]]) {
        const by = sender(() => Promise.resolve(found));
        await expect(send(by, `https://worker.example:${port}/`)).rejects.toMatchObject({
          code: 'WEBHOOK_URL_REJECTED',
        });
      }
      expect(connections()).toBe(0);
    },
  );

  it('without an address, or that nobody knows, is a failed delivery', async () => {
    for (const lookup of [
      () => Promise.resolve([]),
      () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' })),
    ]) {
      await expect(send(sender(lookup), 'https://worker.example/')).rejects.toMatchObject({
        code: 'WEBHOOK_FAILED',
        effect: 'unknown',
      });
    }
  });
});

describe('TLS', () => {
  async function secure(certificate: { key: string; cert: string }): Promise<number> {
    return listening(https.createServer(certificate, (_, response) => response.end('{}')));
  }

  it('is spoken with a receiver whose certificate is right', async () => {
    const port = await secure(LOCALHOST_CERTIFICATE);
    const by = sender(undefined, { ca: LOCALHOST_CERTIFICATE.cert });
    expect((await send(by, `https://localhost:${port}/`)).status).toBe(200);
  });

  it('is refused by us when nobody vouches for the certificate, whatever the environment says', async () => {
    const port = await secure(LOCALHOST_CERTIFICATE);
    const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    try {
      const failing = send(sender(), `https://localhost:${port}/`);
      await expect(failing).rejects.toMatchObject({ code: 'WEBHOOK_FAILED' });
      await expect(failing).rejects.toThrow(/SELF_SIGNED_CERT/);
    } finally {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before;
    }
  });

  it('is refused by us when the certificate is for another name', async () => {
    const port = await secure(OTHER_CERTIFICATE);
    const by = sender(undefined, { ca: OTHER_CERTIFICATE.cert });
    await expect(send(by, `https://localhost:${port}/`)).rejects.toThrow(/ALTNAME/);
  });

  it('with somebody who speaks something else is a failed delivery', async () => {
    const { port } = await receiver();
    await expect(send(sender(), `https://localhost:${port}/`)).rejects.toMatchObject({
      code: 'WEBHOOK_FAILED',
    });
  });
});

describe('a receiver that', () => {
  const FAILED = { code: 'WEBHOOK_FAILED' };

  async function raw(onSocket: (socket: net.Socket) => void): Promise<string> {
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      onSocket(socket);
    });
    return `http://127.0.0.1:${await listening(server)}/`;
  }

  it('never answers is given up in time', async () => {
    const url = await raw(() => undefined);
    await expect(send(sender(), url, { timeoutMs: 50 })).rejects.toThrow(/no answer in time/);
  });

  it('has a name nobody finds out about is given up in time', async () => {
    const by = sender(() => new Promise(() => undefined));
    await expect(send(by, 'https://worker.example/', { timeoutMs: 50 })).rejects.toMatchObject(
      FAILED,
    );
  });

  it('sends its answer a byte at a time is given up in time', async () => {
    const url = await raw((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n');
      const timer = setInterval(() => socket.write('a'), 5);
      socket.on('close', () => clearInterval(timer));
    });
    await expect(send(sender(), url, { timeoutMs: 100 })).rejects.toThrow(/no answer in time/);
  });

  it('sends only promises of an answer is given up in time', async () => {
    const url = await raw((socket) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 5);
      socket.on('close', () => clearInterval(timer));
    });
    await expect(send(sender(), url, { timeoutMs: 100 })).rejects.toThrow(/no answer in time/);
  });

  it('never ends its answer is cut at the bound', async () => {
    let sent = 0;
    const { port } = await receiver((_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384))) sent += 16_384;
        response.once('drain', more);
      };
      more();
    });
    await expect(send(sender(), `http://127.0.0.1:${port}/`)).rejects.toThrow(/too large/);
    expect(sent).toBeLessThan(100 * LIMITS.maxWebhookAnswerBytes);
  });

  it('answers with exactly the bound is heard, with one byte more is not', async () => {
    let size: number = LIMITS.maxWebhookAnswerBytes;
    const { port } = await receiver((_request, response) => response.end(Buffer.alloc(size)));
    const url = `http://127.0.0.1:${port}/`;
    expect((await send(sender(), url)).body.length).toBe(size);
    size++;
    await expect(send(sender(), url)).rejects.toThrow(/too large/);
  });

  it('sends too many headers is not heard', async () => {
    const { port } = await receiver((_request, response) => {
      response.writeHead(200, { 'X-Long': 'a'.repeat(LIMITS.maxHeaderBytes) }).end();
    });
    await expect(send(sender(), `http://127.0.0.1:${port}/`)).rejects.toThrow(/HPE_HEADER/);
  });

  it.each([
    ['closes without a word', ''],
    ['closes in its head', 'HTTP/1.1 200 OK\r\nContent-'],
    ['closes in its body', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'],
    ['closes in a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab'],
    ['speaks no HTTP', 'SSH-2.0-OpenSSH_9.9\r\n'],
    ['turns to another protocol', 'HTTP/1.1 101 Yes\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n'],
  ])('%s is a failed delivery', async (_what, text) => {
    const url = await raw((socket) => socket.once('data', () => socket.end(text)));
    await expect(send(sender(), url)).rejects.toMatchObject(FAILED);
  });

  it('is not there is a failed delivery', async () => {
    const server = net.createServer();
    const port = await listening(server);
    await new Promise((resolve) => server.close(resolve));
    await expect(send(sender(), `http://127.0.0.1:${port}/`)).rejects.toThrow(/ECONNREFUSED/);
  });

  it('is slow is left when the wake is over, and its connection with it', async () => {
    let closed: () => void = () => undefined;
    const gone = new Promise<void>((resolve) => (closed = resolve));
    let heard: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => (heard = resolve));
    const { port } = await receiver((request) => {
      request.socket.once('close', closed);
      heard();
    });
    const over = new AbortController();
    const to = { signal: over.signal, timeoutMs: 60_000 };
    const sending = send(sender(), `http://127.0.0.1:${port}/`, to);
    await asked;
    over.abort();
    await expect(sending).rejects.toMatchObject(FAILED);
    await gone;
  });

  it('is asked for after the wake is over hears nothing', async () => {
    const { port, connections } = await receiver();
    const sending = send(sender(), `http://127.0.0.1:${port}/`, { signal: AbortSignal.abort() });
    await expect(sending).rejects.toThrow();
    expect(connections()).toBe(0);
  });
});
