/** Keys and lists: rules 1, 5 and 9 of the contract. */
import assert from 'node:assert/strict';
import { compareKeys } from '../object-key.ts';
import {
  allKeys,
  assertHolds,
  bytesOf,
  type ConformanceCase,
  readKey,
  rejects,
} from './conformance-case.ts';

/** Signs that URLs, XML, shells and file systems treat each in a way of their own. */
const UNUSUAL_KEYS: readonly string[] = [
  'UPPER',
  'upper',
  'sp ace/ in / the middle ',
  'a+b/c%2Fd/%',
  'quote\'"`/<tag>&amp;/]]>',
  'back\\slash/c:/con/nul.txt',
  '?query=1#hash;semi,colon:',
  '*!()~$@=[]{}|^',
  'ümläut/日本語/emoji-😀',
  '\ue000/private',
  'dot.in.middle./trailing.',
  'x'.repeat(200),
  `long/${'Ä'.repeat(120)}/segment`,
  '-',
  '~tilde',
];

const INVALID_KEYS: readonly string[] = [
  '',
  '/',
  '/a',
  'a/',
  'a//b',
  '.',
  '..',
  './a',
  'a/..',
  'a/../b',
  '.hidden',
  'a/.b',
  'a\0b',
  'new\nline',
  'a\u007f',
  'a\u0085',
  'half-\ud800',
  'half-\udc00-a',
  'a\ufffe',
  'x'.repeat(513),
  'é'.repeat(257),
];

export const KEY_CASES: readonly ConformanceCase[] = [
  {
    title: 'holds objects under unusual keys, each its own',
    run: async (store) => {
      for (const [index, key] of UNUSUAL_KEYS.entries()) await store.put(key, bytesOf(10, index));
      for (const [index, key] of UNUSUAL_KEYS.entries()) {
        await assertHolds(store, key, bytesOf(10, index));
      }
      assert.deepEqual(await allKeys(store), [...UNUSUAL_KEYS].sort(compareKeys));
      for (const key of UNUSUAL_KEYS) await store.delete(key);
      assert.deepEqual(await allKeys(store), []);
    },
  },
  {
    title: 'holds a key of the greatest length',
    run: async (store) => {
      const key = Array.from({ length: 8 }, (_, at) => `${at}`.repeat(63)).join('/') + '!';
      assert.equal(key.length, 512);
      await store.put(key, bytesOf(3));
      await assertHolds(store, key, bytesOf(3));
      assert.deepEqual(await allKeys(store, { prefix: key }), [key]);
    },
  },
  {
    title: 'refuses what is not a key, whatever is asked',
    run: async (store) => {
      for (const key of INVALID_KEYS) {
        await rejects(() => store.put(key, bytesOf(1)), 'INVALID_OBJECT_KEY');
        await rejects(() => store.get(key), 'INVALID_OBJECT_KEY');
        await rejects(() => store.head(key), 'INVALID_OBJECT_KEY');
        await rejects(() => store.delete(key), 'INVALID_OBJECT_KEY');
      }
      assert.deepEqual(await allKeys(store), []);
    },
  },
  {
    title: 'an object can be where others have a folder',
    needs: 'nestedKeys',
    run: async (store) => {
      const keys = ['a', 'a!', 'a-b', 'a/b', 'a/b/c', 'a0'];
      for (const [index, key] of keys.entries()) await store.put(key, bytesOf(5, index));
      for (const [index, key] of keys.entries()) await assertHolds(store, key, bytesOf(5, index));
      assert.deepEqual(await allKeys(store, { limit: 1 }), keys);
      await store.delete('a');
      await assertHolds(store, 'a/b', bytesOf(5, 3));
    },
  },
  {
    title: 'lists nothing, then what was put, never what was deleted',
    run: async (store) => {
      assert.deepEqual(await store.list(), { objects: [], after: undefined });
      await store.put('a', bytesOf(7));
      await store.put('b/c', bytesOf(0));
      const { objects } = await store.list();
      assert.deepEqual(
        objects.map(({ key, size }) => [key, size]),
        [
          ['a', 7],
          ['b/c', 0],
        ],
      );
      await store.delete('a');
      assert.deepEqual(await allKeys(store), ['b/c']);
    },
  },
  {
    title: 'lists in the order of bytes, in pages of any size',
    run: async (store) => {
      const keys = [
        'b/2',
        'b/10',
        'a',
        'b-',
        'b0',
        'c/x/y',
        'c/x/z',
        'c/xa',
        'Z',
        'é',
        '😀',
        '\uffee',
      ];
      for (const key of keys) await store.put(key, bytesOf(1));
      const sorted = [...keys].sort((one, other) =>
        Buffer.compare(Buffer.from(one), Buffer.from(other)),
      );
      for (const limit of [1, 2, 3, keys.length - 1, keys.length, 1_000, 1_000_000]) {
        assert.deepEqual(await allKeys(store, { limit }), sorted, `limit=${limit}`);
      }
      for (const after of [...sorted, 'b', 'b/', 'b/1', 'c/x', '', '\u{10ffff}']) {
        const behind = sorted.filter((key) => compareKeys(key, after) > 0);
        assert.deepEqual(await allKeys(store, { after, limit: 5 }), behind, `after=${after}`);
      }
    },
  },
  {
    title: 'lists by a prefix that may end anywhere',
    run: async (store) => {
      const keys = ['ab/c', 'ab/cd/e', 'ab/cd/f', 'abc', 'b', 'é/ü'];
      for (const key of keys) await store.put(key, bytesOf(1));
      for (const prefix of ['', 'a', 'ab', 'ab/', 'ab/c', 'ab/cd/', 'ab/cd/e', 'b/', 'x', 'é/']) {
        const wanted = keys.filter((key) => key.startsWith(prefix));
        assert.deepEqual(await allKeys(store, { prefix, limit: 2 }), wanted, `prefix=${prefix}`);
      }
      assert.deepEqual(await allKeys(store, { prefix: 'ab/', after: 'ab/cd/e' }), ['ab/cd/f']);
      assert.deepEqual(await allKeys(store, { prefix: 'ab/', after: 'b' }), []);
      assert.deepEqual(await allKeys(store, { prefix: 'b', after: 'a' }), ['b']);
    },
  },
  {
    title: 'a walk misses no key that stays, while others come and go',
    run: async (store) => {
      const stay = Array.from({ length: 12 }, (_, at) => `walk/${String(at).padStart(2, '0')}-s`);
      for (const key of stay) await store.put(key, bytesOf(1));
      const seen: string[] = [];
      let after: string | undefined;
      for (let round = 0; ; round++) {
        const page = await store.list({ prefix: 'walk/', limit: 3, after });
        seen.push(...page.objects.map((object) => object.key));
        await store.put(`walk/${String(round).padStart(2, '0')}-t`, bytesOf(1));
        await store.delete(`walk/${String(round - 1).padStart(2, '0')}-t`);
        if (page.after === undefined) break;
        after = page.after;
      }
      assert.deepEqual(
        seen.filter((key) => key.endsWith('-s')),
        stay,
      );
      assert.equal(new Set(seen).size, seen.length);
    },
  },
  {
    title: 'another opening of the same place sees the same objects',
    needs: 'reopen',
    run: async (store, { reopen, largeBytes }) => {
      const { etag } = await store.put('a/b', bytesOf(largeBytes));
      await store.put('a/c', bytesOf(2));
      const other = await reopen();
      try {
        assert.equal((await other.head('a/b')).etag, etag);
        assert.ok((await readKey(other, 'a/b')).equals(bytesOf(largeBytes)));
        assert.deepEqual(await allKeys(other), ['a/b', 'a/c']);
        await other.delete('a/c');
      } finally {
        await other.close();
      }
      assert.deepEqual(await allKeys(store), ['a/b']);
    },
  },
];
