/** Keys: rule 1 of the contract, and the names of the Lightning Dev Kit. */
import assert from 'node:assert/strict';
import { assertValue, bytes, type KvConformanceCase, keysOf, rejects } from './conformance-case.ts';

/** In the order of UTF-8; UTF-16 would put the pair before the last two. */
const TEXTS = [
  '\0',
  '\0\0',
  ' ',
  '.',
  '..',
  '/',
  '//',
  'A',
  'a',
  'a/b',
  'a/b/',
  'ä',
  '語',
  '\ue000',
  '\uffff',
  '😀',
];

export const KEY_CASES: readonly KvConformanceCase[] = [
  {
    title: 'any text is a key, and keys are in the order of their bytes in UTF-8',
    needs: ['anyText'],
    run: async (store) => {
      for (const key of TEXTS.toReversed()) await store.put(key, bytes(`of ${key}`));
      for (const key of TEXTS) await assertValue(store, key, `of ${key}`);
      assert.deepEqual(await keysOf(store), TEXTS);
      assert.deepEqual(await keysOf(store, { reverse: true }), TEXTS.toReversed());
    },
  },
  {
    title: 'names of objects and of files are ordinary keys',
    run: async (store) => {
      const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'CON', 'nul'];
      for (const name of names) await assertValue(store, name, undefined);
      for (const name of names) await store.put(name, bytes(name));
      for (const name of names) await assertValue(store, name, name);
    },
  },
  {
    title: 'keys that differ in case only are two keys',
    run: async (store) => {
      await store.put('Key', bytes('upper'));
      await store.put('key', bytes('lower'));
      await assertValue(store, 'Key', 'upper');
      await assertValue(store, 'key', 'lower');
      assert.deepEqual(await keysOf(store), ['Key', 'key']);
    },
  },
  {
    title: 'the empty key is refused everywhere',
    run: async (store) => {
      await rejects(() => store.get(''), 'INVALID_ENTRY_KEY');
      await rejects(() => store.getMany(['a', '']), 'INVALID_ENTRY_KEY');
      await rejects(() => store.has(''), 'INVALID_ENTRY_KEY');
      await rejects(() => store.put('', bytes('1')), 'INVALID_ENTRY_KEY');
      await rejects(() => store.del(''), 'INVALID_ENTRY_KEY');
      await rejects(() => store.batch([{ type: 'del', key: '' }]), 'INVALID_ENTRY_KEY');
      assert.deepEqual(await keysOf(store), []);
    },
  },
  {
    title: 'half of a surrogate pair is no key and no bound',
    run: async (store) => {
      for (const key of ['\ud83d', 'a\ude00', '\ude00\ud83d', '\ud83dx']) {
        await rejects(() => store.put(key, bytes('1')), 'INVALID_ENTRY_KEY');
        await rejects(() => store.get(key), 'INVALID_ENTRY_KEY');
        await rejects(() => keysOf(store, { prefix: key }), 'INVALID_ENTRY_KEY');
        await rejects(() => keysOf(store, { lt: key }), 'INVALID_ENTRY_KEY');
        await rejects(() => store.page({ order: 'key', prefix: key }), 'INVALID_ENTRY_KEY');
      }
      assert.deepEqual(await keysOf(store), []);
    },
  },
  {
    title: 'the longest key is taken, counted in bytes, and a longer one refused',
    run: async (store) => {
      const { maxKeyBytes, anyText } = store.capabilities;
      const longest = ['x'.repeat(maxKeyBytes)];
      if (anyText)
        longest.push('ä'.repeat(maxKeyBytes / 2), '😀'.repeat(Math.floor(maxKeyBytes / 4)));
      for (const key of longest) {
        await store.put(key, bytes('long'));
        await assertValue(store, key, 'long');
        assert.ok((await keysOf(store)).includes(key));
        await rejects(() => store.put(`${key}xxxx`, bytes('1')), 'INVALID_ENTRY_KEY');
      }
      await store.put(`${'x'.repeat(maxKeyBytes - 1)}y`, bytes('other'));
      await assertValue(store, longest[0] as string, 'long');
      for (const key of longest) await store.del(key);
      assert.equal((await keysOf(store)).length, 1);
    },
  },
  {
    title: 'what is no text and no bytes is a TypeError, as a rejection',
    run: async (store) => {
      const wrong = 7 as unknown as string;
      await assert.rejects(store.get(wrong), TypeError);
      await assert.rejects(store.put(wrong, bytes('1')), TypeError);
      await assert.rejects(store.put('key', 'text' as unknown as Uint8Array), TypeError);
      await assert.rejects(store.put('key', bytes('1'), { ifVersion: -1 }), TypeError);
      await assert.rejects(store.put('key', bytes('1'), { ifVersion: 0.5 }), TypeError);
      const operation = { type: 'what', key: 'key' } as unknown as { type: 'del'; key: string };
      await assert.rejects(store.batch([operation]), TypeError);
      await assert.rejects(keysOf(store, { limit: -1 }), TypeError);
      await assert.rejects(keysOf(store, { limit: 1.5 }), TypeError);
      await assert.rejects(keysOf(store, { gte: wrong }), TypeError);
      await assertValue(store, 'key', undefined);
    },
  },
];
