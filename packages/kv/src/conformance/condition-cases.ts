/** Compare-and-set and stamps: rules 9 and 10 of the contract. */
import assert from 'node:assert/strict';
import { hasCode } from '@holdfast/core';
import type { KvAck } from '../kv-store.ts';
import {
  assertValue,
  bytes,
  type KvConformanceCase,
  pagesOf,
  rejects,
} from './conformance-case.ts';

function outcomes(settled: readonly PromiseSettledResult<KvAck>[]): { won: number; lost: number } {
  let won = 0;
  let lost = 0;
  for (const result of settled) {
    if (result.status === 'fulfilled') won++;
    else if (hasCode(result.reason, 'PRECONDITION_FAILED')) lost++;
  }
  assert.equal(won + lost, settled.length, 'another error than a failed condition');
  return { won, lost };
}

export const CONDITION_CASES: readonly KvConformanceCase[] = [
  {
    title: 'ifAbsent succeeds once, and again after a delete',
    needs: ['compareAndSet'],
    run: async (store) => {
      await store.put('key', bytes('1'), { ifAbsent: true });
      await rejects(() => store.put('key', bytes('2'), { ifAbsent: true }), 'PRECONDITION_FAILED');
      await assertValue(store, 'key', '1');
      await store.del('key');
      await store.put('key', bytes('3'), { ifAbsent: true });
      await assertValue(store, 'key', '3');
    },
  },
  {
    title: 'ifVersion succeeds only on that version, for put and del',
    needs: ['compareAndSet'],
    run: async (store) => {
      const first = await store.put('key', bytes('1'));
      const { version } = await store.put('key', bytes('2'), { ifVersion: first.version });
      const stale = { ifVersion: first.version };
      await rejects(() => store.put('key', bytes('3'), stale), 'PRECONDITION_FAILED');
      await rejects(() => store.del('key', stale), 'PRECONDITION_FAILED');
      await rejects(() => store.put('none', bytes('3'), stale), 'PRECONDITION_FAILED');
      await rejects(() => store.del('none', stale), 'PRECONDITION_FAILED');
      await assertValue(store, 'key', '2');
      await assertValue(store, 'none', undefined);
      await store.del('key', { ifVersion: version });
      await assertValue(store, 'key', undefined);
    },
  },
  {
    title: 'of many that expect the same at once one wins',
    needs: ['compareAndSet'],
    run: async (store) => {
      const creates = Array.from({ length: 20 }, (_, at) =>
        store.put('key', bytes(`${at}`), { ifAbsent: true }),
      );
      assert.deepEqual(outcomes(await Promise.allSettled(creates)), { won: 1, lost: 19 });
      const { version } = (await store.getEntry('key')) as { version: number };
      const updates = Array.from({ length: 20 }, (_, at) =>
        store.put('key', bytes(`new ${at}`), { ifVersion: version }),
      );
      assert.deepEqual(outcomes(await Promise.allSettled(updates)), { won: 1, lost: 19 });
      await assertValue(store, 'key', 'new 0');
    },
  },
  {
    title: 'a counter that many raise by compare-and-set loses no step',
    needs: ['compareAndSet'],
    run: async (store) => {
      await store.put('counter', bytes('0'));
      const raise = async (): Promise<void> => {
        for (;;) {
          const { value, version } = (await store.getEntry('counter')) as {
            value: Uint8Array;
            version: number;
          };
          const next = bytes(String(Number(Buffer.from(value).toString()) + 1));
          try {
            await store.put('counter', next, { ifVersion: version });
            return;
          } catch (error) {
            if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
          }
        }
      };
      await Promise.all(Array.from({ length: 12 }, raise));
      await assertValue(store, 'counter', '12');
    },
  },
  {
    title: 'a condition sees the writes called before it, awaited or not',
    needs: ['compareAndSet'],
    run: async (store) => {
      const { version } = await store.put('key', bytes('1'));
      const put = store.put('key', bytes('2'));
      await rejects(
        () => store.put('key', bytes('3'), { ifVersion: version }),
        'PRECONDITION_FAILED',
      );
      await put;
      const del = store.del('key');
      const create = store.put('key', bytes('4'), { ifAbsent: true });
      await Promise.all([del, create]);
      await assertValue(store, 'key', '4');
    },
  },
  {
    title: 'a version from before a delete is never that of the entry again',
    needs: ['compareAndSet'],
    run: async (store) => {
      const { version } = await store.put('key', bytes('1'));
      await store.del('key');
      await store.put('key', bytes('1'));
      await rejects(() => store.del('key', { ifVersion: version }), 'PRECONDITION_FAILED');
    },
  },
  {
    title: 'conditions hold over a restart',
    needs: ['compareAndSet', 'reopen'],
    run: async (store, { reopen }) => {
      const { version } = await store.put('key', bytes('1'));
      const again = await reopen();
      await rejects(() => again.put('key', bytes('2'), { ifAbsent: true }), 'PRECONDITION_FAILED');
      await again.put('key', bytes('2'), { ifVersion: version });
      await assertValue(again, 'key', '2');
    },
  },
  {
    title: 'a stamp gives an entry its place, version and epoch, and later writes go above it',
    needs: ['stamps', 'createdOrder'],
    run: async (store) => {
      const { version: own } = await store.put('own', bytes('1'));
      const stamp = { seq: own + 500, version: own + 900, epoch: 7 };
      await store.put('second', bytes('1'), { stamp });
      await store.put('first', bytes('1'), { stamp: { ...stamp, seq: own + 400 } });
      const entry = await store.getEntry('second');
      assert.deepEqual({ seq: entry?.seq, version: entry?.version, epoch: entry?.epoch }, stamp);
      assert.deepEqual(await pagesOf(store, { order: 'created' }), [['second', 'first', 'own']]);
      const after = await store.put('after', bytes('1'));
      assert.ok(after.version > stamp.version);
      const again = await store.put('second', bytes('2'));
      assert.ok(again.version > after.version);
      assert.equal((await store.getEntry('second'))?.seq, stamp.seq);
    },
  },
  {
    title: 'a stamped put that is not above what is there changes nothing',
    needs: ['stamps'],
    run: async (store) => {
      const stamp = { seq: 1000, version: 2000, epoch: 0 };
      assert.equal((await store.put('key', bytes('new'), { stamp })).changed, true);
      assert.equal((await store.put('key', bytes('again'), { stamp })).changed, false);
      const older = { ...stamp, version: 1500 };
      assert.equal((await store.put('key', bytes('old'), { stamp: older })).changed, false);
      await assertValue(store, 'key', 'new');
      const newer = { ...stamp, version: 2500 };
      assert.equal((await store.put('key', bytes('newer'), { stamp: newer })).changed, true);
      await assertValue(store, 'key', 'newer');
      await assert.rejects(store.put('key', bytes('x'), { stamp: newer, ifVersion: 1 }), TypeError);
      const wrong = { seq: 3, version: 2, epoch: 0 };
      await assert.rejects(store.put('key', bytes('x'), { stamp: wrong }), TypeError);
      const highest = { seq: 1, version: Number.MAX_SAFE_INTEGER, epoch: 0 };
      await rejects(() => store.put('key', bytes('x'), { stamp: highest }), 'RECORD_TOO_LARGE');
    },
  },
  {
    title: 'what the store does not declare is refused, and nothing happens',
    run: async (store) => {
      const { capabilities } = store;
      const value = bytes('1');
      if (!capabilities.compareAndSet) {
        await rejects(() => store.put('key', value, { ifAbsent: true }), 'KV_UNSUPPORTED');
        await rejects(() => store.put('key', value, { ifVersion: 1 }), 'KV_UNSUPPORTED');
        await rejects(() => store.del('key', { ifVersion: 1 }), 'KV_UNSUPPORTED');
      }
      if (!capabilities.ttl)
        await rejects(() => store.put('key', value, { ttlMs: 1 }), 'KV_UNSUPPORTED');
      if (!capabilities.stamps) {
        const stamp = { seq: 1, version: 1, epoch: 0 };
        await rejects(() => store.put('key', value, { stamp }), 'KV_UNSUPPORTED');
      }
      if (!capabilities.createdOrder) {
        await rejects(() => store.page({ order: 'created' }), 'KV_UNSUPPORTED');
      }
      await assertValue(store, 'key', undefined);
    },
  },
];
