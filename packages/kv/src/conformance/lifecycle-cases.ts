/** Signals and closing: rules 17 to 20 of the contract. */
import assert from 'node:assert/strict';
import {
  assertValue,
  bytes,
  gather,
  type KvConformanceCase,
  keysOf,
  numberedKeys,
  putAll,
  rejects,
} from './conformance-case.ts';

export const LIFECYCLE_CASES: readonly KvConformanceCase[] = [
  {
    title: 'a signal that has ended lets no call begin',
    run: async (store) => {
      const signal = AbortSignal.abort();
      await rejects(() => store.put('key', bytes('1'), { signal }), 'ABORTED');
      await rejects(
        () => store.batch([{ type: 'put', key: 'key', value: bytes('1') }], { signal }),
        'ABORTED',
      );
      await assertValue(store, 'key', undefined);
      await store.put('key', bytes('1'));
      await rejects(() => store.get('key', { signal }), 'ABORTED');
      await rejects(() => store.getEntry('key', { signal }), 'ABORTED');
      await rejects(() => store.getMany(['key'], { signal }), 'ABORTED');
      await rejects(() => store.has('key', { signal }), 'ABORTED');
      await rejects(() => store.del('key', { signal }), 'ABORTED');
      await rejects(() => keysOf(store, { signal }), 'ABORTED');
      await rejects(() => gather(store.values({ signal })), 'ABORTED');
      await rejects(() => gather(store.iterator({ signal })), 'ABORTED');
      await rejects(() => gather(store.entries({ signal })), 'ABORTED');
      await rejects(() => store.page({ order: 'key', signal }), 'ABORTED');
      await rejects(() => store.clear({ signal }), 'ABORTED');
      await rejects(() => store.lastChange({ signal }), 'ABORTED');
      await rejects(() => store.flush({ signal }), 'ABORTED');
      await assertValue(store, 'key', '1');
    },
  },
  {
    title: 'a signal that ends later ends a walk, and disturbs nothing that is over',
    run: async (store) => {
      await putAll(store, numberedKeys(10));
      const controller = new AbortController();
      const { signal } = controller;
      await store.put('over', bytes('1'), { signal });
      const seen: string[] = [];
      const walk = async (): Promise<void> => {
        for await (const key of store.keys({ signal })) {
          seen.push(key);
          if (seen.length === 3) controller.abort();
        }
      };
      await rejects(walk, 'ABORTED');
      assert.equal(seen.length, 3);
      await assertValue(store, 'over', '1');
    },
  },
  {
    title: 'a write that its signal ended has happened, or has not, and says which it may be',
    run: async (store) => {
      const controller = new AbortController();
      const put = store.put('key', bytes('1'), { signal: controller.signal });
      controller.abort();
      const failed = await put.then(
        () => undefined,
        (error: unknown) => error as { code: string; effect: string },
      );
      await store.flush();
      if (failed === undefined) {
        await assertValue(store, 'key', '1');
        return;
      }
      assert.equal(failed.code, 'ABORTED');
      if (failed.effect === 'none') await assertValue(store, 'key', undefined);
      else assert.equal(failed.effect, 'unknown');
      await store.put('key', bytes('2'));
      await assertValue(store, 'key', '2');
    },
  },
  {
    title: 'close waits for writes under way, and everything afterwards is CLOSED',
    run: async (store) => {
      await store.put('key', bytes('1'));
      const walk = store.keys()[Symbol.asyncIterator]();
      await walk.next();
      const put = store.put('late', bytes('1'));
      const closing = store.close();
      await store.close();
      await closing;
      await put;
      await rejects(() => walk.next(), 'CLOSED');
      await rejects(() => store.put('key', bytes('2')), 'CLOSED');
      await rejects(() => store.get('key'), 'CLOSED');
      await rejects(() => store.getMany([]), 'CLOSED');
      await rejects(() => store.del('key'), 'CLOSED');
      await rejects(() => store.batch([]), 'CLOSED');
      await rejects(() => keysOf(store), 'CLOSED');
      await rejects(() => store.page({ order: 'key' }), 'CLOSED');
      await rejects(() => store.clear(), 'CLOSED');
      await rejects(() => store.flush(), 'CLOSED');
      await rejects(() => store.lastChange(), 'CLOSED');
      await rejects(() => gather(store.watch()), 'CLOSED');
      await store[Symbol.asyncDispose]();
    },
  },
  {
    title: 'close ends a watch that waits',
    needs: ['watch'],
    run: async (store) => {
      const waiting = gather(store.watch());
      await store.put('key', bytes('1'));
      const ended = rejects(() => waiting, 'CLOSED');
      await store.close();
      await ended;
    },
  },
  {
    title: 'what was written before close is there after it',
    needs: ['reopen'],
    run: async (store, { reopen }) => {
      const puts = numberedKeys(50).map((key) => store.put(key, bytes(key)));
      const again = await reopen();
      await Promise.all(puts);
      assert.deepEqual(await keysOf(again), numberedKeys(50));
    },
  },
];
