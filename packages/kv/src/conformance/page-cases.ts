/** Pages: rule 15 of the contract. */
import assert from 'node:assert/strict';
import type { KvPageOptions } from '../kv-store.ts';
import {
  bytes,
  type KvConformanceCase,
  keysOf,
  numberedKeys,
  pagesOf,
  putAll,
  rejects,
} from './conformance-case.ts';

const CREATED: KvPageOptions = { order: 'created' };

export const PAGE_CASES: readonly KvConformanceCase[] = [
  {
    title: 'pages in order of creation go from the newest, or with reverse from the oldest',
    needs: ['createdOrder'],
    run: async (store) => {
      await putAll(store, ['b', 'c', 'a']);
      assert.deepEqual(await pagesOf(store, CREATED), [['a', 'c', 'b']]);
      assert.deepEqual(await pagesOf(store, { ...CREATED, reverse: true }), [['b', 'c', 'a']]);
      assert.deepEqual(await pagesOf(store, { ...CREATED, limit: 2 }), [['a', 'c'], ['b']]);
      assert.deepEqual(await pagesOf(store, { ...CREATED, limit: 2, reverse: true }), [
        ['b', 'c'],
        ['a'],
      ]);
    },
  },
  {
    title: 'pages in order of keys go both ways',
    run: async (store) => {
      await putAll(store, ['b', 'c', 'a']);
      assert.deepEqual(await pagesOf(store, { order: 'key', limit: 2 }), [['a', 'b'], ['c']]);
      assert.deepEqual(await pagesOf(store, { order: 'key', limit: 1, reverse: true }), [
        ['c'],
        ['b'],
        ['a'],
      ]);
    },
  },
  {
    title: 'an empty store is one empty page without a token',
    run: async (store) => {
      assert.deepEqual(await store.page({ order: 'key' }), { entries: [], next: undefined });
      await store.put('key', bytes('1'));
      assert.deepEqual(await store.page({ order: 'key', prefix: 'x' }), {
        entries: [],
        next: undefined,
      });
      if (!store.capabilities.createdOrder) return;
      assert.deepEqual(await pagesOf(store, { ...CREATED, prefix: 'x' }), [[]]);
    },
  },
  {
    title: 'fifty entries are one page, fifty-one are two, also of a prefix',
    run: async (store) => {
      const orders = store.capabilities.createdOrder
        ? (['key', 'created'] as const)
        : (['key'] as const);
      await putAll(store, [...numberedKeys(50), ...numberedKeys(50, 'other')]);
      for (const order of orders) {
        const full = await store.page({ order, prefix: 'k' });
        assert.equal(full.entries.length, 50);
        assert.equal(full.next, undefined);
      }
      await store.put('k999', bytes('1'));
      for (const order of orders) {
        const pages = await pagesOf(store, { order, prefix: 'k' });
        assert.deepEqual(
          pages.map((page) => page.length),
          [50, 1],
        );
      }
    },
  },
  {
    title: 'writing an entry again moves it nowhere, deleting and creating it makes it newest',
    needs: ['createdOrder'],
    run: async (store) => {
      await putAll(store, ['a', 'b', 'c']);
      await store.put('a', bytes('again'));
      assert.deepEqual(await pagesOf(store, CREATED), [['c', 'b', 'a']]);
      await store.del('a');
      await store.put('a', bytes('anew'));
      assert.deepEqual(await pagesOf(store, CREATED), [['a', 'c', 'b']]);
    },
  },
  {
    title: 'changes between two pages hide nothing that was there and show nothing twice',
    needs: ['createdOrder'],
    run: async (store) => {
      const keys = numberedKeys(60);
      for (const order of ['key', 'created'] as const) {
        for (const reverse of [false, true]) {
          await store.clear();
          await putAll(store, keys);
          const seen: string[] = [];
          let token: string | undefined;
          let round = 0;
          do {
            const page = await store.page({ order, reverse, limit: 7, token });
            const listed = page.entries.map(({ key }) => key);
            seen.push(...listed);
            token = page.next;
            // The one the token stands on goes; others are written again; new ones come.
            await store.del(listed.at(-1) as string);
            const again = keys[round] as string;
            if (await store.has(again)) await store.put(again, bytes('again'));
            await store.put(`n${round++}`, bytes('new'));
          } while (token !== undefined);
          const old = seen.filter((key) => key.startsWith('k'));
          assert.equal(new Set(old).size, old.length, 'a key was listed twice');
          const missed = keys.filter((key) => !seen.includes(key));
          assert.deepEqual(missed, [], `${order} ${reverse}`);
        }
      }
    },
  },
  {
    title: 'a page ends where its values are as many bytes as it may have, and nothing is lost',
    run: async (store) => {
      const keys = numberedKeys(7);
      for (const key of keys) await store.put(key, new Uint8Array(10));
      const found: string[] = [];
      let token: string | undefined;
      do {
        const page = await store.page({ order: 'key', limit: 5, maxBytes: 11, token });
        assert.ok(page.entries.length <= 2, 'two values are more than it may have');
        assert.ok(page.entries.length > 0);
        found.push(...page.entries.map(({ key }) => key));
        token = page.next;
      } while (token !== undefined);
      assert.deepEqual(found, keys);
      await assert.rejects(() => store.page({ order: 'key', maxBytes: 0 }), TypeError);
    },
  },
  {
    title: 'an entry of a page is whole',
    run: async (store) => {
      await store.put('key', bytes('value'));
      const { entries } = await store.page({ order: 'key' });
      assert.deepEqual(entries, [await store.getEntry('key')]);
    },
  },
  {
    title: 'a token of another order, direction, prefix or store, or a changed one, is refused',
    run: async (store) => {
      await putAll(store, numberedKeys(5));
      const { next } = await store.page({ order: 'key', limit: 2, prefix: 'k' });
      const token = next as string;
      const good: KvPageOptions = { order: 'key', limit: 2, prefix: 'k', token };
      assert.equal((await store.page(good)).entries.length, 2);
      assert.equal((await store.page({ ...good, limit: 3 })).entries.length, 3);
      const bad: KvPageOptions[] = [
        { ...good, prefix: undefined },
        { ...good, prefix: 'k0' },
        { ...good, reverse: true },
        { ...good, token: '' },
        { ...good, token: 'x' },
        { ...good, token: `${token}AAAA` },
        { ...good, token: token.slice(1) },
        { ...good, token: `${token.slice(0, -2)}${token.endsWith('A') ? 'BB' : 'AA'}` },
      ];
      if (store.capabilities.createdOrder) bad.push({ ...good, order: 'created' });
      for (const page of bad) await rejects(() => store.page(page), 'INVALID_PAGE_TOKEN');
      await assert.rejects(store.page({ order: 'key', limit: 0 }), TypeError);
      await assert.rejects(store.page({ order: 'key', limit: 1001 }), TypeError);
    },
  },
  {
    title: 'order and tokens survive a restart, in both orders',
    needs: ['createdOrder', 'reopen'],
    run: async (store, { reopen }) => {
      const keys = numberedKeys(30);
      await putAll(store, keys.toReversed());
      const before = {
        created: await store.page({ ...CREATED, limit: 10 }),
        key: await store.page({ order: 'key', limit: 10 }),
      };
      const again = await reopen();
      await again.put('later', bytes('1'));
      for (const order of ['created', 'key'] as const) {
        const rest = await pagesOf(again, { order, limit: 10, token: before[order].next });
        const listed = [...before[order].entries.map(({ key }) => key), ...rest.flat()];
        assert.deepEqual(
          listed.filter((key) => key !== 'later'),
          keys,
        );
      }
      const all = await pagesOf(again, { ...CREATED, limit: 100 });
      assert.deepEqual(all, [['later', ...keys]]);
      const third = await reopen();
      assert.deepEqual(await pagesOf(third, { ...CREATED, limit: 100 }), all);
      assert.equal((await keysOf(third)).length, 31);
    },
  },
];
