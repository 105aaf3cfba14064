/** Watches over real connections: nothing is left out, nothing comes twice, and all of it is bounded. */
import { afterEach, describe, expect, it } from 'vitest';
import { openNode, type HoldfastNode } from '../../src/index.ts';
import type { NodeTuning } from '../../src/open-node.ts';
import { LiveReader, type ServerSentEvent } from '../live-reader.ts';
import { request } from '../http-request.ts';
import { ApiWitness } from './api-witness.ts';

const MIB = 1024 * 1024;
const opened: HoldfastNode[] = [];
afterEach(async () => {
  for (const node of opened.splice(0)) await node.close();
});

async function serve(
  settings = {},
  tuning: NodeTuning = {},
): Promise<{ node: HoldfastNode; url: string }> {
  const node = await openNode({ memory: true, ...settings }, {}, tuning);
  opened.push(node);
  const { url } = await node.listen({ port: 0 });
  return { node, url: `${url}/v1/kv/s` };
}

interface Change {
  readonly type: string;
  readonly key: string;
  readonly version: number;
  readonly value?: string;
  readonly text?: string;
}

const changesOf = (events: readonly ServerSentEvent[]): (Change & { id: number })[] =>
  events
    .filter(({ event }) => event === 'change')
    .map(({ data, id }) => ({ ...(JSON.parse(data) as Change), id: Number(id) }));

const until = (reader: LiveReader, count: number): Promise<void> =>
  reader.untilEvents((events) => changesOf(events).length >= count);

describe('a watch', () => {
  it('says where it begins, then gives every change in order, with its value', async () => {
    const { node, url } = await serve();
    const store = node.kv.store('s');
    await store.put('before', Buffer.from('x'));
    const reader = await LiveReader.open(`${url}?watch&values=text`);
    await reader.untilEvents((events) => events.length > 0);
    expect(reader.events()[0]).toEqual({ event: 'ready', id: '1', data: '{"since":1}' });
    await store.put('a', Buffer.from('line\nbreak\r\n\n: x'));
    await store.put('b', Buffer.from([255]));
    await store.del('a');
    await node.kv.store('other').put('c', Buffer.from('not ours'));
    await store.put('d', Buffer.alloc(0));
    await until(reader, 4);
    expect(changesOf(reader.events())).toMatchObject([
      { type: 'put', key: 'a', text: 'line\nbreak\r\n\n: x' },
      { type: 'put', key: 'b', value: '/w==' },
      { type: 'del', key: 'a' },
      { type: 'put', key: 'd', text: '' },
    ]);
    expect(reader.head).toContain('text/event-stream');
    const api = await ApiWitness.of(new URL(url).origin);
    api.checkRaw('GET /v1/kv/s?watch HTTP/1.1', `${reader.head}\r\n\r\n`);
    for (const { event, data } of reader.events()) {
      if (event === 'change') api.checkSchema('Change', JSON.parse(data));
    }
    reader.destroy();
  });

  it('goes on behind since or the last event, by header before query, as EventSource does', async () => {
    const { node, url } = await serve();
    for (let n = 1; n <= 9; n++) await node.kv.store('s').put(`k${n}`, Buffer.from(String(n)));
    const accept = ['Accept: text/event-stream'];
    for (const [target, headers, first] of [
      [`${url}?since=3`, accept, 4],
      [`${url}?watch=sse&since=3`, ['Last-Event-ID: 6'], 7],
      [`${url}?watch`, ['Last-Event-ID: 0'], 1],
    ] as const) {
      const reader = await LiveReader.open(target, headers);
      await until(reader, 10 - first);
      expect(changesOf(reader.events()).map(({ id }) => id)).toEqual(
        Array.from({ length: 10 - first }, (_, n) => n + first),
      );
      reader.destroy();
    }
  });

  it('of a prefix leaves others out, and its heartbeats move the number past them', async () => {
    const { node, url } = await serve({}, { protocol: { sseHeartbeatMs: 20 } });
    const store = node.kv.store('s');
    const reader = await LiveReader.open(`${url}?watch&prefix=a/&since=0`);
    for (let n = 0; n < 20; n++)
      await store.put(`${n % 2 === 0 ? 'a' : 'b'}/${n}`, Buffer.from('x'));
    await until(reader, 10);
    expect(changesOf(reader.events()).every(({ key }) => key.startsWith('a/'))).toBe(true);
    await reader.untilText((text) => text.includes(':\nid: 20\n\n'));
    reader.destroy();
  });

  it('says expire when the bytes of what is past its end go', async () => {
    const { node, url } = await serve({}, { kv: { purgeIntervalMs: 10, purgeStartGraceMs: 0 } });
    const reader = await LiveReader.open(`${url}?watch&since=0`);
    await node.kv.store('s').put('a', Buffer.from('x'), { ttlMs: 1 });
    await until(reader, 2);
    expect(changesOf(reader.events()).map(({ type }) => type)).toEqual(['put', 'expire']);
    reader.destroy();
  });

  it('reconnected again and again while others write, gives each change once and in order', async () => {
    const { node, url } = await serve();
    const store = node.kv.store('s');
    const total = 3_000;
    const writing = (async () => {
      for (let n = 0; n < total; n += 50) {
        await Promise.all(
          Array.from({ length: 50 }, (_, i) =>
            store.put(`k${(n + i) % 17}`, Buffer.from(String(n + i))),
          ),
        );
      }
    })();
    const seen: number[] = [];
    let connections = 0;
    while (seen.length < total) {
      const reader = await LiveReader.open(`${url}?watch&since=${seen.at(-1) ?? 0}`);
      connections++;
      const wanted = Math.min(1 + ((connections * 37) % 400), total - seen.length);
      await until(reader, wanted);
      // Some of what has come is not looked at: it will come again.
      seen.push(
        ...changesOf(reader.events())
          .slice(0, wanted)
          .map(({ id }) => id),
      );
      reader.destroy();
    }
    await writing;
    expect(seen).toEqual(Array.from({ length: total }, (_, n) => n + 1));
    expect(connections).toBeGreaterThan(5);
  }, 120_000);

  it('of changes that are not kept any more is 410, and one that is too slow is told and ended', async () => {
    const { node, url } = await serve();
    const store = node.kv.store('s');
    const big = Buffer.alloc(4 * MIB, 1);
    const slow = await LiveReader.open(`${url}?watch&since=0`);
    slow.pause();
    for (let n = 0; n < 16; n++) await store.put('k', big); // twice what is kept
    const refused = await request('GET', `${url}?watch&since=1`);
    expect([refused.status, refused.code]).toEqual([410, 'CHANGES_TRIMMED']);
    slow.resume();
    await slow.closed;
    const last = slow.events().at(-1);
    expect([last?.event, last?.data]).toEqual(['trimmed', '{"code":"CHANGES_TRIMMED"}']);
    const ids = changesOf(slow.events()).map(({ id }) => id);
    expect(ids).toEqual(ids.map((_, n) => n + 1)); // without a gap up to there
    expect(last?.id).toBe(String(ids.length));
  }, 120_000);

  it('that begins behind what has happened here is refused: the node was set back', async () => {
    const { url } = await serve();
    const { status, code } = await request('GET', `${url}?watch&since=5`);
    expect([status, code]).toEqual([410, 'CHANGES_TRIMMED']);
  });

  it('ends with an event when the node drains, and nobody comes in any more', async () => {
    const { node, url } = await serve();
    const readers = await Promise.all(
      Array.from({ length: 5 }, () => LiveReader.open(`${url}?watch`)),
    );
    expect(node.stats().liveReaders).toBe(5);
    await Promise.all(readers.map((reader) => reader.untilEvents((events) => events.length > 0)));
    await node.close();
    for (const reader of readers) {
      await reader.closed;
      expect(reader.events().at(-1)).toEqual({
        event: 'end',
        id: '0',
        data: '{"code":"DRAINING"}',
      });
    }
  });

  it('counts as a live reader until it is gone, within the bound of all', async () => {
    const { node, url } = await serve({ maxLiveReaders: 2 });
    const readers = [await LiveReader.open(`${url}?watch`), await LiveReader.open(`${url}?watch`)];
    const third = await request('GET', `${url}?watch`);
    expect([third.status, third.code]).toEqual([503, 'TOO_MANY_READERS']);
    readers[0]?.destroy();
    while (node.stats().liveReaders > 1) await new Promise((resolve) => setTimeout(resolve, 5));
    readers.push(await LiveReader.open(`${url}?watch`));
    expect(node.stats().liveReaders).toBe(2);
    for (const reader of readers) reader.destroy();
  });

  it('asked by HEAD is told its head alone', async () => {
    const { node, url } = await serve();
    const { status, headers, text } = await request('HEAD', `${url}?watch`);
    expect([status, headers['content-type'], text]).toEqual([200, 'text/event-stream', '']);
    expect(node.stats().liveReaders).toBe(0);
  });
});

describe('watchers that never read', () => {
  it('hold nothing of what they do not take: a hundred of them cost little memory', async () => {
    const { node, url } = await serve();
    const store = node.kv.store('s');
    const readers: LiveReader[] = [];
    for (let n = 0; n < 100; n++) {
      const reader = await LiveReader.open(`${url}?watch&since=0`);
      reader.pause();
      readers.push(reader);
    }
    const before = process.memoryUsage();
    const value = Buffer.alloc(64 * 1024, 7);
    for (let n = 0; n < 400; n++) await store.put(`k${n % 4}`, value); // 25 MiB for each
    const after = process.memoryUsage();
    // All of it for everybody would be 3.3 GiB in base64; what the ring, the log and a frame for each
    // reader take is there as well, and the test's own ends of the connections.
    const grown = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed;
    expect(grown).toBeLessThan(400 * MIB);
    for (const reader of readers) reader.destroy();
  }, 120_000);

  it('are cut when they take nothing for too long, and the rest goes on', async () => {
    const { node, url } = await serve({}, { protocol: { writeIdleTimeoutMs: 300 } });
    const store = node.kv.store('s');
    const stuck = await LiveReader.open(`${url}?watch&since=0`);
    stuck.pause();
    const good = await LiveReader.open(`${url}?watch&since=0&values=none`);
    const value = Buffer.alloc(MIB, 7);
    for (let n = 0; n < 24; n++) await store.put('k', value);
    await until(good, 24);
    while (node.stats().liveReaders > 1) await new Promise((resolve) => setTimeout(resolve, 10));
    good.destroy();
    stuck.destroy();
  }, 60_000);
});
