/** The public suite of keyv 5, as it comes, over the adapter. */
import suite, { keyvIteratorTests } from '@keyv/test-suite';
import { KvKeyvStore } from '@holdfast/kv/adapters/keyv';
import { type KvStore, openMemoryKvStore } from '@holdfast/kv';
import Keyv from 'keyv';
import * as vitest from 'vitest';
import { COMPONENTS } from '../tiers/tiered-stores.ts';
import { ADAPTED_STORES } from './adapted-stores.ts';

const { describe, expect, it, beforeAll, afterAll } = vitest;

describe.each(ADAPTED_STORES.filter(({ title }) => !title.startsWith('a narrow')))(
  'keyv over $title',
  ({ open }) => {
    let opened: { store: KvStore; close: () => Promise<void> };

    beforeAll(async () => {
      opened = await open();
    });

    afterAll(() => opened.close());

    suite(vitest, Keyv, () => new KvKeyvStore(opened.store));
    keyvIteratorTests(vitest, Keyv, () => new KvKeyvStore(opened.store));
  },
);

describe('keyv over a store', () => {
  it('hands on errors when it is told to, and lets the store forget what is past its time', async () => {
    const store = openMemoryKvStore(COMPONENTS, { id: 'memory' });
    const keyv = new Keyv({ store: new KvKeyvStore(store), throwOnErrors: true, namespace: 'n' });
    await keyv.set('a', 'value', 60_000);
    expect((await store.getEntry('n:a'))?.expiresAtMs).toBeGreaterThan(Date.now());
    await expect(keyv.set('x'.repeat(3_000), 'value')).rejects.toMatchObject({
      code: 'INVALID_ENTRY_KEY',
    });
    await keyv.disconnect();
    expect(await store.has('n:a')).toBe(true);
    await store.close();
    await expect(keyv.get('a')).rejects.toMatchObject({ code: 'CLOSED' });
  });
});
