import { NodeClock } from '@holdfast/core';
import { openMemoryKvStore } from '@holdfast/kv';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { expectClearInOrder } from './clear-in-order.ts';

describe('a store in memory', () => {
  kvStoreConformance({
    it,
    open: async () => ({ store: openMemoryKvStore({ clock: new NodeClock() }, { id: 'memory' }) }),
    unsupported: { reopen: 'memory is gone with its store' },
  });
});

describe('a store in memory with limits', () => {
  const clock = new SimClock(new SeededRandom(1));
  const value = Buffer.alloc(100);

  it('says that it evicts', () => {
    const { capabilities } = openMemoryKvStore({ clock }, { id: 'cache', maxEntries: 1 });
    expect(capabilities.evicts).toBe(true);
  });

  it('drops what was used longest ago when there are too many', async () => {
    const store = openMemoryKvStore({ clock }, { id: 'cache', maxEntries: 3 });
    for (const key of ['a', 'b', 'c']) await store.put(key, value);
    await store.get('a');
    await store.put('d', value);
    await store.put('c', value);
    await store.put('e', value);
    const keys: string[] = [];
    for await (const key of store.keys()) keys.push(key);
    expect(keys).toEqual(['c', 'd', 'e']);
  });

  it('drops as many as the bytes of a new one need, and tells those who watch', async () => {
    const store = openMemoryKvStore({ clock }, { id: 'cache', maxBytes: 3_000 });
    for (const key of ['a', 'b', 'c']) await store.put(key, Buffer.alloc(600));
    const since = await store.lastChange();
    await store.put('large', Buffer.alloc(2_000));
    expect(await store.getMany(['a', 'b', 'c'])).toEqual([undefined, undefined, undefined]);
    const gone: string[] = [];
    for await (const { type, key } of store.watch({ since })) {
      gone.push(`${type} ${key}`);
      if (gone.length === 4) break;
    }
    expect(gone).toEqual(['put large', 'del a', 'del b', 'del c']);
  });

  it('refuses an entry that is larger than the whole store', async () => {
    const store = openMemoryKvStore({ clock }, { id: 'cache', maxBytes: 1_000 });
    await store.put('a', value);
    await expect(store.put('b', Buffer.alloc(1_000))).rejects.toMatchObject({
      code: 'QUOTA_EXCEEDED',
    });
    expect(await store.has('a')).toBe(true);
  });
});

it('many who watch a large value take the memory of one until they look', async () => {
  const clock = new NodeClock();
  await using store = openMemoryKvStore({ clock }, { id: 'watched' });
  const size = 4_000_000;
  const watches = Array.from({ length: 40 }, () => store.watch()[Symbol.asyncIterator]());
  const waiting = watches.map((watch) => watch.next());
  const before = process.memoryUsage().arrayBuffers;
  await store.put('large', Buffer.alloc(size, 7));
  const changes = await Promise.all(waiting);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10 * size);
  const [one, other] = changes.map(({ value }) => value?.value as Uint8Array);
  one?.fill(0);
  expect(other?.every((byte) => byte === 7)).toBe(true);
  expect((await store.get('large'))?.[0]).toBe(7);
});

it('clear leaves what is put after it was called, and takes what was put before', async () => {
  await using store = openMemoryKvStore({ clock: new NodeClock() }, { id: 'cleared' });
  await expectClearInOrder(store);
});
