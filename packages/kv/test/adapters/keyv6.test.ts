/**
 * keyv 6, the package itself, over the adapter. Its suite is not published; what its contract says
 * of adapters, and what keyv promises with one, is said here again.
 */
import { KvKeyv6Store } from '@holdfast/kv/adapters/keyv6';
import { type KvStore, openMemoryKvStore, viewOf } from '@holdfast/kv';
import Keyv, { detectKeyvStorage, KeyvBridgeAdapter, keyvStorageCapability } from 'keyv6';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMPONENTS, gather } from '../tiers/tiered-stores.ts';
import { ADAPTED_STORES } from './adapted-stores.ts';

const HOUR_MS = 3_600_000;

let parts = 0;

describe.each(ADAPTED_STORES.filter(({ title }) => !title.startsWith('a narrow')))(
  'an adapter of keyv 6 over $title',
  ({ open }) => {
    let opened: { store: KvStore; close: () => Promise<void> };

    beforeAll(async () => {
      opened = await open();
    });

    afterAll(() => opened.close());

    /** Each of them in a part of the store that is its own. */
    const fresh = (): KvStore => viewOf(opened.store, `part-${parts++}/`);

    it('is used by keyv as it is, not through its bridge for older ones', () => {
      const adapter = new KvKeyv6Store(fresh());
      expect(adapter.capabilities).toEqual(keyvStorageCapability(adapter));
      expect(detectKeyvStorage(adapter)).toMatchObject({ compatible: true, store: 'keyvStorage' });
      const keyv = new Keyv({ store: adapter });
      expect(keyv.store).toBe(adapter);
      expect(keyv.store).not.toBeInstanceOf(KeyvBridgeAdapter);
    });

    it('sets, gets, finds and deletes one and many, and says of each what became of it', async () => {
      const adapter = new KvKeyv6Store(fresh());
      expect(await adapter.get('none')).toBeUndefined();
      expect(await adapter.has('none')).toBe(false);
      expect(await adapter.delete('none')).toBe(false);
      expect(await adapter.set('a', '1')).toBe(true);
      const entries = [
        { key: 'b', value: '2' },
        { key: 'c', value: '3', expires: Date.now() + HOUR_MS },
      ];
      expect(await adapter.setMany(entries)).toEqual([true, true]);
      expect(await adapter.getMany(['c', 'none', 'a', 'b'])).toEqual(['3', undefined, '1', '2']);
      expect(await adapter.hasMany(['a', 'none', 'c'])).toEqual([true, false, true]);
      expect(await adapter.deleteMany(['a', 'none', 'b'])).toEqual([true, false, true]);
      expect(await adapter.hasMany(['a', 'b', 'c'])).toEqual([false, false, true]);
      expect(await adapter.getMany([])).toEqual([]);
      expect(await adapter.setMany([])).toEqual([]);
      expect(await adapter.deleteMany([])).toEqual([]);
      await adapter.set('c', '');
      expect(await adapter.get('c')).toBe('');
    });

    it('takes the moment of expiry as it is, and gives nothing past it', async () => {
      const store = fresh();
      const adapter = new KvKeyv6Store(store);
      const expires = Date.now() + HOUR_MS;
      await adapter.set('later', '1', expires);
      expect((await store.getEntry('later'))?.expiresAtMs).toBe(expires);
      await adapter.set('later', '2');
      expect((await store.getEntry('later'))?.expiresAtMs).toBeUndefined();
      await adapter.set('over', '1');
      expect(await adapter.set('over', '2', Date.now() - 1)).toBe(true);
      await adapter.setMany([
        { key: 'many', value: '1', expires: 0 },
        { key: 'negative', value: '1', expires: -5.5 },
      ]);
      for (const key of ['over', 'many', 'negative']) {
        expect(await adapter.get(key)).toBeUndefined();
        expect(await adapter.has(key)).toBe(false);
        expect(await adapter.delete(key)).toBe(false);
      }
      expect(await gather(adapter.iterator())).toEqual([['later', '2']]);
    });

    it('keeps namespaces apart, in iterators and in clear too', async () => {
      const store = fresh();
      const one = new KvKeyv6Store(store, { namespace: 'one' });
      const other = new KvKeyv6Store(store);
      other.namespace = 'two';
      await one.set('key', 'of one');
      await other.set('key', 'of two');
      expect(await one.get('key')).toBe('of one');
      expect(await gather(other.iterator())).toEqual([['key', 'of two']]);
      await one.clear();
      await one.clear();
      expect(await one.has('key')).toBe(false);
      expect(await other.get('key')).toBe('of two');
      const all = new KvKeyv6Store(store);
      expect(await gather(all.iterator())).toEqual([['two::key', 'of two']]);
      await all.clear();
      expect(await other.has('key')).toBe(false);
    });

    it('serves a Keyv with values of every kind, one and many', async () => {
      const keyv = new Keyv({ store: new KvKeyv6Store(fresh()), namespace: 'values' });
      const values: Record<string, unknown> = {
        text: 'text',
        empty: '',
        colon: ':colon',
        number: 0,
        no: false,
        nothing: null,
        list: [1, 'two', { three: 3 }],
        nested: { a: { b: ['ü', '😀'] } },
        bytes: Buffer.from([0, 128, 255]),
      };
      for (const [key, value] of Object.entries(values)) {
        expect(await keyv.set(key, value)).toBe(true);
        expect(await keyv.get(key), key).toEqual(value);
      }
      expect(await keyv.getMany(Object.keys(values))).toEqual(Object.values(values));
      expect(
        await keyv.setMany([
          { key: 'x', value: 1 },
          { key: 'y', value: 2, ttl: HOUR_MS },
        ]),
      ).toEqual([true, true]);
      expect(await keyv.hasMany(['x', 'none', 'y'])).toEqual([true, false, true]);
      expect(await keyv.deleteMany(['x', 'none'])).toEqual([true, false]);
      expect(await keyv.delete('y')).toBe(true);
      const found = new Map(await gather(keyv.iterator() as AsyncIterable<[string, unknown]>));
      expect(Object.fromEntries(found)).toEqual(values);
      await keyv.clear();
      expect(await gather(keyv.iterator())).toEqual([]);
    });

    it('keeps what two Keyvs have apart by their namespaces', async () => {
      const store = fresh();
      const a = new Keyv({ store: new KvKeyv6Store(store), namespace: 'a' });
      const b = new Keyv({ store: new KvKeyv6Store(store), namespace: 'b' });
      await a.set('key', 'a');
      await b.set('key', 'b');
      await a.clear();
      expect(await a.get('key')).toBeUndefined();
      expect(await b.get('key')).toBe('b');
    });
  },
);

describe('an adapter of keyv 6', () => {
  it('lets keyv tell of errors, and the store forget what is past its time', async () => {
    const store = openMemoryKvStore(COMPONENTS, { id: 'memory' });
    const keyv = new Keyv({ store: new KvKeyv6Store(store), namespace: 'n' });
    const errors: unknown[] = [];
    keyv.on('error', (error: unknown) => errors.push(error));
    await keyv.set('a', 'value', 60_000);
    expect((await store.getEntry('n::a'))?.expiresAtMs).toBeGreaterThan(Date.now());
    expect(await keyv.set('x'.repeat(3_000), 'value')).toBe(false);
    expect(errors).toMatchObject([{ code: 'INVALID_ENTRY_KEY' }]);
    await keyv.disconnect();
    expect(await store.has('n::a')).toBe(true);
    await store.close();
    expect(await keyv.get('a')).toBeUndefined();
    expect(errors).toMatchObject([{ code: 'INVALID_ENTRY_KEY' }, { code: 'CLOSED' }]);
  });

  it('takes text alone, which keyv makes unless it is told not to', async () => {
    const adapter = new KvKeyv6Store(openMemoryKvStore(COMPONENTS, { id: 'memory' }));
    await expect(adapter.set('key', { value: 1 })).rejects.toThrow(TypeError);
  });
});
