/** Request bodies on their way: their bytes, and the memory they may take. */
import type { ServerResponse } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it } from 'vitest';
import { MemoryStreamStore } from './memory-stream-store.ts';
import { serveProtocol, type ProtocolServer } from './protocol-server.ts';
import { RawReader, sendRaw } from './raw-http.ts';

const HEAD = 'POST /v1/stream/a HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n';
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;

let served: ProtocolServer | undefined;
afterEach(async () => {
  await served?.close();
  served = undefined;
});

async function serve(
  settings: Parameters<typeof serveProtocol>[1] = {},
): Promise<{ own: ProtocolServer; store: MemoryStreamStore; collected: () => number }> {
  const store = new MemoryStreamStore();
  await store.create({ path: 'a', contentType: 'text/plain', closed: false });
  const own = await serveProtocol(store, settings);
  served = own;
  return { own, store, collected: () => own.protocol.stats.collectedBodyBytes };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

function send(reader: RawReader, bytes: string): Promise<void> {
  return new Promise((resolve) => reader.socket.write(bytes, () => resolve()));
}

function heapAfterCollection(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

describe('a body', () => {
  it.each([
    ['announced', (parts: string[]) => `Content-Length: ${parts.join('').length}\r\n\r\n`],
    ['chunked', () => 'Transfer-Encoding: chunked\r\n\r\n'],
  ])('that comes in many pieces, %s, is stored byte for byte', async (framing, headers) => {
    const { own, collected } = await serve();
    const parts = Array.from({ length: 40 }, (_, i) =>
      String.fromCharCode(97 + (i % 26)).repeat(i * 97 + 1),
    );
    const writer = new RawReader(own.port, HEAD + headers(parts));
    for (const part of parts) {
      const before = collected();
      const chunk = `${part.length.toString(16)}\r\n${part}\r\n`;
      await send(writer, framing === 'chunked' ? chunk : part);
      if (part !== parts.at(-1)) await until(() => collected() >= before);
    }
    if (framing === 'chunked') await send(writer, '0\r\n\r\n');
    await writer.until(({ text }) => text.includes('204'));
    writer.socket.destroy();
    const read = await sendRaw(own.port, 'GET /v1/stream/a HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(read.body.toString()).toBe(parts.join(''));
    expect(collected()).toBe(0);
  });

  it('sent a byte at a time takes the memory of its bytes, not of its chunks', async () => {
    const { own, collected } = await serve();
    const writer = new RawReader(own.port, CHUNKED);
    const chunks = 300_000;
    const before = heapAfterCollection();
    for (let i = 0; i < 30; i++) await send(writer, '1\r\nx\r\n'.repeat(chunks / 30));
    await until(() => collected() >= chunks);
    expect(collected()).toBeLessThan(2 * chunks);
    expect(heapAfterCollection() - before).toBeLessThan(30 * chunks);
    writer.socket.destroy();
    await until(() => collected() === 0);
  });

  it.each(['announced', 'chunked'])(
    'that is too large, %s, has its answer read by a client that sends all of it first',
    async (framing) => {
      const { own, collected } = await serve({ maxBodyBytes: 1000 });
      const size = 8 * 1024 * 1024;
      const head = framing === 'chunked' ? CHUNKED : `${HEAD}Content-Length: ${size}\r\n\r\n`;
      const client = new RawReader(own.port, head);
      client.socket.pause();
      const body = 'x'.repeat(size);
      const rest = framing === 'chunked' ? `${size.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
      const failure = await new Promise((resolve) => client.socket.write(rest, resolve));
      expect(failure ?? undefined).toBeUndefined();
      client.socket.resume();
      await client.untilClosed();
      expect(client.text).toMatch(/^HTTP\/1\.1 413 /);
      expect(client.text).toContain('BODY_TOO_LARGE');
      expect(collected()).toBe(0);
    },
  );

  it('that would be one too many beside the others is refused with 503, and they go on', async () => {
    const { own, store, collected } = await serve({ maxCollectedBodyBytes: 100_000 });
    const first = new RawReader(own.port, `${HEAD}Content-Length: 60000\r\n\r\n`);
    await send(first, 'x'.repeat(59_999));
    await until(() => collected() >= 59_999);
    const writes = store.writes;
    const second = await sendRaw(
      own.port,
      `${HEAD}Content-Length: 60000\r\n\r\n${'y'.repeat(60_000)}`,
    );
    expect([second.status, second.closed]).toEqual([503, true]);
    expect(JSON.parse(second.body.toString())).toMatchObject({ code: 'BODY_MEMORY_FULL' });
    expect(second.headers.get('retry-after')).toBe('1');
    expect(store.writes).toBe(writes);
    await send(first, 'x');
    await first.until(({ text }) => text.includes('204'));
    first.socket.destroy();
    expect(collected()).toBe(0);
  });

  // The listener gives a request up whose body does not come, and the disk may be slower still.
  it.each(['delete', 'append'] as const)(
    'that was given up before the %s was durable gets no second answer, and ends nobody else',
    async (operation) => {
      const { own, store } = await serve();
      let finish: (result: never) => void = () => undefined;
      let begun = false;
      store[operation] = () =>
        new Promise<never>((resolve) => {
          begun = true;
          finish = resolve;
        });
      const responses: ServerResponse[] = [];
      own.server.on('request', (_request, response) => responses.push(response));
      const rejections: unknown[] = [];
      const onRejection = (reason: unknown): void => void rejections.push(reason);
      process.on('unhandledRejection', onRejection);
      const line = operation === 'delete' ? HEAD.replace('POST', 'DELETE') : HEAD;
      const client = new RawReader(own.port, `${line}Content-Length: 1\r\n\r\n`);
      if (operation === 'append') await send(client, 'x');
      await until(() => begun);
      responses[0]?.writeHead(408).end();
      finish({ tail: { messages: 1, bytes: 1 }, closed: false, outcome: 'appended' } as never);
      await client.until(({ text }) => text.includes('408'));
      await new Promise((resolve) => setTimeout(resolve, 20));
      process.off('unhandledRejection', onRejection);
      client.socket.destroy();
      expect(rejections).toEqual([]);
    },
  );
});
