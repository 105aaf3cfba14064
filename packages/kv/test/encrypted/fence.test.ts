/** A store that can be taken over can be so when it is encrypted too: tiers need it. */
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import { openS3KvStore } from '@holdfast/kv/backends/s3';
import type { KvStore } from '@holdfast/kv';
import { MemoryObjectStore } from '@holdfast/objects';
import { describe, expect, it } from 'vitest';
import { removeScratch, scratch } from '../backends/servers.ts';
import { COMPONENTS, memory, openTiers, text, valueOf } from '../tiers/tiered-stores.ts';
import { encrypted } from './encrypted-stores.ts';

describe('the fence of an encrypted store', () => {
  it('is that of the store beneath, and memory has none', async () => {
    const directory = scratch();
    const store = await openLmdbKvStore(COMPONENTS, { id: 'lmdb', directory });
    const view = encrypted(store);
    expect(view.fence).toBe(store.fence);
    await view.fence.claim(3);
    await view.put('key', text('1'));
    expect((await view.getEntry('key'))?.epoch).toBe(3);
    expect('fence' in encrypted(memory('memory'))).toBe(false);
    await store.close();
    removeScratch(directory);
  });

  it.each([true, false])(
    'lets a second tiered store take over; the fence is of the store: %s',
    async (isFenced) => {
      const objects = new MemoryObjectStore(COMPONENTS);
      const records = memory('memory');
      const open = async (): Promise<KvStore> =>
        encrypted(
          isFenced ? await openS3KvStore({ ...COMPONENTS, objects }, { id: 'objects' }) : records,
        );
      const first = await openTiers({ primary: await open(), local: memory('local') });
      await first.put('key', text('first'));
      const second = await openTiers(
        { primary: await open(), local: memory('other') },
        { takeOver: true },
      );
      await second.put('key', text('second'));
      await expect(first.put('key', text('late'))).rejects.toMatchObject({ code: 'FENCED' });
      expect(await valueOf(second, 'key')).toBe('second');
      await first.close();
      await second.close();
    },
  );
});
