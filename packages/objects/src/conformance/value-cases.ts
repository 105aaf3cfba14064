/** Puts, gets, ranges and deletes: rules 2, 4, 5, 6, 7, 8, 10 and 11 of the contract. */
import assert from 'node:assert/strict';
import {
  assertAbsent,
  assertHolds,
  bytesOf,
  type ConformanceCase,
  inPieces,
  read,
  readKey,
  rejects,
} from './conformance-case.ts';

const WRITE_ID = '0123456789abcdef0123456789abcdef';

export const VALUE_CASES: readonly ConformanceCase[] = [
  {
    title: 'gives back what was put, and tells the same etag and size everywhere',
    run: async (store, { largeBytes }) => {
      for (const length of [0, 1, 256, 65_537, largeBytes]) {
        const bytes = bytesOf(length, length + 1);
        const put = await store.put(`value/${length}`, bytes);
        assert.equal(put.size, length);
        const head = await store.head(`value/${length}`);
        assert.deepEqual({ etag: head.etag, size: head.size }, put);
        const content = await store.get(`value/${length}`);
        assert.deepEqual({ etag: content.etag, size: content.size }, put);
        assert.deepEqual([content.offset, content.length], [0, length]);
        assert.ok((await read(content)).equals(bytes));
      }
    },
  },
  {
    title: 'a put replaces the whole object, and its etag tells',
    run: async (store) => {
      const long = await store.put('key', bytesOf(1_000, 1));
      const short = await store.put('key', bytesOf(10, 2));
      assert.notEqual(long.etag, short.etag);
      await assertHolds(store, 'key', bytesOf(10, 2));
      assert.equal((await store.head('key')).etag, short.etag);
    },
  },
  {
    title: 'an etag fits into a condition, whatever a store makes it of',
    run: async (store, { largeBytes }) => {
      for (const length of [0, 10, largeBytes]) {
        const { etag } = await store.put('key', bytesOf(length));
        assert.match(etag, /^[\x21\x23-\x7e]{1,128}$/);
      }
    },
  },
  {
    title: 'takes pieces of any size, with and without an announced length',
    run: async (store, { largeBytes }) => {
      const bytes = bytesOf(largeBytes);
      await store.put('streamed', inPieces(bytes, 10_007));
      await assertHolds(store, 'streamed', bytes);
      await store.put('announced', inPieces(bytes, 99_991), { contentLength: largeBytes });
      await assertHolds(store, 'announced', bytes);
      await store.put('made', () => inPieces(bytes, largeBytes));
      await assertHolds(store, 'made', bytes);
    },
  },
  {
    title: 'takes no pieces at all and empty pieces',
    run: async (store) => {
      await store.put('none', inPieces(Buffer.alloc(0), 1));
      await assertHolds(store, 'none', Buffer.alloc(0));
      await store.put('gaps', async function* () {
        yield Buffer.alloc(0);
        yield Buffer.from('a');
        yield Buffer.alloc(0);
        yield Buffer.from('b');
      });
      await assertHolds(store, 'gaps', Buffer.from('ab'));
    },
  },
  {
    title: 'a source that gives less or more than announced puts nothing',
    run: async (store, { largeBytes }) => {
      for (const length of [100, largeBytes]) {
        const bytes = bytesOf(length);
        for (const contentLength of [length - 1, length + 1]) {
          const put = (body: Parameters<typeof store.put>[1]) => () =>
            store.put('wrong', body, { contentLength });
          await rejects(put(inPieces(bytes, 40_000)), 'OBJECT_LENGTH_MISMATCH');
          await rejects(put(bytes), 'OBJECT_LENGTH_MISMATCH');
          await assertAbsent(store, 'wrong');
        }
      }
    },
  },
  {
    title: 'a source that fails puts nothing, and its error is the error',
    run: async (store, { largeBytes }) => {
      const before = await store.put('kept', Buffer.from('before'));
      for (const length of [10, largeBytes]) {
        const failing = async function* (): AsyncGenerator<Buffer> {
          yield bytesOf(length);
          throw new RangeError('the source broke');
        };
        await assert.rejects(() => store.put('kept', failing()), /the source broke/);
        await assert.rejects(() => store.put('new', failing()), /the source broke/);
      }
      assert.equal((await store.head('kept')).etag, before.etag);
      await assertHolds(store, 'kept', Buffer.from('before'));
      await assertAbsent(store, 'new');
    },
  },
  {
    title: 'reads ranges, clipped at the end',
    run: async (store, { largeBytes }) => {
      const bytes = bytesOf(largeBytes);
      const { etag } = await store.put('key', bytes);
      for (const [offset, length, want] of [
        [0, 1, 1],
        [0, undefined, largeBytes],
        [1, 10, 10],
        [largeBytes - 1, 1, 1],
        [largeBytes - 1, 1_000, 1],
        [largeBytes - 300_000, undefined, 300_000],
        [5, largeBytes, largeBytes - 5],
      ] as const) {
        const content = await store.get('key', { range: { offset, length } });
        assert.deepEqual([content.offset, content.length], [offset, want]);
        assert.deepEqual([content.size, content.etag], [largeBytes, etag]);
        assert.ok((await read(content)).equals(bytes.subarray(offset, offset + want)));
      }
    },
  },
  {
    title: 'a range that begins at or behind the end is INVALID_RANGE',
    run: async (store) => {
      await store.put('key', bytesOf(10));
      await store.put('empty', Buffer.alloc(0));
      for (const offset of [10, 11, 2 ** 40]) {
        await rejects(() => store.get('key', { range: { offset } }), 'INVALID_RANGE');
        await rejects(() => store.get('key', { range: { offset, length: 5 } }), 'INVALID_RANGE');
      }
      await rejects(() => store.get('empty', { range: { offset: 0 } }), 'INVALID_RANGE');
      await rejects(() => store.get('none', { range: { offset: 0 } }), 'OBJECT_NOT_FOUND');
    },
  },
  {
    title: 'a get of another etag is PRECONDITION_FAILED, with and without a range',
    run: async (store) => {
      const { etag } = await store.put('key', Buffer.from('one'));
      assert.equal((await read(await store.get('key', { ifMatch: etag }))).toString(), 'one');
      await store.put('key', Buffer.from('two'));
      await rejects(() => store.get('key', { ifMatch: etag }), 'PRECONDITION_FAILED');
      const range = { offset: 1 };
      await rejects(() => store.get('key', { ifMatch: etag, range }), 'PRECONDITION_FAILED');
      await rejects(() => store.get('none', { ifMatch: etag }), 'OBJECT_NOT_FOUND');
    },
  },
  {
    title: 'what is not there is OBJECT_NOT_FOUND, before, beside and after',
    run: async (store) => {
      await assertAbsent(store, 'none');
      await store.put('folder/key', bytesOf(5));
      await assertAbsent(store, 'folder');
      await assertAbsent(store, 'folder/ke');
      await assertAbsent(store, 'folder/key2');
      await store.delete('folder/key');
      await assertAbsent(store, 'folder/key');
    },
  },
  {
    title: 'a delete of what is not there succeeds, and a deleted object can be put again',
    run: async (store) => {
      await store.delete('none');
      await store.delete('none/deep');
      await store.put('key', bytesOf(5));
      await store.delete('key');
      await store.delete('key');
      await assertAbsent(store, 'key');
      await store.put('key', bytesOf(6));
      await assertHolds(store, 'key', bytesOf(6));
    },
  },
  {
    title: 'keeps the name of a write with the object, of small and of large ones',
    run: async (store, { largeBytes }) => {
      for (const length of [10, largeBytes]) {
        await store.put('named', bytesOf(length), { writeId: WRITE_ID });
        assert.equal((await store.head('named')).writeId, WRITE_ID);
        const content = await store.get('named');
        assert.equal(content.writeId, WRITE_ID);
        await content.close();
        await store.put('named', bytesOf(length));
        assert.notEqual((await store.head('named')).writeId, WRITE_ID);
      }
    },
  },
  {
    title: 'tells when an object was put',
    run: async (store) => {
      await store.put('first', bytesOf(1));
      await store.put('second', bytesOf(1));
      const first = (await store.head('first')).modifiedMs;
      const second = (await store.head('second')).modifiedMs;
      assert.ok(Number.isFinite(first) && first > 0);
      assert.ok(second >= first);
    },
  },
  {
    title: 'the bytes given out are the reader’s alone',
    run: async (store) => {
      await store.put('key', bytesOf(300_000));
      for await (const piece of (await store.get('key')).body) piece.fill(0);
      await assertHolds(store, 'key', bytesOf(300_000));
    },
  },
  {
    title: 'a body begun before a replacement or a delete is of one object, or fails',
    run: async (store, { largeBytes }) => {
      const old = bytesOf(largeBytes, 1);
      for (const change of [
        () => store.put('key', bytesOf(largeBytes, 2)),
        () => store.delete('key'),
      ]) {
        await store.put('key', old);
        const content = await store.get('key');
        await change();
        const got = await read(content).catch(() => undefined);
        assert.ok(got === undefined || got.equals(old), 'a mixture');
      }
    },
  },
  {
    title: 'of puts of one key at the same time one comes last and is whole',
    run: async (store) => {
      const bodies = [1, 2, 3, 4, 5, 6].map((seed) => bytesOf(70_000 + seed, seed));
      const puts = await Promise.all(bodies.map((body) => store.put('key', body)));
      const found = await readKey(store, 'key');
      const winner = bodies.findIndex((body) => body.equals(found));
      assert.ok(winner >= 0, 'a mixture');
      assert.equal((await store.head('key')).etag, puts[winner]?.etag);
    },
  },
];
