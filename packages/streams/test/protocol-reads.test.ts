/** Catch-up reads and the headers around them, beyond what the published suite asks. */
import { HoldfastError } from '@holdfast/core';
import { afterEach, describe, expect, it } from 'vitest';
import type { StreamProtocolSettings } from '../src/protocol/protocol-settings.ts';
import type { ReadRequest, StreamSlice } from '../src/stream-store.ts';
import { MemoryStreamStore, type MemoryStoreOptions } from './memory-stream-store.ts';
import { serveProtocol, type ProtocolServer } from './protocol-server.ts';
import { RawReader, sendRaw } from './raw-http.ts';

const open: ProtocolServer[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});

async function serve(
  store: MemoryStreamStore,
  settings: Partial<StreamProtocolSettings> = {},
): Promise<ProtocolServer> {
  const served = await serveProtocol(store, settings);
  open.push(served);
  return served;
}

async function storeWith(
  contentType: string,
  messages: readonly Buffer[],
  options: MemoryStoreOptions = {},
): Promise<MemoryStreamStore> {
  const store = new MemoryStreamStore(options);
  await store.create({ path: 's', contentType, closed: false });
  for (const bytes of messages) {
    await store.append({
      path: 's',
      close: false,
      messages: () => ({ bytes, lengths: [bytes.length] }),
    });
  }
  return store;
}

function read(
  served: ProtocolServer,
  query = '',
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${served.baseUrl}/v1/stream/s${query}`, { headers });
}

describe('catch-up read', () => {
  it.each(['all', undefined] as const)(
    'gives every byte in order, reads slow: %s',
    async (slowReads) => {
      const messages = Array.from({ length: 40 }, (_, i) => Buffer.alloc(100_000, i));
      const store = await storeWith(
        'image/png',
        messages,
        slowReads === undefined ? {} : { slowReads },
      );
      const served = await serve(store);
      const response = await read(served);
      expect(Buffer.from(await response.arrayBuffer()).equals(Buffer.concat(messages))).toBe(true);
      expect(response.headers.get('content-length')).toBe('4000000');
      expect(response.headers.get('stream-up-to-date')).toBe('true');
    },
  );

  it.each(['all', undefined] as const)(
    'gives JSON byte for byte, reads slow: %s',
    async (slowReads) => {
      const texts = ['12345678901234567890', '{"b":1.0,"a":1,"a":2}', '"€"', '1e400'];
      const store = await storeWith(
        'application/json',
        texts.map((text) => Buffer.from(`${text},`)),
        slowReads === undefined ? {} : { slowReads },
      );
      const served = await serve(store);
      expect(await (await read(served)).text()).toBe(`[${texts.join(',')}]`);
      const rest = await read(served, '?offset=0000000000000003_0000000000000049');
      expect(await rest.text()).toBe('[1e400]');
    },
  );

  it('in chunks says that it is up to date only at the last', async () => {
    const store = await storeWith(
      'text/plain',
      Array.from({ length: 5 }, () => Buffer.alloc(60, 'x')),
    );
    const served = await serve(store, { maxChunkBytes: 130 });
    const seen: (string | null)[] = [];
    let query = '';
    for (let i = 0; i < 3; i++) {
      const response = await read(served, query);
      expect((await response.text()).length).toBe(i < 2 ? 120 : 60);
      seen.push(response.headers.get('stream-up-to-date'));
      query = `?offset=${response.headers.get('stream-next-offset')}`;
    }
    expect(seen).toEqual([null, null, 'true']);
  });

  it('cuts the connection when the disk fails half-way, never a short 200', async () => {
    const store = await storeWith('text/plain', [Buffer.alloc(1000, 'x'), Buffer.alloc(1000, 'y')]);
    const whole = store.read.bind(store);
    store.read = (request: ReadRequest) => {
      const { bytes, ...slice } = whole(request) as StreamSlice;
      return {
        ...slice,
        async *pieces() {
          yield bytes?.slice(0, 1) ?? [];
          throw new HoldfastError('CHECKSUM_MISMATCH', 'damaged');
        },
      };
    };
    const served = await serve(store);
    const response = await read(served);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
  });

  it('waits for a slow client instead of filling memory, and gives up a dead one', async () => {
    const store = await storeWith('text/plain', [Buffer.alloc(10, 'x')]);
    const whole = store.read.bind(store);
    const piece = Buffer.alloc(256 * 1024, 'x');
    let pulled = 0;
    let stopped = false;
    store.read = (request: ReadRequest) => {
      const { bytes: _, ...slice } = whole(request) as StreamSlice;
      return {
        ...slice,
        byteLength: piece.length * 400,
        async *pieces() {
          try {
            for (; pulled < 400; pulled++) yield [piece];
          } finally {
            stopped = true;
          }
        },
      };
    };
    const served = await serve(store, { writeIdleTimeoutMs: 100 });
    const reader = new RawReader(served.port, 'GET /v1/stream/s HTTP/1.1\r\nHost: x\r\n\r\n');
    await reader.until((self) => self.text.length > 0);
    reader.socket.pause();
    while (!stopped) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(pulled).toBeLessThan(100);
    reader.socket.destroy();
  });

  it('never asks for a piece before the one in the same memory has left', async () => {
    const store = await storeWith('text/plain', [Buffer.alloc(10, 'x')]);
    const whole = store.read.bind(store);
    const pieces = 20_000;
    const memory = Buffer.alloc(1000);
    store.read = (request: ReadRequest) => {
      const { bytes: _, ...slice } = whole(request) as StreamSlice;
      return {
        ...slice,
        byteLength: memory.length * pieces,
        async *pieces() {
          for (let i = 0; i < pieces; i++) yield [memory.fill(65 + (i % 26))];
          memory.fill('!');
        },
      };
    };
    const served = await serve(store);
    const reader = new RawReader(served.port, 'GET /v1/stream/s HTTP/1.1\r\nHost: x\r\n\r\n');
    reader.socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 200)); // what is in between fills up
    reader.socket.resume();
    await reader.until(({ text }) => text.length >= memory.length * pieces);
    reader.socket.destroy();
    const body = reader.text.slice(reader.text.indexOf('\r\n\r\n') + 4);
    const wrong = Array.from({ length: pieces }, (_, i) => i).filter(
      (i) => body[i * 1000] !== String.fromCharCode(65 + (i % 26)),
    );
    expect(wrong).toEqual([]);
  });

  it('answers conditional reads, and not with 304 once the stream is closed', async () => {
    const store = await storeWith('text/plain', [Buffer.from('data')]);
    const served = await serve(store);
    const tag = (await read(served)).headers.get('etag') as string;
    for (const header of [tag, `W/${tag}`, '*', `"x", ${tag}`]) {
      const answer = await read(served, '', { 'If-None-Match': header });
      expect([header, answer.status]).toEqual([header, 304]);
      expect(answer.headers.get('etag')).toBe(tag);
    }
    await store.append({ path: 's', close: true });
    const closed = await read(served, '', { 'If-None-Match': tag });
    expect([closed.status, closed.headers.get('stream-closed')]).toEqual([200, 'true']);
    expect(closed.headers.get('etag')).not.toBe(tag);
  });

  it('is cached as long as it stays true', async () => {
    const store = await storeWith('text/plain', [Buffer.from('data')]);
    const served = await serve(store);
    const caching = async (query: string): Promise<string | null> =>
      (await read(served, query)).headers.get('cache-control');
    const tail = '?offset=0000000000000001_0000000000000004';
    expect(await caching('')).toBe('public, max-age=60, stale-while-revalidate=300');
    expect(await caching(tail)).toBe('no-cache');
    expect(await caching('?offset=now')).toBe('no-store');
    await store.append({ path: 's', close: true });
    expect(await caching(tail)).toBe('public, max-age=60, stale-while-revalidate=300');
    await store.create({ path: 'short', contentType: 'text/plain', ttlSeconds: 9, closed: false });
    const short = await fetch(`${served.baseUrl}/v1/stream/short`, { method: 'HEAD' });
    expect(short.headers.get('cache-control')).toBe('no-store');
    expect(short.headers.get('stream-ttl')).toBe('9');
  });

  it('of bytes a browser could run is sandboxed and never shown', async () => {
    const served = await serve(await storeWith('text/html', [Buffer.from('<script>1</script>')]));
    const { headers } = await read(served);
    expect(headers.get('content-security-policy')).toBe("sandbox; default-src 'none'");
    expect(headers.get('content-disposition')).toBe('attachment');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });
});

describe('other origins', () => {
  it('may read when they are of this machine or configured, and see the protocol headers', async () => {
    const store = await storeWith('text/plain', [Buffer.from('data')]);
    const served = await serve(store);
    const asked = await read(served, '', { Origin: 'http://localhost:5173' });
    expect(asked.headers.get('access-control-allow-origin')).toBe('http://localhost:5173');
    expect(asked.headers.get('access-control-expose-headers')).toContain('Stream-Next-Offset');
    const foreign = await read(served, '', { Origin: 'https://evil.example' });
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
    expect(foreign.headers.get('vary')).toBe('Origin');
    const listed = await serve(store, { cors: { allowOrigin: ['https://app.example'] } });
    const problem = await read(listed, '?offset=x', { Origin: 'https://app.example' });
    expect(problem.status).toBe(400);
    expect(problem.headers.get('access-control-allow-origin')).toBe('https://app.example');
  });

  it('get a preflight answered, and only allowed ones the permission', async () => {
    const served = await serve(new MemoryStreamStore());
    const preflight = (origin: string): Promise<Response> =>
      fetch(`${served.baseUrl}/v1/stream/new`, {
        method: 'OPTIONS',
        headers: { Origin: origin, 'Access-Control-Request-Method': 'PUT' },
      });
    const own = await preflight('http://127.0.0.1:9');
    expect(own.status).toBe(204);
    expect(own.headers.get('access-control-allow-methods')).toContain('PUT');
    expect(own.headers.get('access-control-allow-headers')).toContain('Producer-Id');
    expect(own.headers.get('access-control-allow-origin')).toBe('http://127.0.0.1:9');
    const foreign = await preflight('https://evil.example');
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('creation', () => {
  it('says where: absolute by the host that was asked, and never by a strange one', async () => {
    const served = await serve(new MemoryStreamStore());
    const put = (host: string, path: string): ReturnType<typeof sendRaw> =>
      sendRaw(served.port, `PUT /v1/stream/${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const made = await put('data.example:4437', 'a%20b');
    expect([made.status, made.headers.get('location')]).toEqual([
      201,
      'http://data.example:4437/v1/stream/a%20b',
    ]);
    const again = await put('data.example:4437', 'a%20b');
    expect([again.status, again.headers.get('location')]).toEqual([200, undefined]);
    const odd = await put('x"><script>', 'c');
    expect(odd.headers.get('location')).toBe('/v1/stream/c');
  });
});
