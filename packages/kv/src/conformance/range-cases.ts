/** Ranges: rule 14 of the contract. */
import assert from 'node:assert/strict';
import type { KvRange } from '../kv-store.ts';
import {
  bytes,
  gather,
  type KvConformanceCase,
  keysOf,
  numberedKeys,
  putAll,
} from './conformance-case.ts';

const KEYS = ['a', 'aa', 'ab', 'b', 'ba', 'c', 'ca', 'd'];

/** What a range holds by the words of the contract, on a plain list. */
function expected({ gt, gte, lt, lte, prefix = '', reverse, limit }: KvRange): string[] {
  const found = KEYS.filter(
    (key) =>
      (gte === undefined ? gt === undefined || key > gt : key >= gte) &&
      (lte === undefined ? lt === undefined || key < lt : key <= lte) &&
      key.startsWith(prefix),
  );
  if (reverse === true) found.reverse();
  return found.slice(0, limit);
}

export const RANGE_CASES: readonly KvConformanceCase[] = [
  {
    title: 'every combination of bounds, prefix, direction and limit gives what it says',
    run: async (store) => {
      await putAll(store, KEYS.toReversed());
      const bounds = [undefined, 'A', 'a', 'ab', 'abc', 'b', 'd', 'x'];
      const lower: KvRange[] = bounds.flatMap((at) => [{ gt: at }, { gte: at }]);
      const upper: KvRange[] = bounds.flatMap((at) => [{ lt: at }, { lte: at }]);
      for (const low of lower) {
        for (const high of upper) {
          for (const more of [
            {},
            { prefix: 'b' },
            { reverse: true },
            { reverse: true, limit: 2 },
          ]) {
            const range = { ...low, ...high, ...more };
            assert.deepEqual(await keysOf(store, range), expected(range), JSON.stringify(range));
          }
        }
      }
    },
  },
  {
    title: 'gte and lte win over gt and lt, and every bound holds beside a prefix',
    run: async (store) => {
      await putAll(store, KEYS);
      assert.deepEqual(await keysOf(store, { gt: 'c', gte: 'ba', lt: 'b', lte: 'ca' }), [
        'ba',
        'c',
        'ca',
      ]);
      assert.deepEqual(await keysOf(store, { prefix: 'a', gt: 'aa' }), ['ab']);
      assert.deepEqual(await keysOf(store, { prefix: 'a', lt: 'ab', reverse: true }), ['aa', 'a']);
      assert.deepEqual(await keysOf(store, { prefix: 'a', gte: 'b' }), []);
      assert.deepEqual(await keysOf(store, { prefix: '' }), KEYS);
      assert.deepEqual(await keysOf(store, { gte: '', lte: '' }), []);
    },
  },
  {
    title: 'a limit counts what is given, and 0 is nothing',
    run: async (store) => {
      await putAll(store, KEYS);
      assert.deepEqual(await keysOf(store, { limit: 0 }), []);
      assert.deepEqual(await keysOf(store, { limit: 3 }), ['a', 'aa', 'ab']);
      assert.deepEqual(await keysOf(store, { limit: 2, reverse: true }), ['d', 'ca']);
      assert.deepEqual(await keysOf(store, { limit: 100 }), KEYS);
    },
  },
  {
    title: 'a prefix ends where the next text begins, at every edge of Unicode',
    needs: ['anyText'],
    run: async (store) => {
      const edges = [
        '\x7f',
        '\u{80}',
        'ÿ',
        '\ud7ff',
        '\ue000',
        '\uffff',
        '\u{10000}',
        '\u{10ffff}',
      ];
      const keys = edges.flatMap((edge) => [edge, `${edge}\0`, `${edge}a`, `${edge}${edge}`]);
      await putAll(store, [...keys, '!', 'a']);
      for (const edge of edges) {
        const found = await keysOf(store, { prefix: edge });
        const wanted = keys.filter((key) => key.startsWith(edge));
        assert.deepEqual(found.toSorted(), [...wanted].toSorted(), JSON.stringify(edge));
        const back = await keysOf(store, { prefix: edge, reverse: true });
        assert.deepEqual(back, found.toReversed());
      }
      const last = '\u{10ffff}\u{10ffff}';
      assert.deepEqual(await keysOf(store, { prefix: last }), [last]);
      assert.deepEqual(await keysOf(store, { gt: last }), []);
    },
  },
  {
    title: 'keys, values, pairs and entries of a range agree',
    run: async (store) => {
      await putAll(store, KEYS);
      const range = { gte: 'ab', lt: 'd' };
      const keys = await keysOf(store, range);
      const pairs = await gather(store.iterator(range));
      const entries = await gather(store.entries(range));
      const values = await gather(store.values(range));
      assert.deepEqual(
        pairs.map(([key]) => key),
        keys,
      );
      assert.deepEqual(
        entries.map(({ key }) => key),
        keys,
      );
      for (const [at, key] of keys.entries()) {
        const value = bytes(`value of ${key}`);
        assert.ok(value.equals(values[at] as Uint8Array));
        assert.ok(value.equals((pairs[at] as [string, Uint8Array])[1]));
        assert.deepEqual(entries[at], await store.getEntry(key));
      }
    },
  },
  {
    title: 'a long range gives each key once, in both directions, over a restart',
    needs: ['reopen'],
    run: async (store, { reopen }) => {
      const keys = numberedKeys(1500);
      await Promise.all(keys.map((key) => store.put(key, bytes(key))));
      const again = await reopen();
      await again.del('k100');
      await again.put('k200', bytes('new'));
      const left = keys.filter((key) => key !== 'k100');
      assert.deepEqual((await keysOf(again)).toSorted(), left.toSorted());
      assert.deepEqual(await keysOf(again, { reverse: true }), (await keysOf(again)).toReversed());
      assert.deepEqual(await keysOf(again, { lt: 'k102', reverse: true, limit: 3 }), [
        'k1019',
        'k1018',
        'k1017',
      ]);
    },
  },
  {
    title: 'a walk that others write beside gives what was there all the time, each once',
    run: async (store) => {
      const keys = numberedKeys(300);
      await putAll(store, keys);
      const seen: string[] = [];
      for await (const key of store.keys({ prefix: 'k' })) {
        seen.push(key);
        if (seen.length % 10 !== 0) continue;
        await store.put(`${key}-new`, bytes('behind'));
        await store.put('k000', bytes('rewritten'));
        await store.put('k299', bytes('rewritten'));
        await store.del(`k${String(300 - seen.length / 10).padStart(3, '0')}-none`);
      }
      assert.equal(new Set(seen).size, seen.length);
      assert.deepEqual(
        seen.filter((key) => !key.endsWith('-new')),
        keys,
      );
      assert.deepEqual(seen, seen.toSorted());
    },
  },
  {
    title: 'a walk can be left at any place, and several go on beside each other',
    run: async (store) => {
      await putAll(store, numberedKeys(40));
      for (let stop = 0; stop < 20; stop++) {
        let given = 0;
        for await (const key of store.keys()) {
          assert.ok(key !== '');
          if (given++ === stop) break;
        }
      }
      const one = store.keys()[Symbol.asyncIterator]();
      const two = store.keys({ reverse: true })[Symbol.asyncIterator]();
      for (let at = 0; at < 40; at++) {
        assert.equal((await one.next()).value, numberedKeys(40)[at]);
        assert.equal((await two.next()).value, numberedKeys(40)[39 - at]);
      }
      assert.equal((await one.next()).done, true);
      assert.equal((await one.next()).done, true);
      await two.return?.();
    },
  },
];
