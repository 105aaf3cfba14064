/** The orderly end: who is told what, who is waited for, and who is not. */
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { openNode, type HoldfastNode } from '../src/index.ts';
import { LiveReader } from './live-reader.ts';
import { request } from './http-request.ts';
import { exchange, patientExchange } from './raw-exchange.ts';

const HOST = 'Host: 127.0.0.1\r\n';
const HEAD = `POST /v1/stream/s HTTP/1.1\r\n${HOST}Content-Type: text/plain\r\n`;

let opened: HoldfastNode | undefined;
afterEach(async () => {
  await opened?.close();
  opened = undefined;
});

async function open(
  drainTimeoutMs: number,
): Promise<{ node: HoldfastNode; port: number; url: string }> {
  opened = await openNode({ memory: true, port: 0, drainTimeoutMs, longPollTimeoutMs: 60_000 });
  const { port, url } = await opened.listen();
  await opened.streams.open('s', { contentType: 'text/plain' });
  return { node: opened, port, url };
}

/** An upload that is under way: the node counts it. */
async function upload(node: HoldfastNode, port: number): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1').on('error', () => undefined);
  socket.write(`${HEAD}Content-Length: 4\r\n\r\nab`);
  while (node.stats().requestsInFlight === 0) await new Promise((r) => setTimeout(r, 2));
  return socket;
}

function textOf(socket: net.Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.setEncoding('latin1').on('data', (part: string) => (text += part));
    socket.on('close', () => resolve(text));
  });
}

describe('while a node drains', () => {
  it('it is not ready, refuses what is new, ends what is live, and finishes what was begun', async () => {
    const { node, port, url } = await open(10_000);
    const sending = await upload(node, port);
    const answer = textOf(sending);
    const poll = request('GET', `${url}/v1/stream/s?offset=now&live=long-poll`);
    const events = await LiveReader.open(`${url}/v1/stream/s?offset=now&live=sse`);
    const kept = net.connect(port, '127.0.0.1');
    const keptText = textOf(kept);
    kept.write(`GET /livez HTTP/1.1\r\n${HOST}\r\n`);
    while (node.stats().liveReaders < 2) await new Promise((r) => setTimeout(r, 2));

    const closed = node.close();
    const ready = await request('GET', `${url}/readyz`);
    expect([ready.status, ready.headers['retry-after']]).toEqual([503, '1']);
    expect((await request('GET', `${url}/livez`)).status).toBe(200);
    expect((await poll).status).toBe(204);
    await events.closed;
    expect(events.controls()).toHaveLength(2);
    expect(events.controls().at(-1)?.upToDate).toBe(true);
    for (const line of ['GET /v1/stream/s', 'PUT /v1/stream/new', 'GET /v1/streams', 'GET /']) {
      const refused = await exchange(port, `${line} HTTP/1.1\r\n${HOST}\r\n`);
      expect([line, refused.statuses, refused.closed]).toEqual([line, [503], true]);
      expect(refused.text).toContain('DRAINING');
      expect(refused.text).toMatch(/connection: close/i);
      expect(refused.text).toContain('Retry-After: 1');
    }
    // A connection that was open before is told the same, and a body is not asked for.
    kept.write(`${HEAD}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n`);
    expect(await keptText).toMatch(/200 OK[\s\S]*HTTP\/1\.1 503 (?![\s\S]*100 Continue)/);

    sending.write('cd');
    expect(await answer).toMatch(/^HTTP\/1\.1 204 /);
    await closed;
    await expect(fetch(`${url}/livez`)).rejects.toThrow();
  });

  it('an upload that does not end holds it for the time of a drain, and has no effect', async () => {
    const { node, port } = await open(300);
    const sending = await upload(node, port);
    const text = textOf(sending);
    await node.close();
    expect(await text).toBe('');
  });

  it('what was sent ahead of its turn is not begun any more', async () => {
    const { node, port } = await open(10_000);
    const sending = net.connect(port, '127.0.0.1').on('error', () => undefined);
    const text = textOf(sending);
    const poll = `GET /v1/stream/s?offset=now&live=long-poll HTTP/1.1\r\n${HOST}\r\n`;
    sending.write(`${poll}${HEAD}Content-Length: 1\r\n\r\nx`);
    while (node.stats().liveReaders === 0) await new Promise((r) => setTimeout(r, 2));
    await node.close();
    expect(await text).toMatch(/^HTTP\/1\.1 204 (?![\s\S]*HTTP\/1\.1 20)/);
  });

  it('readers that never read do not hold it longer than the time of a drain', async () => {
    const { node, port } = await open(300);
    const stream = await node.streams.open<string>('s', { contentType: 'text/plain' });
    for (let n = 0; n < 200; n++) await stream.append('x'.repeat(64 * 1024));
    const readers = Array.from({ length: 8 }, (_, n) => {
      const socket = net.connect(port, '127.0.0.1').on('error', () => undefined);
      const mode = n % 2 === 0 ? '&live=sse' : '';
      socket.write(`GET /v1/stream/s?offset=-1${mode} HTTP/1.1\r\n${HOST}\r\n`.repeat(4));
      return socket;
    });
    while (node.stats().requestsInFlight < 1) await new Promise((r) => setTimeout(r, 2));
    await node.close();
    for (const socket of readers) socket.destroy();
    expect((await patientExchange(100, port)).statuses).toEqual([]);
  });
});
