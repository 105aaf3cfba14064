/** `node.kv`: the contract of stores holds for what a node gives out, and they end with the node. */
import { LIMITS } from '@holdfast/core';
import type { KvChange, KvStore } from '@holdfast/kv';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { SimFs } from '@holdfast/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { type HoldfastNode, openNode } from '../src/index.ts';

const QUICK = { kv: { purgeIntervalMs: 20, purgeStartGraceMs: 0 } };

const opened: HoldfastNode[] = [];
afterEach(async () => {
  for (const node of opened.splice(0)) await node.close();
});

async function open(): Promise<HoldfastNode> {
  const node = await openNode({ memory: true }, {}, QUICK);
  opened.push(node);
  return node;
}

async function names(node: HoldfastNode, after?: string): Promise<string[]> {
  const all: string[] = [];
  for await (const { name } of node.kv.stores({ after })) all.push(name);
  return all;
}

async function take<T>(source: AsyncIterable<T>, count = Infinity): Promise<T[]> {
  const taken: T[] = [];
  for await (const one of source) if (taken.push(one) >= count) break;
  return taken;
}

const bytes = (text: string): Buffer => Buffer.from(text);

describe('a store of a node', () => {
  kvStoreConformance({
    it,
    open: async () => {
      const fileSystem = new SimFs();
      const next = async (): Promise<HoldfastNode> =>
        openNode({ dir: '/data', shardCount: 2 }, { fileSystem }, QUICK);
      let node = await next();
      return {
        store: node.kv.store('main'),
        reopen: async () => {
          await node.close();
          node = await next();
          return node.kv.store('main');
        },
        close: () => node.close(),
      };
    },
  });
});

describe('node.kv', () => {
  it('keeps stores apart from each other and from streams', async () => {
    const node = await open();
    const stream = await node.streams.open('a', { type: 'application/json' });
    await stream.append(1);
    await node.kv.store('a').put('k', bytes('of a'));
    await node.kv.store('b').put('k', bytes('of b'));
    await node.checkpoint();
    expect(await node.kv.store('a').get('k')).toEqual(bytes('of a'));
    expect(await node.kv.store('b').get('k')).toEqual(bytes('of b'));
    expect(await node.kv.store('constructor').get('k')).toBeUndefined();
    expect(await take(stream.read())).toEqual([1]);
    expect(await node.verify()).toEqual([]);
  });

  it('is one store however often it is asked for', async () => {
    const node = await open();
    const put = node.kv.store('a').put('k', bytes('1'));
    const overtaking = node.kv.store('a').put('k', bytes('2'));
    await Promise.all([put, overtaking]);
    expect(await node.kv.store('a').get('k')).toEqual(bytes('2'));
    const [one, other] = [node.kv.store('a'), node.kv.store('a')];
    await one.close();
    await one.close();
    await expect(one.get('k')).rejects.toMatchObject({ code: 'CLOSED' });
    expect(await other.get('k')).toEqual(bytes('2'));
  });

  it('names the stores that hold something, shorter names first', async () => {
    const node = await open();
    const all = ['zz', 'b', 'a.b', '_own', 'A'];
    expect(await names(node)).toEqual([]);
    for (const name of all.filter((each) => !each.startsWith('_'))) {
      await node.kv.store(name).put(`${name}-1`, bytes('1'));
      await node.kv.store(name).put(`${name}-2`, bytes('2'));
    }
    const expected = ['A', 'b', 'zz', 'a.b'];
    expect(await names(node)).toEqual(expected); // in memory
    await node.checkpoint();
    expect(await names(node)).toEqual(expected); // in rows
    await node.kv.store('zz').clear();
    await node.kv.store('b').put('b-1', bytes('again'));
    await node.kv.store('c').put('c', bytes('new'));
    expect(await names(node)).toEqual(['A', 'b', 'c', 'a.b']); // in both
    expect(await names(node, 'b')).toEqual(['c', 'a.b']);
    expect(await names(node, 'bb')).toEqual(['a.b']);
  });

  it('does not name a store of which everything is past its expiry', async () => {
    const node = await openNode({ memory: true }); // nothing is purged before its grace is over
    opened.push(node);
    const past = { expiresAtMs: 1 };
    await node.kv.store('in-rows').put('k', bytes('1'), past);
    await node.checkpoint();
    await node.kv.store('in-memory').put('k', bytes('1'), past);
    await node.kv.store('lasting').put('k', bytes('1'));
    expect(await names(node)).toEqual(['lasting']);
  });

  it('refuses names that are none, and those of the node itself', async () => {
    const node = await open();
    const wrong = ['', '_', '_tiers.a', 'a/b', 'é', 'x'.repeat(65), 7 as unknown as string];
    for (const name of wrong) {
      expect(() => node.kv.store(name)).toThrow(
        expect.objectContaining({ code: 'INVALID_ENTRY_KEY' }),
      );
    }
    await expect(names(node, 'a/b')).rejects.toMatchObject({ code: 'INVALID_ENTRY_KEY' });
    node.kv.store('x'.repeat(64));
  });

  it('takes any number of names that nobody goes on with, and keeps few of them open', async () => {
    const node = await open();
    for (let at = 0; at < LIMITS.maxEngineStores + 10; at++) {
      expect(await node.kv.store(`n${at}`).has('k')).toBe(false);
    }
    // One may be closing just now, and some are the node's own.
    expect(node.stats().kv.handles).toBeLessThanOrEqual(LIMITS.maxIdleStores + 8);
  });

  it('refuses one more store than may be in use, with a code, and takes it when one is left', async () => {
    const node = await open();
    const watches: AsyncIterator<KvChange>[] = [];
    const filling = (): void => {
      for (let at = 0; at <= LIMITS.maxEngineStores; at++) {
        watches.push(node.kv.store(`n${at}`).watch()[Symbol.asyncIterator]());
      }
    };
    expect(filling).toThrow(expect.objectContaining({ code: 'QUOTA_EXCEEDED' }));
    expect(watches.length).toBeGreaterThan(LIMITS.maxEngineStores - 8); // some are the node's own
    for (const watch of watches.slice(0, 2 * LIMITS.maxIdleStores)) await watch.return?.();
    await node.kv.store('more').put('k', bytes('1'));
    expect(await names(node)).toEqual(['more']);
  });

  it('ends walks and watches when it is closed, and finishes writes', async () => {
    const node = await open();
    const store = node.kv.store('a');
    await store.batch(['1', '2', '3'].map((key) => ({ type: 'put', key, value: bytes(key) })));
    const walk = store.keys()[Symbol.asyncIterator]();
    expect(await walk.next()).toEqual({ done: false, value: '1' });
    const watching = take(store.watch({ since: 0 })).catch((error: unknown) => error);
    const writing = store.put('4', bytes('4'));
    await node.close();
    expect(await watching).toMatchObject({ code: 'CLOSED' });
    expect(await writing).toMatchObject({ changed: true });
    await expect(walk.next()).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(store.put('5', bytes('5'))).rejects.toMatchObject({ code: 'CLOSED' });
    expect(() => node.kv.store('b')).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    await expect(names(node)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('ends what one object of a store began when that is closed, and nothing else', async () => {
    const node = await open();
    const [own, other] = [node.kv.store('a'), node.kv.store('a')];
    const ended = take(own.watch()).catch((error: unknown) => error);
    const going: Promise<KvChange[]> = take(other.watch(), 1);
    const closing = own.close();
    expect(await ended).toMatchObject({ code: 'CLOSED' });
    await closing;
    await other.put('k', bytes('1'));
    expect(await going).toMatchObject([{ key: 'k', type: 'put' }]);
  });
});

describe('the process', () => {
  it('is held while a call, a walk or a watch waits, and not between', async () => {
    let held = 0;
    const holdProcess = (): (() => void) => {
      held++;
      return () => void held--;
    };
    const node = await openNode({ memory: true }, { holdProcess }, QUICK);
    opened.push(node);
    expect(held).toBe(0);
    const store: KvStore = node.kv.store('a');
    const put = store.put('k', bytes('1'));
    expect(held).toBe(1);
    await put;
    expect(held).toBe(0);
    const ending = new AbortController();
    const watch = store.watch({ signal: ending.signal })[Symbol.asyncIterator]();
    expect(held).toBe(0); // nobody waits for it yet
    const next = watch.next();
    expect(held).toBe(1);
    await store.put('k', bytes('2'));
    await next;
    expect(held).toBe(0);
    const last = watch.next();
    expect(held).toBe(1);
    ending.abort();
    await expect(last).rejects.toMatchObject({ code: 'ABORTED' });
    expect(held).toBe(0);
    await expect(store.get('')).rejects.toMatchObject({ code: 'INVALID_ENTRY_KEY' });
    expect(await take(store.keys())).toEqual(['k']);
    expect(held).toBe(0);
  });
});
