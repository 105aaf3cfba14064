/** Long-polls and SSE: nothing lost, encodings shared, readers bounded. */
import { HoldfastError } from '@holdfast/core';
import { afterEach, describe, expect, it } from 'vitest';
import type { StreamProtocolSettings } from '../src/protocol/protocol-settings.ts';
import { MemoryStreamStore, type MemoryStoreOptions } from './memory-stream-store.ts';
import { serveProtocol, type ProtocolServer } from './protocol-server.ts';
import { RawReader, sendRaw } from './raw-http.ts';

const open: ProtocolServer[] = [];
const readers: RawReader[] = [];
afterEach(async () => {
  for (const reader of readers.splice(0)) reader.socket.destroy();
  for (const served of open.splice(0)) await served.close();
});

interface Setup {
  readonly store: MemoryStreamStore;
  readonly served: ProtocolServer;
}

async function setUp(
  settings: Partial<StreamProtocolSettings> = {},
  options: MemoryStoreOptions = {},
): Promise<Setup> {
  const store = new MemoryStreamStore(options);
  await store.create({ path: 's', contentType: 'text/plain', closed: false });
  const served = await serveProtocol(store, settings);
  open.push(served);
  return { store, served };
}

async function append(store: MemoryStreamStore, text: string, close = false): Promise<void> {
  const bytes = Buffer.from(text);
  await store.append({
    path: 's',
    close,
    ...(text === '' ? {} : { messages: () => ({ bytes, lengths: [bytes.length] }) }),
  });
}

function get(served: ProtocolServer, query: string, version = '1.1'): RawReader {
  const reader = new RawReader(
    served.port,
    `GET /v1/stream/s?${query} HTTP/${version}\r\nHost: x\r\n\r\n`,
  );
  readers.push(reader);
  return reader;
}

async function untilLive(served: ProtocolServer, count: number): Promise<void> {
  while (served.protocol.liveReaders !== count) await new Promise((r) => setTimeout(r, 2));
}

const has =
  (...texts: string[]) =>
  (reader: RawReader): boolean =>
    texts.every((text) => reader.text.includes(text));

/** The data of every event, by the bytes on the wire without their chunks. */
function dataOf(reader: RawReader): string {
  const unchunked = reader.text.replaceAll(/\r\n[0-9a-f]+\r\n/g, '');
  return [...unchunked.matchAll(/event: data\ndata:(.*)\n\n/g)].map((match) => match[1]).join('');
}

describe('long-poll', () => {
  it('one append wakes every waiter with the same answer', async () => {
    const { store, served } = await setUp();
    const waiters = Array.from({ length: 50 }, () => get(served, 'offset=now&live=long-poll'));
    await untilLive(served, 50);
    await append(store, 'hello');
    await Promise.all(waiters.map((waiter) => waiter.until(has('hello'))));
    const heads = new Set(waiters.map((waiter) => waiter.text.replace(/Date: .*\r\n/, '')));
    expect(heads.size).toBe(1);
    expect([...heads][0]).toContain('Stream-Next-Offset: 0000000000000001_0000000000000005');
    expect(served.protocol.liveReaders).toBe(0);
    expect(served.protocol.stats.longPollWakes).toBe(50);
  });

  it('answers a large change with a read in chunks', async () => {
    const { store, served } = await setUp({ maxChunkBytes: 1000 });
    const waiter = get(served, 'offset=now&live=long-poll');
    await untilLive(served, 1);
    await append(store, 'x'.repeat(5000));
    await waiter.until(has('Content-Length: 5000', 'x'.repeat(5000)));
  });

  it('gives a client that echoes the cursor a greater one, also when woken together', async () => {
    const { store, served } = await setUp();
    const plain = get(served, 'offset=now&live=long-poll');
    const ahead = get(served, 'offset=now&live=long-poll&cursor=99999999999999999999999');
    await untilLive(served, 2);
    await append(store, 'x');
    await Promise.all([plain.until(has('\r\n\r\nx')), ahead.until(has('\r\n\r\nx'))]);
    const cursor = /Stream-Cursor: (.*)\r\n/;
    expect(cursor.exec(plain.text)?.[1]).toMatch(/^\d{7,8}$/);
    expect(BigInt(cursor.exec(ahead.text)?.[1] ?? '0') > 99999999999999999999999n).toBe(true);
  });

  it('past the tail waits until an append has passed the place', async () => {
    const { store, served } = await setUp();
    await append(store, 'one');
    const waiter = get(served, 'offset=0000000000000001_0000000000000004&live=long-poll');
    await untilLive(served, 1);
    await append(store, 'two');
    await waiter.until(has('\r\n\r\ntwo'));
  });

  it('a close without data is 204 at once, a final append is data and the end', async () => {
    const { store, served } = await setUp();
    const first = get(served, 'offset=now&live=long-poll');
    await untilLive(served, 1);
    await append(store, 'last', true);
    await first.until(has('Stream-Closed: true', 'last'));
    const second = get(served, 'offset=now&live=long-poll');
    await second.until(has('204 No Content', 'Stream-Closed: true'));
    expect(second.text).not.toContain('Stream-Cursor');
  });

  it('of a stream that is deleted ends with 404', async () => {
    const { store, served } = await setUp();
    const waiter = get(served, 'offset=now&live=long-poll');
    await untilLive(served, 1);
    await store.delete('s');
    await waiter.until(has('404 Not Found', 'STREAM_NOT_FOUND'));
  });

  it('of a client that goes away is counted out', async () => {
    const { served } = await setUp();
    const waiter = get(served, 'offset=now&live=long-poll');
    await untilLive(served, 1);
    waiter.socket.destroy();
    await untilLive(served, 0);
  });
});

describe('SSE', () => {
  it('encodes a change once for all readers at the tail', async () => {
    const { store, served } = await setUp();
    const all = Array.from({ length: 40 }, () => get(served, 'offset=now&live=sse'));
    await Promise.all(all.map((reader) => reader.until(has('upToDate'))));
    for (const text of ['one', 'two', 'three']) await append(store, text);
    await Promise.all(all.map((reader) => reader.until(has('three'))));
    expect(served.protocol.stats.sse).toMatchObject({
      framesEncoded: 3,
      deliveries: 120,
      readers: 40,
    });
    for (const reader of all) expect(dataOf(reader)).toBe('onetwothree');
  });

  it.each(['all', 'every-second', undefined] as const)(
    'loses and repeats nothing while it catches up, reads slow: %s',
    async (slowReads) => {
      const { store, served } = await setUp(
        { maxChunkBytes: 64 },
        slowReads === undefined ? {} : { slowReads },
      );
      let expected = '';
      const write = async (from: number, to: number): Promise<void> => {
        for (let i = from; i < to; i++) {
          expected += `<${i}>`;
          await append(store, `<${i}>`);
          if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
      };
      await write(0, 200);
      const all = Array.from({ length: 5 }, () => get(served, 'offset=-1&live=sse'));
      await write(200, 600);
      await append(store, '', true);
      await Promise.all(all.map((reader) => reader.until(has('streamClosed'))));
      for (const reader of all) expect(dataOf(reader)).toBe(expected);
      await untilLive(served, 0);
    },
  );

  it('drops a reader that does not read once its unsent bytes pass the budget, and no other', async () => {
    const budget = 256 * 1024;
    const { store, served } = await setUp({ maxSseBufferedBytes: budget });
    const stalled = get(served, 'offset=now&live=sse');
    await stalled.until(has('upToDate'));
    stalled.socket.pause();
    const healthy = get(served, 'offset=now&live=sse');
    await healthy.until(has('upToDate'));
    let most = 0;
    const line = 'x'.repeat(64 * 1024);
    for (let i = 0; i < 400 && served.protocol.stats.sse.dropped === 0; i++) {
      await append(store, line);
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, served.protocol.stats.sse.readers);
      await healthy.until((reader) => reader.text.length >= (i + 1) * line.length);
    }
    expect(served.protocol.stats.sse.dropped).toBe(1);
    await untilLive(served, 1);
    await append(store, 'still here');
    await healthy.until(has('still here'));
    // What the stalled one did get is whole up to a control event it can resume from.
    stalled.socket.resume();
    await stalled.untilClosed();
    expect(stalled.text).toContain('streamNextOffset');
  });

  it('a change larger than the budget reaches a healthy reader', async () => {
    const { store, served } = await setUp({ maxSseBufferedBytes: 1000 });
    const reader = get(served, 'offset=now&live=sse');
    await reader.until(has('upToDate'));
    await append(store, 'y'.repeat(100_000));
    await reader.until(has('y'.repeat(100)));
    await append(store, 'after');
    await reader.until(has('after'));
    expect(dataOf(reader)).toBe(`${'y'.repeat(100_000)}after`);
  });

  it('rotates: the connection ends by itself and stays usable', async () => {
    const { served } = await setUp({ sseRotateMs: 40 });
    const reader = get(served, 'offset=now&live=sse');
    await reader.until(has('upToDate', '\r\n0\r\n\r\n'));
    await untilLive(served, 0);
    reader.socket.write('HEAD /v1/stream/s HTTP/1.1\r\nHost: x\r\n\r\n');
    await reader.until(has('no-store'));
  });

  it('sends comment lines while nothing happens', async () => {
    const { served } = await setUp({ sseHeartbeatMs: 10 });
    const reader = get(served, 'offset=now&live=sse');
    await reader.until((self) => self.text.split('\r\n3\r\n:\n\n\r\n').length > 2);
  });

  it('drains with a control event, and long-polls with 204; nobody comes in afterwards', async () => {
    const { store, served } = await setUp();
    await append(store, 'data');
    const sse = get(served, 'offset=now&live=sse');
    await sse.until(has('upToDate'));
    const poll = get(served, 'offset=now&live=long-poll');
    await untilLive(served, 2);
    served.protocol.drain();
    await sse.until(
      (self) => self.text.split('event: control').length === 3 && has('\r\n0\r\n\r\n')(self),
    );
    await poll.until(has('204 No Content', 'Stream-Up-To-Date: true'));
    expect(served.protocol.liveReaders).toBe(0);
    const late = get(served, 'offset=now&live=sse');
    await late.until(has('503 ', 'Retry-After: 1', 'DRAINING'));
    const read = await sendRaw(served.port, 'GET /v1/stream/s HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(read.status).toBe(200);
  });

  it('refuses live readers beyond the limit, and only them', async () => {
    const { store, served } = await setUp({ maxLiveReaders: 2 });
    get(served, 'offset=now&live=sse');
    get(served, 'offset=now&live=long-poll');
    await untilLive(served, 2);
    for (const mode of ['sse', 'long-poll']) {
      const refused = get(served, `offset=now&live=${mode}`);
      await refused.until(has('503 ', 'Retry-After: 1', 'TOO_MANY_READERS'));
    }
    expect(served.protocol.liveReaders).toBe(2);
    await append(store, 'x');
    await untilLive(served, 1);
    const admitted = get(served, 'offset=now&live=sse');
    await admitted.until(has('upToDate'));
  });

  it('asks for each reader whether its client may have one more, and tells when it left', async () => {
    const store = new MemoryStreamStore();
    await store.create({ path: 's', contentType: 'text/plain', closed: false });
    let entered = 0;
    const served = await serveProtocol(store, {}, undefined, {
      enter: () => {
        if (entered >= 2) throw new HoldfastError('CLIENT_QUOTA_EXCEEDED', 'too many live readers');
        entered++;
      },
      leave: () => void entered--,
    });
    open.push(served);
    const both = ['sse', 'long-poll'].map((mode) => get(served, `offset=now&live=${mode}`));
    await untilLive(served, 2);
    for (const mode of ['sse', 'long-poll']) {
      const refused = get(served, `offset=now&live=${mode}`);
      await refused.until(has('429 ', 'Retry-After: 1', 'CLIENT_QUOTA_EXCEEDED'));
    }
    expect(served.protocol.liveReaders).toBe(2);
    for (const reader of both) reader.socket.destroy();
    await untilLive(served, 0);
    expect(entered).toBe(0);
  });

  it('ends when the stream is deleted under its first read', async () => {
    const { store, served } = await setUp();
    const whole = store.read.bind(store);
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    let reading = false;
    store.read = async (request) => {
      reading = true;
      const slice = await whole(request);
      await held;
      return slice;
    };
    const reader = get(served, 'offset=-1&live=sse');
    while (!reading) await new Promise((resolve) => setTimeout(resolve, 2));
    await store.delete('s');
    goOn();
    await reader.until(has('event: control', '\r\n0\r\n\r\n'));
    expect(served.protocol.liveReaders).toBe(0);
  });

  it('of a stream that is not there is 404 and counts nobody', async () => {
    const { store, served } = await setUp();
    await store.delete('s');
    await get(served, 'offset=now&live=sse').until(has('404 ', 'STREAM_NOT_FOUND'));
    expect(served.protocol.liveReaders).toBe(0);
  });

  it('speaks HTTP/1.0 without chunks, and waits its turn in a pipeline', async () => {
    const { store, served } = await setUp();
    const old = get(served, 'offset=now&live=sse', '1.0');
    await old.until(has('upToDate'));
    const piped = new RawReader(
      served.port,
      'HEAD /v1/stream/s HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2) +
        'GET /v1/stream/s?offset=now&live=sse HTTP/1.1\r\nHost: x\r\n\r\n',
    );
    readers.push(piped);
    await piped.until(has('upToDate'));
    await append(store, 'hello');
    await Promise.all([old.until(has('data:hello\n\n')), piped.until(has('data:hello\n\n'))]);
    expect(old.text).not.toContain('Transfer-Encoding');
    expect(old.text.endsWith('}\n\n')).toBe(true);
    expect(dataOf(piped)).toBe('hello');
  });
});
