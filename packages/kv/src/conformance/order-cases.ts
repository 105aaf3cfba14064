/** The order of calls: rules 5, 6 and 7 of the contract. */
import assert from 'node:assert/strict';
import { assertValue, bytes, type KvConformanceCase, largeValue } from './conformance-case.ts';

export const ORDER_CASES: readonly KvConformanceCase[] = [
  {
    title: 'of writes that nobody awaited the last call wins, however they are awaited',
    run: async (store) => {
      // The trio of the Lightning Dev Kit: write, remove, write, awaited in reverse.
      const a = store.put('key', bytes('A'));
      const gone = store.del('key');
      const b = store.put('key', bytes('B'));
      await b;
      await assertValue(store, 'key', 'B');
      await gone;
      await a;
      await assertValue(store, 'key', 'B');
      const c = store.put('key', bytes('C'));
      const goneAgain = store.del('key');
      await goneAgain;
      await assertValue(store, 'key', undefined);
      await c;
      await assertValue(store, 'key', undefined);
    },
  },
  {
    title: 'a hundred writes of one key at once end in the order of calls',
    run: async (store) => {
      const ended: number[] = [];
      const versions: number[] = [];
      await Promise.all(
        Array.from({ length: 100 }, async (_, at) => {
          const { version } = await store.put('key', bytes(String(at)));
          ended.push(at);
          versions.push(version);
        }),
      );
      assert.deepEqual(
        ended,
        ended.toSorted((a, b) => a - b),
      );
      assert.deepEqual(
        versions,
        versions.toSorted((a, b) => a - b),
      );
      await assertValue(store, 'key', '99');
    },
  },
  {
    title: 'a large write called first is not overtaken by a small one called after it',
    run: async (store, { largeBytes }) => {
      const large = store.put('key', largeValue(largeBytes));
      const small = store.put('key', bytes('small'));
      await Promise.all([large, small]);
      await assertValue(store, 'key', 'small');
    },
  },
  {
    title: 'what was acknowledged is seen by every read called from then on',
    run: async (store) => {
      await Promise.all(
        Array.from({ length: 30 }, async (_, at) => {
          const key = `k${at % 10}`;
          await store.put(key, bytes(`${at}`));
          const found = Buffer.from((await store.get(key)) as Uint8Array).toString();
          assert.ok(Number(found) >= at, `${key}: ${found} after ${at}`);
        }),
      );
    },
  },
  {
    title: 'a batch is in the order of calls on each of its keys',
    needs: ['atomicBatch'],
    run: async (store) => {
      const calls = [
        store.put('a', bytes('1')),
        store.put('b', bytes('1')),
        store.batch([
          { type: 'put', key: 'a', value: bytes('2') },
          { type: 'del', key: 'b' },
          { type: 'put', key: 'c', value: bytes('2') },
        ]),
        store.put('c', bytes('3')),
        store.del('a'),
      ];
      await Promise.all(calls);
      await assertValue(store, 'a', undefined);
      await assertValue(store, 'b', undefined);
      await assertValue(store, 'c', '3');
    },
  },
  {
    title: 'flush waits for every write called before it',
    run: async (store) => {
      const ended = new Set<string>();
      const put = (key: string): Promise<unknown> =>
        store.put(key, bytes('1')).then(() => ended.add(key));
      const puts = ['a', 'b', 'c'].map(put);
      await store.flush();
      assert.deepEqual(ended, new Set(['a', 'b', 'c']));
      await Promise.all(puts);
      await store.flush();
    },
  },
];
