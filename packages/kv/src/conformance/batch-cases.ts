/** Atomic batches and `clear`: rules 2, 11 and 12 of the contract. */
import assert from 'node:assert/strict';
import type { KvOperation } from '../kv-store.ts';
import {
  assertValue,
  bytes,
  type KvConformanceCase,
  keysOf,
  numberedKeys,
  putAll,
  rejects,
} from './conformance-case.ts';

function puts(keys: readonly string[], value = '1'): KvOperation[] {
  return keys.map((key) => ({ type: 'put', key, value: bytes(value) }));
}

export const BATCH_CASES: readonly KvConformanceCase[] = [
  {
    title: 'a batch happens whole, with one acknowledgement for each operation',
    needs: ['atomicBatch'],
    run: async (store) => {
      await store.put('old', bytes('1'));
      const acks = await store.batch([
        ...puts(['a', 'b']),
        { type: 'del', key: 'old' },
        { type: 'del', key: 'none' },
      ]);
      assert.deepEqual(
        acks.map(({ changed }) => changed),
        [true, true, true, false],
      );
      assert.equal(acks[1]?.version, (await store.getEntry('b'))?.version);
      assert.deepEqual(await keysOf(store), ['a', 'b']);
      assert.deepEqual(await store.batch([]), []);
    },
  },
  {
    title: 'of operations on one key in a batch the last wins, each seeing those before it',
    needs: ['atomicBatch', 'compareAndSet'],
    run: async (store) => {
      await store.batch([
        { type: 'put', key: 'key', value: bytes('1'), ifAbsent: true },
        { type: 'del', key: 'key' },
        { type: 'put', key: 'key', value: bytes('2'), ifAbsent: true },
        { type: 'put', key: 'key', value: bytes('3') },
      ]);
      await assertValue(store, 'key', '3');
      assert.deepEqual(await keysOf(store), ['key']);
      const twice: KvOperation[] = [
        { type: 'put', key: 'new', value: bytes('1') },
        { type: 'put', key: 'new', value: bytes('2'), ifAbsent: true },
      ];
      await rejects(() => store.batch(twice), 'PRECONDITION_FAILED');
      await assertValue(store, 'new', undefined);
    },
  },
  {
    title: 'a batch with a condition that fails changes nothing at all',
    needs: ['atomicBatch', 'compareAndSet'],
    run: async (store) => {
      const { version } = await store.put('guard', bytes('1'));
      const batch = (ifVersion: number): Promise<unknown> =>
        store.batch([
          ...puts(['a']),
          { type: 'put', key: 'guard', value: bytes('2'), ifVersion },
          ...puts(['b']),
        ]);
      await rejects(() => batch(version + 1), 'PRECONDITION_FAILED');
      assert.deepEqual(await keysOf(store), ['guard']);
      await assertValue(store, 'guard', '1');
      await batch(version);
      assert.deepEqual(await keysOf(store), ['a', 'b', 'guard']);
    },
  },
  {
    title: 'the largest batch is taken, a larger one refused before anything happens',
    needs: ['atomicBatch'],
    run: async (store) => {
      const { maxBatchOperations, maxBatchBytes } = store.capabilities;
      const keys = numberedKeys(Math.min(maxBatchOperations, 5000));
      await store.batch(puts(keys));
      assert.equal((await keysOf(store)).length, keys.length);
      await rejects(() => store.batch(puts([...keys, 'over', ...keys])), 'RECORD_TOO_LARGE');
      await assertValue(store, 'over', undefined);
      if (maxBatchBytes > 64 * 1024 ** 2) return;
      const half = Buffer.alloc(maxBatchBytes / 2);
      const halves: KvOperation[] = [
        { type: 'put', key: 'x', value: half },
        { type: 'put', key: 'y', value: half },
      ];
      await rejects(() => store.batch(halves), 'RECORD_TOO_LARGE');
      await assertValue(store, 'x', undefined);
      await store.batch(halves.map((each) => ({ ...each, value: half.subarray(64) })));
      assert.equal((await store.get('y'))?.length, half.length - 64);
    },
  },
  {
    title: 'several operations at once are refused where batches are not atomic',
    run: async (store) => {
      if (store.capabilities.atomicBatch) return;
      await rejects(() => store.batch(puts(['a', 'b'])), 'KV_UNSUPPORTED');
      await store.batch(puts(['a']));
      assert.deepEqual(await keysOf(store), ['a']);
    },
  },
  {
    title: 'clear deletes what its range holds and nothing else',
    run: async (store) => {
      await putAll(store, [...numberedKeys(300), 'z']);
      await store.clear({ gte: 'k010', lt: 'k020' });
      assert.equal((await keysOf(store)).length, 291);
      await store.clear({ prefix: 'k', limit: 5 });
      assert.equal((await keysOf(store))[0], 'k005');
      await store.clear({ prefix: 'k', limit: 5, reverse: true });
      assert.deepEqual((await keysOf(store, { reverse: true })).slice(0, 2), ['z', 'k294']);
      await store.clear({ prefix: 'k' });
      assert.deepEqual(await keysOf(store), ['z']);
      await store.clear();
      assert.deepEqual(await keysOf(store), []);
      await store.clear();
    },
  },
];
