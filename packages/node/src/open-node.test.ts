import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  hasCode,
  MemoryFileSystem,
  type FileHandle,
  type HoldfastError,
  type OpenMode,
} from '@holdfast/core';
import { afterEach, describe, expect, it } from 'vitest';
import type { HoldfastNode } from './holdfast-node.ts';
import { openNode } from './open-node.ts';
import type { NodeSettingsInput } from './settings.ts';

const opened: HoldfastNode[] = [];
afterEach(async () => {
  for (const node of opened.splice(0)) await node.close();
});

async function open(settings: NodeSettingsInput = {}): Promise<HoldfastNode> {
  const node = await openNode({ memory: true, ...settings });
  opened.push(node);
  return node;
}

async function take<T>(source: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  for await (const one of source) if (taken.push(one) >= count) break;
  return taken;
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  return take(source, Infinity);
}

describe('node.streams', () => {
  it('appends JSON values and reads them back as they were', async () => {
    const node = await open();
    const chat = await node.streams.open('chat/1', { type: 'application/json' });
    const values = [{ hi: 1 }, [1, 2], 'text', null, 0];
    for (const value of values) await chat.append(value);
    await chat.appendAll(['a', 'b']);
    expect(await all(chat.read())).toEqual([...values, 'a', 'b']);
    expect(chat.info()).toMatchObject({ path: 'chat/1', closed: false });
  });

  it('keeps the bytes of other streams', async () => {
    const node = await open();
    const log = await node.streams.open<Uint8Array>('log');
    const own = Buffer.from([0, 255]);
    const done = log.append(own);
    own.fill(7); // the caller's buffer is the caller's again at once
    await done;
    await log.append('é');
    expect(Buffer.concat(await all(log.read()))).toEqual(Buffer.from([0, 255, 0xc3, 0xa9]));
  });

  it('refuses what a stream cannot hold', async () => {
    const node = await open();
    const json = await node.streams.open('json', { type: 'application/json' });
    const bytes = await node.streams.open('bytes');
    await expect(json.append(undefined)).rejects.toThrow(TypeError);
    await expect(json.append(Buffer.from('{}'))).rejects.toThrow(TypeError);
    await expect(json.append('\ud800')).rejects.toMatchObject({ code: 'INVALID_JSON' });
    await expect(bytes.append({ a: 1 })).rejects.toThrow(TypeError);
    await expect(bytes.append('')).rejects.toMatchObject({ code: 'EMPTY_BODY' });
    await expect(node.streams.open('a/../b')).rejects.toMatchObject({ code: 'INVALID_PATH' });
    await expect(node.streams.open('__ds/x')).rejects.toMatchObject({ code: 'ROUTE_NOT_FOUND' });
  });

  it.each([
    ['a type with a line break', { type: 'text/plain\r\nX: y' }, 'INVALID_HEADER'],
    ['a type that is none', { contentType: '' }, 'INVALID_HEADER'],
    ['half a second', { ttlSeconds: 0.5 }, 'INVALID_TTL'],
    ['negative seconds', { ttlSeconds: -1 }, 'INVALID_TTL'],
    ['no date', { expiresAt: new Date(Number.NaN) }, 'INVALID_TTL'],
  ])('refuses %s as HTTP does', async (_, options, code) => {
    const node = await openNode({ memory: true });
    await expect(node.streams.open('a', options)).rejects.toMatchObject({ code });
    expect(node.streams.count()).toBe(0);
    await node.close();
  });

  it('keeps to the limits of its settings', async () => {
    const limits = { maxStreams: 2, maxStreamBytes: 10, maxTotalBytes: 12 };
    const node = await openNode({
      memory: true,
      maxProducersPerStream: 1,
      maxLiveReaders: 0,
      ...limits,
    });
    const a = await node.streams.open('a', { type: 'text/plain' });
    const b = await node.streams.open('b', { type: 'text/plain' });
    const refused = async (work: Promise<unknown>, code: string): Promise<void> => {
      await expect(work).rejects.toMatchObject({ code });
    };
    await refused(node.streams.open('c'), 'QUOTA_EXCEEDED');
    await a.append('123456789', { producer: { id: 'one', epoch: 0, seq: 0 } });
    await refused(a.append('12'), 'STREAM_TOO_LARGE');
    await refused(b.append('1234'), 'QUOTA_EXCEEDED');
    await refused(a.append('1', { producer: { id: 'two', epoch: 0, seq: 0 } }), 'QUOTA_EXCEEDED');
    const live = await node.fetch(
      new Request('http://localhost/v1/stream/a?offset=now&live=long-poll'),
    );
    expect(live.status).toBe(503);
    await node.close();
  });

  it('refuses writers and forks that HTTP could not have', async () => {
    const node = await openNode({ memory: true });
    const stream = await node.streams.open('a');
    const refused = async (work: Promise<unknown>, code: string): Promise<void> => {
      await expect(work).rejects.toMatchObject({ code });
    };
    for (const producer of [
      { id: '', epoch: 0, seq: 0 },
      { id: 'p', epoch: -1, seq: 0 },
      { id: 'p', epoch: 0, seq: 0.5 },
    ]) {
      await refused(stream.append('x', { producer }), 'INVALID_PRODUCER');
    }
    await refused(stream.append('x', { seq: '' }), 'INVALID_HEADER');
    const at = stream.info().nextOffset;
    await refused(stream.fork('b', { at, subOffset: -1 }), 'INVALID_HEADER');
    await refused(node.streams.open('\ud800'), 'INVALID_PATH');
    expect(stream.info().nextOffset).toBe(at);
    await node.close();
  });

  it('reads live: what is there, what comes, and the end', async () => {
    const node = await open();
    const stream = await node.streams.open<number>('n', { type: 'application/json' });
    await stream.append(1);
    const reading = all(stream.read({ live: true }));
    const late = all(stream.read({ live: true, from: 'now' }));
    await new Promise(setImmediate);
    await stream.append(2);
    await stream.append(3, { close: true });
    expect(await reading).toEqual([1, 2, 3]);
    expect(await late).toEqual([2, 3]);
    expect(await all(stream.read({ live: true }))).toEqual([1, 2, 3]);
  });

  it('goes on from the offset of a batch, and misses nothing under a fast writer', async () => {
    const node = await open();
    const stream = await node.streams.open<number>('n', { type: 'application/json' });
    const writing = (async () => {
      for (let i = 0; i < 300; i++) await stream.append(i);
      await stream.close();
    })();
    const seen: number[] = [];
    let from = 'start';
    for (let closed = false; !closed;) {
      for await (const batch of stream.batches({ from, live: true })) {
        seen.push(...batch.messages);
        ({ nextOffset: from, closed } = batch);
        break; // a new reader for every batch
      }
    }
    await writing;
    expect(seen).toEqual(Array.from({ length: 300 }, (_, i) => i));
  });

  it('ends a live read with an error when the stream is deleted, also when it is made anew', async () => {
    const node = await open();
    const stream = await node.streams.open('gone', { type: 'application/json' });
    const missing = { kind: 'missing' };
    const first = expect(all(stream.read({ live: true }))).rejects.toMatchObject(missing);
    await new Promise(setImmediate);
    await stream.delete();
    await first;
    const anew = await node.streams.open('gone', { type: 'application/json' });
    const second = expect(all(anew.read({ live: true }))).rejects.toMatchObject(missing);
    await new Promise(setImmediate);
    await anew.delete();
    await node.streams.open('gone', { type: 'application/json' });
    await second;
  });

  it('ends a live read by signal and by closing the node', async () => {
    const node = await open();
    const stream = await node.streams.open('s', { type: 'application/json' });
    const controller = new AbortController();
    const byHand = all(stream.read({ live: true, signal: controller.signal }));
    const stopped = expect(byHand).rejects.toThrow('enough');
    const byClose = all(stream.read({ live: true }));
    await new Promise(setImmediate);
    controller.abort(new Error('enough'));
    await stopped;
    const ended = expect(byClose).rejects.toMatchObject({ kind: 'closed' });
    await node.close();
    await ended;
  });

  it('writes a retry of a producer once, and fences its older epoch', async () => {
    const node = await open();
    const stream = await node.streams.open('p', { type: 'application/json' });
    const producer = { id: 'w', epoch: 1, seq: 0 };
    const first = await stream.append('once', { producer });
    expect(await stream.append('once', { producer })).toEqual({ ...first, duplicate: true });
    const old = stream.append('zombie', { producer: { ...producer, epoch: 0 } });
    await expect(old).rejects.toMatchObject({ code: 'PRODUCER_FENCED' });
    expect(await all(stream.read())).toEqual(['once']);
  });

  it('forks at an offset; the fork goes its own way', async () => {
    const node = await open();
    const stream = await node.streams.open<number>('trunk', { type: 'application/json' });
    const { nextOffset } = await stream.append(1);
    await stream.append(2);
    const fork = await stream.fork('branch', { at: nextOffset });
    await fork.append(3);
    expect(await all(fork.read())).toEqual([1, 3]);
    expect(await all(stream.read())).toEqual([1, 2]);
    expect(fork.info().forkedFrom).toBe('trunk');
  });

  it('opens what is there as it is, and refuses to take it for something else', async () => {
    const node = await open();
    const made = await node.streams.open('x', { type: 'text/plain', ttlSeconds: 60 });
    await made.append('bye', { close: true });
    expect((await node.streams.open('x')).contentType).toBe('text/plain');
    expect((await node.streams.open('x', { ttlSeconds: 60 })).contentType).toBe('text/plain');
    for (const options of [{ type: 'application/json' }, { ttlSeconds: 61 }]) {
      await expect(node.streams.open('x', options)).rejects.toMatchObject({
        code: 'STREAM_EXISTS',
      });
    }
    expect(node.streams.count()).toBe(1);
    expect(node.streams.list({ prefix: 'x' }).streams).toHaveLength(1);
  });
});

describe('one engine, three ways in', () => {
  it('fetch, a handler of a foreign server and the embedded API see the same stream', async () => {
    const node = await open();
    const server = createServer(node.handler).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/stream`;
    try {
      const headers = { 'content-type': 'application/json' };
      const put = await node.fetch(new Request('http://x/v1/stream/s', { method: 'PUT', headers }));
      expect(put.status).toBe(201);
      const post = await fetch(`${base}/s`, {
        method: 'POST',
        headers,
        body: '[1,12345678901234567890]',
      });
      expect(post.status).toBe(204);
      const stream = await node.streams.open('s');
      await stream.append(3);
      const got = await node.fetch(new Request('http://x/v1/stream/s'));
      expect(await got.text()).toBe('[1,12345678901234567890,3]');
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it('takes the first content of a fork by the type of a source that is on its way itself', async () => {
    const node = await openNode({ memory: true });
    const put = (path: string, headers: Record<string, string>, body = ''): Promise<Response> =>
      node.fetch(
        new Request(`http://h/v1/stream/${path}`, {
          method: 'PUT',
          headers,
          body: Buffer.from(body),
        }),
      );
    const answers = await Promise.all([
      put('source', { 'Content-Type': 'application/json' }),
      put('fork', { 'Stream-Forked-From': '/v1/stream/source' }, '[1,2]'),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    const read = await node.fetch(new Request('http://h/v1/stream/fork'));
    expect(await read.json()).toEqual([1, 2]);
    await node.close();
  });

  it('streams SSE through fetch, and a cancelled body frees its reader', async () => {
    const node = await open();
    const stream = await node.streams.open('s', { type: 'application/json' });
    const answer = await node.fetch(new Request('http://x/v1/stream/s?offset=-1&live=sse'));
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    expect(node.stats().liveReaders).toBe(1);
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    const until = async (mark: string): Promise<void> => {
      while (!text.includes(mark)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`ended before ${mark}: ${text}`);
        text += Buffer.from(value).toString();
      }
    };
    await until('"upToDate":true');
    await stream.append({ live: 1 });
    await until('{"live":1}');
    await reader.cancel();
    await new Promise(setImmediate);
    expect(node.stats().liveReaders).toBe(0);
  });
});

describe('listen and close', () => {
  it('drains: ready turns 503, long-polls answer 204, SSE ends, then the port is free', async () => {
    const node = await open({ longPollTimeoutMs: 60_000 });
    const stream = await node.streams.open('s', { type: 'application/json' });
    const { nextOffset } = await stream.append(1);
    const { url } = await node.listen({ port: 0 });
    const at = `${url}/v1/stream/s?offset=${nextOffset}`;
    const poll = fetch(`${at}&live=long-poll`);
    const sse = await fetch(`${at}&live=sse`);
    while (node.stats().liveReaders < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    const closing = node.close();
    const ready = await node.fetch(new Request('http://x/readyz'));
    expect(ready.status).toBe(503);
    const polled = await poll;
    expect([polled.status, polled.headers.get('stream-next-offset')]).toEqual([204, nextOffset]);
    expect(await sse.text()).toContain('event: control');
    await closing;
    await expect(fetch(`${url}/livez`)).rejects.toThrow();
    expect(node.state).toBe('closed');
    await expect(node.listen({ port: 0 })).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('lets an append that is under way finish, and cuts one that does not', async () => {
    const node = await open({ drainTimeoutMs: 300 });
    await node.streams.open('s');
    const { url } = await node.listen({ port: 0 });
    let push: ((text: string | undefined) => void) | undefined;
    const upload = (): Promise<Response> =>
      fetch(`${url}/v1/stream/s`, {
        method: 'POST',
        headers: { 'content-type': 'application/octet-stream' },
        body: new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(Buffer.from('begin'));
            push ??= (text) =>
              text === undefined ? controller.close() : controller.enqueue(Buffer.from(text));
          },
        }),
        duplex: 'half',
      } as RequestInit);
    const finishes = upload();
    const hangs = upload();
    const cut = expect(hangs).rejects.toThrow();
    while (node.stats().requestsInFlight < 2)
      await new Promise((resolve) => setTimeout(resolve, 5));
    const closing = node.close();
    push?.(' end');
    push?.(undefined);
    expect((await finishes).status).toBe(204);
    await cut;
    await closing;
  });

  it('closes once, whoever asks, also by await using', async () => {
    const node = await openNode({ memory: true });
    const again = node.close();
    await Promise.all([again, node.close(), node[Symbol.asyncDispose]()]);
    await expect(node.streams.open('s')).rejects.toSatisfy(
      (error) => hasCode(error, 'CLOSED') || (error as HoldfastError).kind === 'closed',
    );
  });
});

describe('a data directory', () => {
  it('gives back everything after a close, and has one owner at a time', async () => {
    const fileSystem = new MemoryFileSystem();
    const first = await openNode({ dir: '/d' }, { fileSystem });
    opened.push(first);
    const stream = await first.streams.open('s', { type: 'application/json' });
    await stream.append({ kept: true });
    await expect(openNode({ dir: '/d' }, { fileSystem })).rejects.toMatchObject({
      code: 'DIRECTORY_LOCKED',
    });
    await first.close();
    const second = await openNode({ dir: '/d' }, { fileSystem });
    opened.push(second);
    expect(await all((await second.streams.open('s')).read())).toEqual([{ kept: true }]);
  });
});

describe('a start that fails once its database is open', () => {
  it('says why, and gives the directory back', async () => {
    const fileSystem = new MemoryFileSystem();
    const faces = {
      get protocol(): never {
        throw new Error('no faces today');
      },
    };
    await expect(openNode({ dir: '/data' }, { fileSystem }, faces)).rejects.toThrow('no faces');
    const node = await openNode({ dir: '/data' }, { fileSystem });
    opened.push(node);
    await node.kv.store('a').put('k', Buffer.from('1'));
  });
});

describe('when the disk fails', () => {
  it('says so once, refuses every write, keeps serving reads, and closes', async () => {
    const fileSystem = new FailingFileSystem();
    const node = await openNode({ dir: '/d' }, { fileSystem });
    opened.push(node);
    const stream = await node.streams.open('s', { type: 'application/json' });
    await stream.append('kept');
    const heard: string[] = [];
    node.onFailed((error) => heard.push(error.code));
    fileSystem.failing = true;
    await expect(stream.append('lost')).rejects.toMatchObject({ effect: 'unknown' });
    await expect(stream.append('later')).rejects.toMatchObject({ code: 'NODE_FAILED' });
    expect([node.state, heard.length]).toEqual(['failed', 1]);
    node.onFailed((error) => heard.push(error.code));
    expect(heard).toHaveLength(2);
    const ask = (path: string, method = 'GET'): Promise<Response> =>
      node.fetch(new Request(`http://x${path}`, { method }));
    expect((await ask('/readyz')).status).toBe(503);
    expect((await ask('/livez')).status).toBe(200);
    const refused = await ask('/v1/stream/s', 'POST');
    expect([refused.status, await refused.json()]).toMatchObject([503, { code: 'NODE_FAILED' }]);
    expect(await (await ask('/v1/stream/s')).text()).toBe('["kept"]');
    await node.close();
    expect(node.state).toBe('closed');
  });
});

/** A disk that stops taking writes. */
class FailingFileSystem extends MemoryFileSystem {
  failing = false;

  override async open(path: string, mode: OpenMode): Promise<FileHandle> {
    const file = await super.open(path, mode);
    const fail = (): boolean => this.failing;
    return new Proxy(file, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (name === 'datasync') {
          return () =>
            fail()
              ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
              : target.datasync();
        }
        return value.bind(target) as unknown;
      },
    });
  }
}

describe('administration', () => {
  it.each(['/v1/stream/', '/v1/', '/'])(
    'is nobody else, and not for fetch, with streams under %s',
    async (basePath) => {
      await using node = await openNode({ memory: true, basePath });
      const headers = { 'holdfast-admin': '1', 'content-type': 'application/json' };
      for (const method of ['GET', 'PUT', 'DELETE']) {
        const request = new Request('http://localhost/v1/admin/backup', { method, headers });
        const answer = await node.fetch(request);
        expect([answer.status, await answer.json()]).toEqual([
          403,
          expect.objectContaining({ code: 'ADMIN_REFUSED' }),
        ]);
      }
      expect(node.streams.count()).toBe(0);
    },
  );
});

describe('the list of streams', () => {
  it('counts as memory while nobody takes it, and makes way for the next one', async () => {
    const node = await open({ maxUnsentBytes: 64 * 1024 });
    const name = 'x'.repeat(900);
    await Promise.all(Array.from({ length: 200 }, (_, i) => node.streams.open(`${name}/${i}`)));
    const list = (): Promise<Response> =>
      node.fetch(new Request('http://localhost/v1/streams?limit=1000'));
    const answers = await Promise.all([list(), list(), list()]);
    const read = await Promise.allSettled(answers.map((answer) => answer.text()));
    expect(read.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
  });
});

describe('settings', () => {
  it('are refused before anything is opened', async () => {
    await expect(openNode({ memory: true, prot: 1 } as NodeSettingsInput)).rejects.toThrow(
      'did you mean port?',
    );
  });
});
