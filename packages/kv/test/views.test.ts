import { NodeClock } from '@holdfast/core';
import { type KvStore, namespaced, openMemoryKvStore, viewOf } from '@holdfast/kv';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { describe, expect, it } from 'vitest';

function memory(): KvStore {
  return openMemoryKvStore({ clock: new NodeClock() }, { id: 'memory' });
}

const neighbours = [
  'a',
  'part',
  'part.',
  'part0',
  'z',
  '//x',
  'other/ns/k',
  'main/',
  'main/sub0/k',
];

/** A view with entries of others around it. */
async function among(make: (store: KvStore) => KvStore): Promise<KvStore> {
  const store = memory();
  for (const key of neighbours) await store.put(key, Buffer.from(key));
  const view = make(store);
  return view;
}

const unsupported = { reopen: 'memory is gone with its store' };

describe('a view of a store', () => {
  kvStoreConformance({
    it,
    open: async () => ({ store: viewOf(memory(), 'part/') }),
    unsupported,
  });
});

describe('a namespace of a store', () => {
  kvStoreConformance({
    it,
    open: async () => ({ store: namespaced(memory(), 'main', 'sub') }),
    unsupported: { ...unsupported, anyText: 'names of the Lightning Dev Kit are narrow' },
  });

  it('keeps apart what is in other namespaces, in the root, and around it', async () => {
    const store = memory();
    for (const key of neighbours) await store.put(key, Buffer.from(key));
    const main = namespaced(store, 'main', 'sub');
    const root = namespaced(store, '', '');
    await main.put('key', Buffer.from('main'));
    await root.put('key', Buffer.from('root'));
    for (const view of [main, root]) {
      const keys: string[] = [];
      for await (const key of view.keys()) keys.push(key);
      expect(keys).toEqual(view === main ? ['key'] : ['key', 'x']);
      await view.clear();
    }
    const left: string[] = [];
    for await (const key of store.keys()) left.push(key);
    expect(left).toEqual(neighbours.filter((key) => key !== '//x').toSorted());
  });

  it.each([
    ['', 'sub'],
    ['main', 'a/b'],
    ['ma in', ''],
    ['main', 'ä'],
    ['x'.repeat(121), ''],
    ['main', 'x'.repeat(121)],
  ])('refuses the names %j and %j', (primary, secondary) => {
    expect(() => namespaced(memory(), primary, secondary)).toThrow(
      expect.objectContaining({ code: 'INVALID_ENTRY_KEY' }),
    );
  });

  it('takes names and keys of 120 characters and refuses others', async () => {
    const name = 'Az09_-'.repeat(20);
    const view = await among((store) => namespaced(store, name, name));
    await view.put(name, Buffer.from('long'));
    expect(String(await view.get(name))).toBe('long');
    for (const key of [`${name}x`, 'a/b', 'a b', 'ü', '.']) {
      await expect(view.put(key, Buffer.from('1'))).rejects.toMatchObject({
        code: 'INVALID_ENTRY_KEY',
      });
    }
  });
});
