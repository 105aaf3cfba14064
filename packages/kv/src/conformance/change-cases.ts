/** The change feed: rule 16 of the contract. */
import assert from 'node:assert/strict';
import type { KvChange, KvStore, KvWatchOptions } from '../kv-store.ts';
import { bytes, type KvConformanceCase, rejects } from './conformance-case.ts';

/** The next `count` changes. */
async function take(store: KvStore, count: number, options: KvWatchOptions): Promise<KvChange[]> {
  const changes: KvChange[] = [];
  if (count === 0) return changes;
  for await (const change of store.watch(options)) {
    changes.push(change);
    if (changes.length === count) break;
  }
  return changes;
}

function shown({ type, key, value }: KvChange): string {
  return `${type} ${key} ${value === undefined ? '-' : Buffer.from(value).toString()}`;
}

export const CHANGE_CASES: readonly KvConformanceCase[] = [
  {
    title: 'those who watch hear of every change, in order, each once',
    needs: ['watch'],
    run: async (store) => {
      assert.equal(await store.lastChange(), 0);
      await store.put('before', bytes('1'));
      const since = await store.lastChange();
      assert.ok(since > 0);
      const heard = take(store, 4, { since });
      const { version } = await store.put('a', bytes('1'));
      await store.put('a', bytes('2'));
      await store.del('a');
      await store.del('none');
      await store.put('b', bytes('1'));
      const changes = await heard;
      assert.deepEqual(changes.map(shown), ['put a 1', 'put a 2', 'del a -', 'put b 1']);
      assert.equal(changes[0]?.version, version);
      const numbers = changes.map(({ seq }) => seq);
      assert.deepEqual(
        numbers,
        numbers.toSorted((a, b) => a - b),
      );
      assert.equal(new Set(numbers).size, 4);
      assert.equal(await store.lastChange(), numbers[3]);
    },
  },
  {
    title: 'a watch begins where it was called, before its first next',
    needs: ['watch'],
    run: async (store) => {
      await store.put('a', bytes('1'));
      const watch = store.watch()[Symbol.asyncIterator]();
      await store.put('b', bytes('1'));
      const { value } = await watch.next();
      assert.equal((value as KvChange).key, 'b');
      await watch.return?.();
    },
  },
  {
    title: 'a watch goes on behind any change that it saw, and gives a prefix only',
    needs: ['watch'],
    run: async (store) => {
      for (const key of ['a1', 'b1', 'a2', 'b2', 'a3']) await store.put(key, bytes(key));
      const all = await take(store, 5, { since: 0 });
      for (let at = 0; at < 4; at++) {
        const since = (all[at] as KvChange).seq;
        assert.deepEqual(await take(store, 4 - at, { since }), all.slice(at + 1));
      }
      const some = await take(store, 3, { since: 0, prefix: 'a' });
      assert.deepEqual(
        some.map(({ key }) => key),
        ['a1', 'a2', 'a3'],
      );
    },
  },
  {
    title: 'the changes of a batch come together, in its order',
    needs: ['watch', 'atomicBatch'],
    run: async (store) => {
      const heard = take(store, 3, {});
      await store.batch([
        { type: 'put', key: 'x', value: bytes('1') },
        { type: 'put', key: 'a', value: bytes('2') },
        { type: 'del', key: 'x' },
      ]);
      assert.deepEqual((await heard).map(shown), ['put x 1', 'put a 2', 'del x -']);
    },
  },
  {
    title: 'a change that failed is never told',
    needs: ['watch', 'compareAndSet'],
    run: async (store) => {
      const heard = take(store, 1, {});
      await rejects(() => store.put('a', bytes('1'), { ifVersion: 5 }), 'PRECONDITION_FAILED');
      await store.put('b', bytes('1'));
      assert.deepEqual((await heard).map(shown), ['put b 1']);
    },
  },
  {
    title: 'numbers of changes rise over a restart, and who saw the last goes on',
    needs: ['watch', 'reopen'],
    run: async (store, { reopen }) => {
      await store.put('a', bytes('1'));
      await store.del('a');
      const since = await store.lastChange();
      const again = await reopen();
      assert.equal(await again.lastChange(), since);
      const heard = take(again, 1, { since });
      await again.put('b', bytes('1'));
      const [change] = await heard;
      assert.ok((change as KvChange).seq > since);
      assert.equal(change?.key, 'b');
    },
  },
  {
    title: 'a signal ends a watch that waits, as ABORTED',
    needs: ['watch'],
    run: async (store) => {
      const end = new AbortController();
      const waiting = take(store, 1, { signal: end.signal });
      end.abort();
      await rejects(() => waiting, 'ABORTED');
      await rejects(() => take(store, 1, { signal: AbortSignal.abort() }), 'ABORTED');
      await assert.rejects(take(store, 1, { since: -1 }), TypeError);
    },
  },
  {
    title: 'a watch that is left holds up nothing',
    needs: ['watch'],
    run: async (store) => {
      await store.put('a', bytes('1'));
      const left = store.watch({ since: 0 })[Symbol.asyncIterator]();
      await left.next();
      await left.return?.();
      store.watch();
      await store.put('b', bytes('1'));
    },
  },
];
