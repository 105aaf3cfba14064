/** Expiry: rule 13 of the contract. */
import assert from 'node:assert/strict';
import {
  assertValue,
  bytes,
  eventually,
  gather,
  type KvConformanceCase,
  keysOf,
  pagesOf,
} from './conformance-case.ts';

const TTL_MS = 60;
const PAST_MS = 5;
const LONG_MS = 3_600_000;

export const EXPIRY_CASES: readonly KvConformanceCase[] = [
  {
    title: 'an entry past its expiry is absent for every call',
    needs: ['ttl'],
    run: async (store, { passTime }) => {
      await store.put('short', bytes('1'), { ttlMs: TTL_MS });
      await store.put('long', bytes('1'), { ttlMs: LONG_MS });
      await store.put('ever', bytes('1'));
      assert.ok(((await store.getEntry('long'))?.expiresAtMs ?? 0) > LONG_MS);
      await passTime(TTL_MS + PAST_MS);
      await assertValue(store, 'short', undefined);
      assert.equal(await store.has('short'), false);
      assert.equal(await store.getEntry('short'), undefined);
      assert.deepEqual(await store.getMany(['short']), [undefined]);
      assert.deepEqual(await keysOf(store), ['ever', 'long']);
      assert.deepEqual(await keysOf(store, { reverse: true }), ['long', 'ever']);
      assert.deepEqual(await pagesOf(store, { order: 'key' }), [['ever', 'long']]);
      assert.deepEqual(await store.del('short'), { changed: false, version: 0 });
    },
  },
  {
    title: 'an expiry in the past is an entry that never shows',
    needs: ['ttl'],
    run: async (store) => {
      await store.put('key', bytes('1'), { expiresAtMs: 1000 });
      await assertValue(store, 'key', undefined);
      assert.deepEqual(await keysOf(store), []);
      await store.put('key', bytes('2'));
      await assertValue(store, 'key', '2');
    },
  },
  {
    title: 'a put without a time to live makes the entry last, one with another moves its end',
    needs: ['ttl'],
    run: async (store, { passTime }) => {
      await store.put('lasts', bytes('1'), { ttlMs: TTL_MS });
      await store.put('lasts', bytes('2'));
      await store.put('moved', bytes('1'), { ttlMs: TTL_MS });
      await store.put('moved', bytes('2'), { ttlMs: LONG_MS });
      await store.put('sooner', bytes('1'), { ttlMs: LONG_MS });
      await store.put('sooner', bytes('2'), { ttlMs: TTL_MS });
      await passTime(TTL_MS + PAST_MS);
      await assertValue(store, 'lasts', '2');
      await assertValue(store, 'moved', '2');
      await assertValue(store, 'sooner', undefined);
    },
  },
  {
    title: 'what has expired is created anew: conditions, and its place in the order',
    needs: ['ttl', 'compareAndSet', 'createdOrder'],
    run: async (store, { passTime }) => {
      const { version } = await store.put('key', bytes('1'), { ttlMs: TTL_MS });
      await store.put('other', bytes('1'));
      await passTime(TTL_MS + PAST_MS);
      await assert.rejects(store.put('key', bytes('2'), { ifVersion: version }));
      await store.put('key', bytes('2'), { ifAbsent: true });
      assert.deepEqual(await pagesOf(store, { order: 'created' }), [['key', 'other']]);
    },
  },
  {
    title: 'an expiry survives a restart',
    needs: ['ttl', 'reopen'],
    run: async (store, { passTime, reopen }) => {
      await store.put('short', bytes('1'), { ttlMs: 4 * TTL_MS });
      await store.put('long', bytes('1'), { ttlMs: LONG_MS });
      const before = await store.getEntry('long');
      const again = await reopen();
      assert.deepEqual(await again.getEntry('long'), before);
      await passTime(4 * TTL_MS + PAST_MS);
      await assertValue(again, 'short', undefined);
      const third = await reopen();
      await assertValue(third, 'short', undefined);
      assert.deepEqual(await keysOf(third), ['long']);
    },
  },
  {
    title: 'what has expired goes by itself, and those who watch hear of it',
    needs: ['ttl', 'watch'],
    run: async (store, { passTime }) => {
      const { version } = await store.put('key', bytes('1'), { ttlMs: TTL_MS });
      await store.put('renewed', bytes('1'), { ttlMs: TTL_MS });
      await store.put('renewed', bytes('2'), { ttlMs: LONG_MS });
      const since = await store.lastChange();
      await eventually(
        passTime,
        async () => (await store.lastChange()) > since,
        'an expired entry is removed',
      );
      const end = new AbortController();
      const heard = gather(
        (async function* take() {
          for await (const change of store.watch({ since, signal: end.signal })) {
            yield change;
            return;
          }
        })(),
      );
      const [change] = await heard;
      end.abort();
      assert.deepEqual(
        { type: change?.type, key: change?.key, version: change?.version, value: change?.value },
        { type: 'expire', key: 'key', version, value: undefined },
      );
      await assertValue(store, 'renewed', '2');
    },
  },
  {
    title: 'a time to live is a whole number above 0, and not given twice',
    needs: ['ttl'],
    run: async (store) => {
      for (const ttlMs of [0, -1, 0.5, Number.NaN, Infinity]) {
        await assert.rejects(store.put('key', bytes('1'), { ttlMs }), TypeError);
      }
      await assert.rejects(store.put('key', bytes('1'), { ttlMs: 1, expiresAtMs: 1 }), TypeError);
      await assertValue(store, 'key', undefined);
      await store.put('key', bytes('1'), { ttlMs: Number.MAX_SAFE_INTEGER });
      await assertValue(store, 'key', '1');
    },
  },
];
