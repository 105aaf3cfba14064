/** Rule 3 of the contract: who decides about a condition, and when. */
import assert from 'node:assert/strict';
import { hasCode } from '@holdfast/core';
import type { ObjectStore, PutResult } from '../object-store.ts';
import {
  assertAbsent,
  assertHolds,
  bytesOf,
  type ConformanceCase,
  readKey,
  rejects,
} from './conformance-case.ts';

const RACERS = 12;
const NO_SUCH_ETAG = '00000000000000000000000000000000';

export const CONDITION_CASES: readonly ConformanceCase[] = [
  {
    title: 'declares what it enforces, and refuses what it does not',
    run: async (store) => {
      const { ifAbsent, ifMatch, maxConditionalBytes } = store.capabilities;
      assert.ok(maxConditionalBytes > 0);
      const code = 'OBJECT_STORE_UNSUPPORTED';
      if (!ifAbsent) {
        await rejects(() => store.put('key', bytesOf(1), { ifAbsent: true }), code);
      }
      if (!ifMatch) {
        await rejects(() => store.put('key', bytesOf(1), { ifMatch: NO_SUCH_ETAG }), code);
      }
      await assertAbsent(store, 'key');
    },
  },
  {
    title: 'wrong arguments are TypeErrors and change nothing',
    run: async (store) => {
      for (const options of [
        { ifAbsent: true, ifMatch: NO_SUCH_ETAG },
        { ifMatch: '"quoted"' },
        { ifMatch: '' },
        { writeId: 'x' },
        { contentLength: -1 },
        { contentLength: 1.5 },
      ]) {
        await assert.rejects(() => store.put('key', bytesOf(1), options), TypeError);
      }
      await assertAbsent(store, 'key');
    },
  },
  {
    title: 'ifAbsent puts what is not there and refuses what is',
    needs: 'ifAbsent',
    run: async (store, { losesAnswers }) => {
      await store.put('key', Buffer.from('first'), { ifAbsent: true });
      await refused(losesAnswers, () =>
        store.put('key', Buffer.from('second'), { ifAbsent: true }),
      );
      await assertHolds(store, 'key', Buffer.from('first'));
      await store.delete('key');
      await store.put('key', Buffer.from('third'), { ifAbsent: true });
      await assertHolds(store, 'key', Buffer.from('third'));
    },
  },
  {
    title: 'of many puts with ifAbsent exactly one wins, and its bytes are there',
    needs: 'ifAbsent',
    run: async (store, { losesAnswers }) => {
      for (const key of ['race/1', 'race/2']) {
        await race({ store, losesAnswers }, key, (body) =>
          store.put(key, body, { ifAbsent: true }),
        );
      }
    },
  },
  {
    title: 'two openings of one place cannot both put with ifAbsent',
    needs: 'reopen',
    run: async (store, { reopen, losesAnswers }) => {
      if (!store.capabilities.ifAbsent) return;
      const other = await reopen();
      try {
        for (const key of ['race/1', 'race/2', 'race/3']) {
          let turn = 0;
          await race({ store, losesAnswers }, key, (body) =>
            (turn++ % 2 === 0 ? store : other).put(key, body, { ifAbsent: true }),
          );
        }
      } finally {
        await other.close();
      }
    },
  },
  {
    title: 'ifMatch replaces the object it names and no other',
    needs: 'ifMatch',
    run: async (store, { losesAnswers }) => {
      const first = await store.put('key', Buffer.from('first'));
      const second = await store.put('key', Buffer.from('second'), { ifMatch: first.etag });
      await refused(losesAnswers, () =>
        store.put('key', Buffer.from('third'), { ifMatch: first.etag }),
      );
      await assertHolds(store, 'key', Buffer.from('second'));
      assert.equal((await store.head('key')).etag, second.etag);
    },
  },
  {
    title: 'ifMatch of what is not there is PRECONDITION_FAILED and puts nothing',
    needs: 'ifMatch',
    run: async (store, { losesAnswers }) => {
      await refused(losesAnswers, () => store.put('none', bytesOf(1), { ifMatch: NO_SUCH_ETAG }));
      await assertAbsent(store, 'none');
      const { etag } = await store.put('gone', bytesOf(1));
      await store.delete('gone');
      await refused(losesAnswers, () => store.put('gone', bytesOf(1), { ifMatch: etag }));
      await assertAbsent(store, 'gone');
    },
  },
  {
    title: 'of many puts that name one etag exactly one wins',
    needs: 'ifMatch',
    run: async (store, { losesAnswers }) => {
      const { etag } = await store.put('key', Buffer.from('before'));
      await race({ store, losesAnswers }, 'key', (body) =>
        store.put('key', body, { ifMatch: etag }),
      );
    },
  },
  {
    title: 'conditions hold for large objects too',
    needs: 'largeCondition',
    run: async (store, { largeBytes, losesAnswers }) => {
      const first = await store.put('key', bytesOf(largeBytes, 1), { ifAbsent: true });
      await refused(losesAnswers, () =>
        store.put('key', bytesOf(largeBytes, 2), { ifAbsent: true }),
      );
      await assertHolds(store, 'key', bytesOf(largeBytes, 1));
      if (!store.capabilities.ifMatch) return;
      await store.put('key', bytesOf(largeBytes, 3), { ifMatch: first.etag });
      await refused(losesAnswers, () =>
        store.put('key', bytesOf(largeBytes, 4), { ifMatch: first.etag }),
      );
      await assertHolds(store, 'key', bytesOf(largeBytes, 3));
    },
  },
];

async function race(
  { store, losesAnswers }: { store: ObjectStore; losesAnswers: boolean },
  key: string,
  put: (body: Buffer) => Promise<PutResult>,
): Promise<void> {
  const bodies = Array.from({ length: RACERS }, (_, seed) => bytesOf(2_000 + seed, seed + 1));
  const settled = await Promise.allSettled(bodies.map((body) => put(body)));
  const winners = settled.flatMap((each, index) => (each.status === 'fulfilled' ? [index] : []));
  assert.equal(winners.length, 1, `${winners.length} winners`);
  for (const each of settled) {
    if (each.status === 'fulfilled') continue;
    // A store may also say "not now": of that nothing must be there, and it was not the winner.
    const { reason } = each as { reason: unknown };
    assert.ok(
      hasCode(reason, 'PRECONDITION_FAILED') || hasCode(reason, 'STORAGE_UNAVAILABLE'),
      String(reason),
    );
    assert.ok(reason.effect === 'none' || losesAnswers, String(reason));
  }
  assert.ok((await readKey(store, key)).equals(bodies[winners[0] ?? -1] ?? Buffer.alloc(0)));
}

async function refused(losesAnswers: boolean, call: () => Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(hasCode(error, 'PRECONDITION_FAILED'), String(error));
    assert.ok(error.effect === 'none' || losesAnswers, String(error));
    return true;
  });
}
