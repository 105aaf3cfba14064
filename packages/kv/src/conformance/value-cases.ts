/** Values: rules 2, 3, 4 and 6 of the contract. */
import assert from 'node:assert/strict';
import {
  assertValue,
  bytes,
  type KvConformanceCase,
  keysOf,
  largeValue,
  rejects,
} from './conformance-case.ts';

export const VALUE_CASES: readonly KvConformanceCase[] = [
  {
    title: 'a value is what was put, until it is put again or deleted',
    run: async (store) => {
      await assertValue(store, 'key', undefined);
      assert.equal(await store.has('key'), false);
      assert.equal(await store.getEntry('key'), undefined);
      await store.put('key', bytes('first'));
      await assertValue(store, 'key', 'first');
      assert.equal(await store.has('key'), true);
      await store.put('key', bytes('second'));
      await assertValue(store, 'key', 'second');
      await store.del('key');
      await assertValue(store, 'key', undefined);
      assert.deepEqual(await keysOf(store), []);
    },
  },
  {
    title: 'an empty value is a value',
    run: async (store) => {
      await store.put('key', new Uint8Array(0));
      await assertValue(store, 'key', '');
      assert.equal(await store.has('key'), true);
      const all: [string, number][] = [];
      for await (const [key, value] of store.iterator()) all.push([key, value.length]);
      assert.deepEqual(all, [['key', 0]]);
    },
  },
  {
    title: 'bytes of every kind and size come back as they were',
    run: async (store, { largeBytes }) => {
      const everyByte = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
      await store.put('every', everyByte);
      await assertValue(store, 'every', everyByte);
      for (const length of [1, 1023, 1024, 4095, 4096, 4097, 70_000, largeBytes]) {
        const value = largeValue(length, length);
        await store.put('sized', value);
        await assertValue(store, 'sized', value);
      }
      await store.put('sized', bytes('small again'));
      await assertValue(store, 'sized', 'small again');
    },
  },
  {
    title: 'the largest value is taken, a larger one refused before anything happens',
    run: async (store) => {
      const { maxValueBytes } = store.capabilities;
      if (maxValueBytes > 64 * 1024 ** 2) return;
      await store.put('key', bytes('before'));
      const tooLarge = Buffer.alloc(maxValueBytes + 1);
      await rejects(() => store.put('key', tooLarge), 'RECORD_TOO_LARGE');
      await rejects(
        () => store.batch([{ type: 'put', key: 'key', value: tooLarge }]),
        'RECORD_TOO_LARGE',
      );
      await assertValue(store, 'key', 'before');
      const largest = largeValue(maxValueBytes);
      await store.put('key', largest);
      await assertValue(store, 'key', largest);
    },
  },
  {
    title: "bytes handed over may change after the call, bytes given out are the caller's",
    run: async (store) => {
      const value = bytes('handed');
      const put = store.put('key', value);
      value.fill(0x21);
      await put;
      await assertValue(store, 'key', 'handed');
      const found = (await store.get('key')) as Uint8Array;
      found.fill(0x21);
      await assertValue(store, 'key', 'handed');
      for await (const each of store.values()) each.fill(0x21);
      await assertValue(store, 'key', 'handed');
      const view = new Uint8Array(bytes('xxviewxx').buffer.slice(0), 0);
      await store.put('view', view.subarray(2, 4));
      assert.equal(((await store.get('view')) as Uint8Array).length, 2);
    },
  },
  {
    title: 'getMany gives one for each key, in the order asked',
    run: async (store) => {
      await store.put('b', bytes('2'));
      await store.put('a', bytes('1'));
      const found = await store.getMany(['a', 'none', 'b', 'a']);
      assert.deepEqual(
        found.map((value) => (value === undefined ? undefined : Buffer.from(value).toString())),
        ['1', undefined, '2', '1'],
      );
      assert.deepEqual(await store.getMany([]), []);
    },
  },
  {
    title: 'deleting what is not there succeeds and says so',
    run: async (store) => {
      assert.deepEqual(await store.del('none'), { changed: false, version: 0 });
      await store.put('key', bytes('1'));
      assert.equal((await store.del('key')).changed, true);
      assert.equal((await store.del('key')).changed, false);
    },
  },
  {
    title: 'a version rises with every write, and the place of creation stays',
    run: async (store) => {
      const first = await store.put('key', bytes('1'));
      const other = await store.put('other', bytes('1'));
      const second = await store.put('key', bytes('2'));
      assert.ok(first.version > 0);
      assert.ok(other.version > first.version);
      assert.ok(second.version > other.version);
      const entry = await store.getEntry('key');
      assert.equal(entry?.version, second.version);
      assert.equal(entry.seq, first.version);
      assert.ok(Number.isSafeInteger(entry.epoch)); // that of the writer, where something fences
      assert.equal(entry.expiresAtMs, undefined);
      await store.del('key');
      await store.put('key', bytes('3'));
      const again = await store.getEntry('key');
      assert.ok(again !== undefined && again.seq > second.version);
      assert.equal(again.seq, again.version);
    },
  },
  {
    title: 'everything is there after a restart',
    needs: ['reopen'],
    run: async (store, { reopen, largeBytes }) => {
      await store.put('a', bytes('1'));
      await store.put('b', largeValue(largeBytes));
      await store.put('gone', bytes('1'));
      await store.put('empty', bytes(''));
      await store.put('a', bytes('2'));
      await store.del('gone');
      const before = await store.getEntry('a');
      let again = await reopen();
      for (let times = 0; times < 2; times++) {
        await assertValue(again, 'a', '2');
        await assertValue(again, 'b', largeValue(largeBytes));
        await assertValue(again, 'gone', undefined);
        await assertValue(again, 'empty', '');
        assert.deepEqual(await keysOf(again), ['a', 'b', 'empty']);
        assert.deepEqual(await again.getEntry('a'), before);
        again = await reopen();
      }
      const { version } = await again.put('a', bytes('3'));
      assert.ok(version > (before?.version ?? 0), 'versions rise over restarts');
    },
  },
];
