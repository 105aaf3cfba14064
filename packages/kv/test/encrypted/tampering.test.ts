/** What somebody who can write to the store beneath can do, and what is found of it. */
import {
  encryptedKvStore,
  type KvEntry,
  type KvStore,
  openMemoryKvStore,
  viewOf,
} from '@holdfast/kv';
import { describe, expect, it } from 'vitest';
import { COMPONENTS, gather, memory, openTiers, text, valueOf } from '../tiers/tiered-stores.ts';
import { encrypted, ringOf } from './encrypted-stores.ts';

const keys = ringOf(['a']);

async function rawOf(store: KvStore, key: string): Promise<Uint8Array> {
  return (await store.get(key)) as Uint8Array;
}

/** An entry as it was once, put back as a whole. */
async function putBack(
  store: KvStore,
  key: string,
  at: { seq: number; version: number },
  value: Uint8Array,
): Promise<void> {
  await store.del(key);
  await store.put(key, value, { stamp: { seq: at.seq, version: at.version, epoch: 0 } });
}

describe('a value that somebody changed beneath an encrypted store', () => {
  it('is found by every way of reading it, and the keys stay to be seen and deleted', async () => {
    const beneath = memory('beneath');
    const store = encrypted(beneath, keys);
    for (const key of ['a', 'b', 'c']) await store.put(key, text(`value of ${key}`));
    const since = await store.lastChange();
    const changed = Buffer.from(await rawOf(beneath, 'b'));
    changed[changed.length - 20] = (changed.at(-20) as number) ^ 1;
    await beneath.put('b', changed);
    const found = { code: 'CHECKSUM_MISMATCH', details: { key: 'b' } };
    await expect(store.get('b')).rejects.toMatchObject(found);
    await expect(store.getEntry('b')).rejects.toMatchObject(found);
    await expect(store.getMany(['a', 'b'])).rejects.toMatchObject(found);
    await expect(gather(store.values())).rejects.toMatchObject(found);
    await expect(gather(store.iterator())).rejects.toMatchObject(found);
    await expect(gather(store.entries({ reverse: true }))).rejects.toMatchObject(found);
    await expect(store.page({ order: 'key' })).rejects.toMatchObject(found);
    await expect(store.page({ order: 'created' })).rejects.toMatchObject(found);
    await expect(gather(store.watch({ since }))).rejects.toMatchObject(found);
    expect(await gather(store.keys())).toEqual(['a', 'b', 'c']);
    expect(await store.has('b')).toBe(true);
    expect(await gather(store.values({ gt: 'b' }))).toEqual([text('value of c')]);
    await store.del('b');
    expect(await gather(store.values())).toHaveLength(2);
  });

  it('is found when it was moved to another key, or two were swapped', async () => {
    const beneath = memory('beneath');
    const store = encrypted(beneath, keys);
    await store.put('mine', text('1'));
    await store.put('yours', text('1000000'));
    const mine = await rawOf(beneath, 'mine');
    await beneath.put('mine', await rawOf(beneath, 'yours'));
    await beneath.put('yours', mine);
    for (const key of ['mine', 'yours']) {
      await expect(store.get(key)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    }
  });

  it('is found when nobody sealed it: a store that was not encrypted before is not read', async () => {
    const beneath = memory('beneath');
    await beneath.put('plain', text('of before'));
    await beneath.put('long', Buffer.alloc(1_000));
    const store = encrypted(beneath, keys);
    for (const key of ['plain', 'long']) {
      await expect(store.get(key)).rejects.toMatchObject({
        code: 'CHECKSUM_MISMATCH',
        message: expect.stringContaining('not encrypted'),
      });
    }
    await store.put('plain', text('of now'));
    expect(await valueOf(store, 'plain')).toBe('of now');
  });

  it('is found when it is of another version of its key, put with stamps as tiers do', async () => {
    const beneath = memory('beneath');
    const store = encrypted(beneath, keys);
    const stamp = (version: number) => ({ stamp: { seq: 1, version, epoch: 0 } });
    await store.put('key', text('older'), stamp(5));
    const older = await rawOf(beneath, 'key');
    await store.put('key', text('newer'), stamp(8));
    const newer = await rawOf(beneath, 'key');
    await putBack(beneath, 'key', { seq: 1, version: 8 }, older);
    await expect(store.get('key')).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await putBack(beneath, 'key', { seq: 1, version: 9 }, newer);
    await expect(store.get('key')).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await putBack(beneath, 'key', { seq: 1, version: 8 }, newer);
    expect(await valueOf(store, 'key')).toBe('newer');
  });

  it('is not found, as the contract says, when it is older and was put without a stamp', async () => {
    const beneath = memory('beneath');
    const store = encrypted(beneath, keys);
    await store.put('key', text('older'));
    const older = await rawOf(beneath, 'key');
    await store.put('key', text('newer'));
    await beneath.put('key', older);
    expect(await valueOf(store, 'key')).toBe('older');
  });

  it('is found by tiers alone when a whole entry was put back, or taken away', async () => {
    const primary = memory('primary');
    const backup = memory('backup');
    const tiers = await openTiers({
      primary: encrypted(primary, keys),
      backup: encrypted(backup, keys),
      local: memory('local'),
    });
    await tiers.put('key', text('older'));
    await tiers.put('gone', text('1'));
    const older = await primary.getEntry('key');
    await tiers.put('key', text('newer'));
    await putBack(
      primary,
      'key',
      older as { seq: number; version: number },
      older?.value as Uint8Array,
    );
    await primary.del('gone');
    expect(await gather(tiers.verify())).toMatchObject([
      { key: 'gone', kind: 'only-backup' },
      { key: 'key', kind: 'different' },
    ]);
    await tiers.close();
  });
});

describe('a value that rotted in one tier', () => {
  it.each(['primary', 'backup'] as const)('%s is found by tiers, and made whole', async (part) => {
    const raw = { primary: memory('primary'), backup: memory('backup') };
    const tiers = await openTiers({
      primary: encrypted(raw.primary, keys),
      backup: encrypted(raw.backup, keys),
      local: memory('local'),
    });
    for (const key of ['a', 'b', 'c']) await tiers.put(key, text(`value of ${key}`));
    const entry = (await raw[part].getEntry('b')) as KvEntry;
    await putBack(raw[part], 'b', entry, Buffer.from(entry.value).fill(1, 50));
    expect(await gather(tiers.verify())).toMatchObject([{ key: 'b', kind: 'corrupt' }]);
    await tiers.repair();
    expect(await gather(tiers.verify())).toEqual([]);
    expect(await valueOf(tiers, 'b')).toBe('value of b');
    await tiers.close();
  });
});

describe('an encrypted store', () => {
  it('has room for what the store beneath has room for, less what sealing takes', async () => {
    const beneath = openMemoryKvStore(COMPONENTS, { id: 'beneath' });
    const { capabilities } = encrypted(beneath, keys);
    const { maxValueBytes, maxBatchBytes, maxBatchOperations } = beneath.capabilities;
    expect(capabilities).toEqual({
      ...beneath.capabilities,
      maxValueBytes: maxValueBytes - 61,
      maxBatchBytes: maxBatchBytes - 61 * maxBatchOperations,
    });
    const store = encrypted(beneath, keys);
    await expect(store.put('key', Buffer.alloc(maxValueBytes - 60))).rejects.toMatchObject({
      code: 'RECORD_TOO_LARGE',
      message: expect.stringContaining(`limit=${maxValueBytes - 61}`),
    });
  });

  it('and a view of it can do what their store can, when that is known later', () => {
    const beneath = memory('beneath');
    let { capabilities } = beneath;
    const late = new Proxy(beneath, {
      get: (target, name: keyof KvStore) => (name === 'capabilities' ? capabilities : target[name]),
    });
    const store = encrypted(late, keys);
    const view = viewOf(store, 'a/');
    capabilities = { ...capabilities, ttl: false, maxKeyBytes: 100, maxValueBytes: 1_000 };
    expect(store.capabilities).toMatchObject({ ttl: false, maxKeyBytes: 100, maxValueBytes: 939 });
    expect(view.capabilities).toMatchObject({ ttl: false, maxKeyBytes: 98, maxValueBytes: 939 });
    expect(view.capabilities).toBe(view.capabilities);
  });

  it('is another store than the one beneath, for tiers too, and needs a context', async () => {
    const stores = { primary: memory('primary'), local: memory('local') };
    const plain = await openTiers(stores);
    await plain.put('key', text('plain'));
    await plain.close();
    const primary = encrypted(stores.primary, keys);
    expect(primary.id).not.toBe(stores.primary.id);
    await expect(openTiers({ ...stores, primary })).rejects.toMatchObject({ effect: 'none' });
    expect(() => encryptedKvStore({ keys }, stores.primary, { context: '' })).toThrow(
      expect.objectContaining({ code: 'INVALID_SETTINGS' }),
    );
  });
});
