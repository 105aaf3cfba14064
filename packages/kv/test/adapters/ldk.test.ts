/**
 * What the tests of the Lightning Dev Kit ask of a key-value store, said here again: names and
 * their limits, the order of calls, lazy removes, pages of fifty, a restart, a grid that is moved.
 */
import { MemoryFileSystem, type LogFields, type Logger, SILENT } from '@holdfast/core';
import { type KvStore, openMemoryKvStore } from '@holdfast/kv';
import { KvLdkStore } from '@holdfast/kv/adapters/ldk';
import { openS3KvStore } from '@holdfast/kv/backends/s3';
import { MemoryObjectStore } from '@holdfast/objects';
import { describe, expect, it } from 'vitest';
import { encrypted } from '../encrypted/encrypted-stores.ts';
import { EngineLife } from '../engine-life.ts';
import { FaultyStore } from '../tiers/faulty-store.ts';
import { COMPONENTS, gather, memories, memory, openTiers, text } from '../tiers/tiered-stores.ts';

interface Opened {
  readonly store: KvStore;
  readonly reopen: () => Promise<KvStore>;
  readonly close: () => Promise<void>;
}

const stays = (store: KvStore): Opened => ({
  store,
  reopen: async () => store,
  close: () => store.close(),
});

const PLACES: readonly { title: string; open: () => Promise<Opened> }[] = [
  { title: 'memory', open: async () => stays(memory('memory')) },
  {
    title: 'the engine',
    open: async () => {
      const components = { ...COMPONENTS, fileSystem: new MemoryFileSystem() };
      let life = await EngineLife.open(components);
      return {
        store: life.engine.store('ldk'),
        reopen: async () => {
          await life.close();
          life = await EngineLife.open(components);
          return life.engine.store('ldk');
        },
        close: () => life.close(),
      };
    },
  },
  {
    title: 'encrypted tiers over memory and objects',
    open: async () => {
      const objects = new MemoryObjectStore(COMPONENTS);
      const { local, backup } = memories();
      const start = async (): Promise<KvStore> => {
        const place = await openS3KvStore({ ...COMPONENTS, objects }, { id: 'objects' });
        return openTiers({ primary: encrypted(place), backup: encrypted(backup), local });
      };
      let store = await start();
      return {
        store,
        reopen: async () => {
          await store.close();
          store = await start();
          return store;
        },
        close: () => store.close(),
      };
    },
  },
];

const LONGEST = 'Az09_-'.repeat(20);

/** Every page to the last. */
async function pagesOf(ldk: KvLdkStore, primary: string, secondary: string): Promise<string[][]> {
  const pages: string[][] = [];
  let token: string | undefined;
  do {
    const page = await ldk.listPaginated(primary, secondary, token);
    pages.push([...page.keys]);
    token = page.nextPageToken;
  } while (token !== undefined);
  return pages;
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `key_${String(at).padStart(3, '0')}`);
}

describe.each(PLACES)('the store of the Lightning Dev Kit over $title', ({ open }) => {
  async function within(act: (ldk: KvLdkStore, opened: Opened) => Promise<void>): Promise<void> {
    const opened = await open();
    await act(new KvLdkStore(opened.store), opened);
    await opened.close();
  }

  it.each([
    ['testspace', 'testsubspace', 'testkey'],
    ['', '', 'rootkey'],
    ['testspace', '', 'testkey'],
    [LONGEST, LONGEST, LONGEST],
  ])('writes, reads, lists and removes in %j, %j', (primary, secondary, key) =>
    within(async (ldk) => {
      const value = Buffer.alloc(32, 42);
      await expect(ldk.read(primary, secondary, key)).rejects.toMatchObject({
        code: 'ENTRY_NOT_FOUND',
      });
      expect(await ldk.list(primary, secondary)).toEqual([]);
      await ldk.write(primary, secondary, key, value);
      expect(value.equals(await ldk.read(primary, secondary, key))).toBe(true);
      expect(await ldk.list(primary, secondary)).toEqual([key]);
      expect(await ldk.list('other', '')).toEqual([]);
      await ldk.remove(primary, secondary, key, false);
      await ldk.remove(primary, secondary, key, false);
      expect(await ldk.list(primary, secondary)).toEqual([]);
      await expect(ldk.read(primary, secondary, key)).rejects.toMatchObject({
        code: 'ENTRY_NOT_FOUND',
      });
    }),
  );

  it.each([
    ['', 'secondary', 'key'],
    ['primary', 'secondary', ''],
    ['primary', 'secondary', 'ke/y'],
    ['pri mary', 'secondary', 'key'],
    ['primary', 'secöndary', 'key'],
    [`${LONGEST}x`, '', 'key'],
    ['primary', '', `${LONGEST}x`],
  ])('refuses the names %j, %j, %j in every call, before anything happens', (...names) =>
    within(async (ldk, { store }) => {
      const invalid = { code: 'INVALID_ENTRY_KEY', effect: 'none' };
      await expect(ldk.read(...names)).rejects.toMatchObject(invalid);
      await expect(ldk.write(...names, text('1'))).rejects.toMatchObject(invalid);
      await expect(ldk.remove(...names, false)).rejects.toMatchObject(invalid);
      await expect(ldk.remove(...names, true)).rejects.toMatchObject(invalid);
      const [primary, secondary, key] = names;
      if (key === 'key') {
        await expect(ldk.list(primary, secondary)).rejects.toMatchObject(invalid);
        await expect(ldk.listPaginated(primary, secondary)).rejects.toMatchObject(invalid);
      }
      expect(await gather(store.keys())).toEqual([]);
    }),
  );

  it('has what was called last, in whatever order it is awaited', () =>
    within(async (ldk) => {
      const calls = [
        ldk.write('p', 's', 'key', text('first')),
        ldk.remove('p', 's', 'key', false),
        ldk.write('p', 's', 'key', text('second')),
      ];
      for (const call of calls.toReversed()) await call;
      expect(await ldk.read('p', 's', 'key')).toEqual(text('second'));
      const removed = [
        ldk.write('p', 's', 'key', text('third')),
        ldk.remove('p', 's', 'key', false),
      ];
      for (const call of removed.toReversed()) await call;
      expect(await ldk.list('p', 's')).toEqual([]);
    }));

  it('takes back a lazy remove by a later write, and has it done after a flush', () =>
    within(async (ldk, { reopen }) => {
      await ldk.write('p', 's', 'kept', text('before'));
      await ldk.write('p', 's', 'gone', text('before'));
      const calls = [
        ldk.remove('p', 's', 'kept', true),
        ldk.remove('p', 's', 'gone', true),
        ldk.remove('p', 's', 'never', true),
        ldk.write('p', 's', 'kept', text('after')),
      ];
      await Promise.all(calls);
      await ldk.flush();
      expect(await ldk.list('p', 's')).toEqual(['kept']);
      const again = new KvLdkStore(await reopen());
      expect(await again.read('p', 's', 'kept')).toEqual(text('after'));
      expect(await again.list('p', 's')).toEqual(['kept']);
    }));

  it.each([0, 1, 49, 50, 51, 101])('lists %i keys in pages of fifty, newest first', (count) =>
    within(async (ldk) => {
      const keys = numbered(count);
      for (const key of keys) await ldk.write('p', 's', key, text(key));
      await ldk.write('p', '', 'other', text('1'));
      await ldk.write('p', 's2', 'other', text('1'));
      const pages = await pagesOf(ldk, 'p', 's');
      expect(pages.flat()).toEqual(keys.toReversed());
      expect(pages.map(({ length }) => length)).toEqual(
        count === 0
          ? [0]
          : Array.from({ length: Math.ceil(count / 50) }, (_, at) => Math.min(50, count - 50 * at)),
      );
    }),
  );

  it('lists fifty keys whatever their values weigh', () =>
    within(async (ldk) => {
      const large = Buffer.alloc(5 * 1024 ** 2);
      const keys = numbered(9);
      for (const key of keys) await ldk.write('p', 's', key, large);
      expect(await ldk.listPaginated('p', 's')).toEqual({ keys: keys.toReversed() });
    }));

  it('keeps the place of a key that is written again, and moves one that was removed', () =>
    within(async (ldk) => {
      for (const key of ['a', 'b', 'c']) await ldk.write('p', 's', key, text('1'));
      await ldk.write('p', 's', 'a', text('2'));
      expect(await pagesOf(ldk, 'p', 's')).toEqual([['c', 'b', 'a']]);
      await ldk.remove('p', 's', 'b', false);
      await ldk.write('p', 's', 'b', text('2'));
      const { entries } = await ldk.listPaginatedWithValues('p', 's');
      expect(entries).toEqual([
        ['b', text('2')],
        ['c', text('1')],
        ['a', text('2')],
      ]);
    }));

  it('goes on behind a token after a restart, and where its key was removed', () =>
    within(async (ldk, { reopen }) => {
      const keys = numbered(60);
      for (const key of keys) await ldk.write('p', 's', key, text(key));
      const { keys: first, nextPageToken } = await ldk.listPaginated('p', 's');
      await ldk.remove('p', 's', first.at(-1) as string, false);
      await ldk.write('p', 's', 'newer', text('1'));
      await ldk.write('p', 's', 'key_005', text('2'));
      const again = new KvLdkStore(await reopen());
      const second = await again.listPaginated('p', 's', nextPageToken);
      expect(second).toEqual({ keys: keys.slice(0, 10).toReversed() });
      for (const [primary, secondary, token] of [
        ['p', 's2', nextPageToken],
        ['p', '', nextPageToken],
        ['p', 's', `${nextPageToken}x`],
        ['p', 's', 'key_005'],
      ] as const) {
        await expect(again.listPaginated(primary, secondary, token)).rejects.toMatchObject({
          code: 'INVALID_PAGE_TOKEN',
        });
      }
    }));

  it('gives everything it has to whoever moves it', () =>
    within(async (ldk) => {
      const grid: [string, string, string][] = [['', '', 'root']];
      for (const primary of ['a', 'b', 'c']) {
        for (const secondary of ['', 'x', 'y']) {
          for (const key of ['1', '2', '3']) grid.push([primary, secondary, key]);
        }
      }
      for (const names of grid) await ldk.write(...names, text(names.join(' ')));
      expect(await gather(ldk.listAllKeys())).toEqual(grid);
      const target = new KvLdkStore(memory('target'));
      for await (const names of ldk.listAllKeys()) {
        await target.write(...names, await ldk.read(...names));
      }
      expect(await gather(target.listAllKeys())).toEqual(grid);
      for (const names of grid) {
        expect(await target.read(...names)).toEqual(text(names.join(' ')));
      }
    }));
});

describe('the store of the Lightning Dev Kit', () => {
  it('does not see what is in no namespace', async () => {
    const store = openMemoryKvStore(COMPONENTS, { id: 'memory' });
    const ldk = new KvLdkStore(store);
    for (const key of ['a', 'a/b', 'a/x/c/d', '/b/c', 'ä/b/c', 'a/x/']) {
      await store.put(key, text('1'));
    }
    await ldk.write('a', 'b', 'c', text('1'));
    expect(await gather(ldk.listAllKeys())).toEqual([['a', 'b', 'c']]);
    expect(await ldk.list('a', 'b')).toEqual(['c']);
    expect(await ldk.list('', '')).toEqual([]);
  });

  it('logs a lazy remove that fails, and fails nobody for it', async () => {
    const store = new FaultyStore(COMPONENTS.clock, memory('memory'));
    const logged: [string, LogFields | undefined][] = [];
    const logger: Logger = { ...SILENT, warn: (event, fields) => logged.push([event, fields]) };
    const ldk = new KvLdkStore(store, { logger });
    await ldk.write('p', 's', 'key', text('1'));
    store.fail('error-before');
    await ldk.remove('p', 's', 'key', true);
    await expect(ldk.remove('p', 's', 'key', false)).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
    });
    store.heal();
    await ldk.flush();
    expect(logged).toEqual([['ldk.lazyRemoveFailed', { code: 'STORAGE_UNAVAILABLE' }]]);
    expect(await ldk.list('p', 's')).toEqual(['key']);
  });
});
