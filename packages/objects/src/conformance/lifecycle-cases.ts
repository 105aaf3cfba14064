/** Signals, closing, and what is left behind: rules 12 and 13 of the contract. */
import assert from 'node:assert/strict';
import {
  allKeys,
  assertAbsent,
  assertHolds,
  bytesOf,
  type ConformanceCase,
  read,
  rejects,
  stalling,
} from './conformance-case.ts';

export const LIFECYCLE_CASES: readonly ConformanceCase[] = [
  {
    title: 'a signal that has ended lets no call begin',
    run: async (store) => {
      const signal = AbortSignal.abort();
      await rejects(() => store.put('key', bytesOf(1), { signal }), 'ABORTED');
      await assertAbsent(store, 'key');
      await store.put('key', bytesOf(1));
      await rejects(() => store.get('key', { signal }), 'ABORTED');
      await rejects(() => store.head('key', { signal }), 'ABORTED');
      await rejects(() => store.delete('key', { signal }), 'ABORTED');
      await rejects(() => store.list({ signal }), 'ABORTED');
      await rejects(() => store.removeLeftovers({ olderThanMs: 0, signal }), 'ABORTED');
      await assertHolds(store, 'key', bytesOf(1));
    },
  },
  {
    title: 'a signal ends a put whose source says nothing more, and nothing is there',
    run: async (store, { largeBytes }) => {
      for (const length of [10, largeBytes]) {
        const controller = new AbortController();
        const body = stalling(bytesOf(length), () => controller.abort());
        const put = store.put('key', body, { signal: controller.signal });
        await rejects(() => put, 'ABORTED');
        await assertAbsent(store, 'key');
      }
    },
  },
  {
    title: 'a signal ends a body',
    run: async (store, { largeBytes }) => {
      await store.put('key', bytesOf(largeBytes));
      const controller = new AbortController();
      const { body } = await store.get('key', { signal: controller.signal });
      await rejects(async () => {
        for await (const piece of body) {
          assert.ok(piece.length > 0);
          controller.abort();
        }
      }, 'ABORTED');
    },
  },
  {
    title: 'a signal that ends later disturbs nothing that is over',
    run: async (store) => {
      const controller = new AbortController();
      const { signal } = controller;
      await store.put('key', bytesOf(10), { signal });
      const content = await store.get('key', { signal });
      assert.equal((await read(content)).length, 10);
      controller.abort();
      await assertHolds(store, 'key', bytesOf(10));
    },
  },
  {
    title: 'a body can be left early or closed unread, and is read once',
    run: async (store, { largeBytes }) => {
      await store.put('key', bytesOf(largeBytes));
      for (let times = 0; times < 20; times++) {
        const left = await store.get('key');
        for await (const piece of left.body) {
          assert.ok(piece.length > 0);
          break;
        }
        const unread = await store.get('key');
        await unread.close();
        await unread.close();
        await assert.rejects(() => read(unread));
      }
      const whole = await store.get('key');
      assert.equal((await read(whole)).length, largeBytes);
      await assert.rejects(() => read(whole), TypeError);
      await assertHolds(store, 'key', bytesOf(largeBytes));
    },
  },
  {
    title: 'close ends what is under way and everything afterwards, as CLOSED',
    run: async (store, { largeBytes }) => {
      await store.put('key', bytesOf(largeBytes));
      const content = await store.get('key');
      const held: { close?: Promise<void> } = {};
      const body = stalling(bytesOf(10), () => {
        held.close = store.close();
      });
      await rejects(() => store.put('stalled', body), 'CLOSED');
      await held.close;
      await store.close();
      await rejects(() => read(content), 'CLOSED');
      await rejects(() => store.put('key', bytesOf(1)), 'CLOSED');
      await rejects(() => store.get('key'), 'CLOSED');
      await rejects(() => store.head('key'), 'CLOSED');
      await rejects(() => store.delete('key'), 'CLOSED');
      await rejects(() => store.list(), 'CLOSED');
      await rejects(() => store.removeLeftovers({ olderThanMs: 0 }), 'CLOSED');
    },
  },
  {
    title: 'removing leftovers touches no object',
    run: async (store, { largeBytes }) => {
      await store.put('a', bytesOf(10));
      await store.put('b/c', bytesOf(largeBytes));
      assert.equal(await store.removeLeftovers({ olderThanMs: 0 }), 0);
      assert.deepEqual(await allKeys(store), ['a', 'b/c']);
      await assertHolds(store, 'b/c', bytesOf(largeBytes));
    },
  },
];
