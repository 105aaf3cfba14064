/** Repairs meet writes that failed in part, and what is owed is brought while they compare. */
import { sleep } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { gather, text, valueOf } from './tiered-stores.ts';
import { keysIn, world } from './tier-world.ts';

describe('a repair', () => {
  it(
    'brings nothing back that was deleted since it looked, by a delete that the backup got later',
    world(async (tiers) => {
      const store = await tiers.open();
      for (const key of ['a', 'm', 'z']) await store.put(key, text(key));
      await tiers.stores.backup.inner.del('a');
      const repaired = store.repair({ rate: 1 });
      await sleep(tiers.clock, 1_500);
      tiers.stores.backup.fail('error-before');
      await expect(store.del('a')).rejects.toMatchObject({ code: 'PARTIAL_WRITE' });
      tiers.stores.backup.heal();
      await store.drain();
      await repaired;
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['m', 'z']);
      expect(await gather(store.verify())).toEqual([]);
      await store.close();
    }),
  );

  it(
    'puts nothing older over what the primary got later',
    world(async (tiers) => {
      const store = await tiers.open();
      for (const key of ['a', 'm', 'z']) await store.put(key, text('old'));
      tiers.stores.primary.fail('full');
      await expect(store.put('a', text('new'))).rejects.toMatchObject({ code: 'PARTIAL_WRITE' });
      const repaired = store.repair({ rate: 1, direction: 'primary-wins' });
      await sleep(tiers.clock, 1_500);
      tiers.stores.primary.heal();
      await store.drain();
      await repaired;
      expect(await valueOf(tiers.stores.primary.inner, 'a')).toBe('new');
      expect(await valueOf(tiers.stores.backup.inner, 'a')).toBe('new');
      await store.close();
    }),
  );

  it(
    'mends a key of which a write failed meanwhile and changed nothing',
    world(async (tiers) => {
      const store = await tiers.open();
      for (const key of ['a', 'm', 'z']) await store.put(key, text(key));
      await tiers.stores.backup.inner.del('a');
      const repaired = store.repair({ rate: 1 });
      await sleep(tiers.clock, 1_500);
      tiers.stores.primary.fail('full');
      tiers.stores.backup.fail('full');
      await expect(store.put('a', text('new'))).rejects.toMatchObject({ code: 'DISK_FULL' });
      tiers.stores.primary.heal();
      tiers.stores.backup.heal();
      await repaired;
      expect(await valueOf(tiers.stores.backup.inner, 'a')).toBe('a');
      await store.close();
    }),
  );

  it(
    'takes no backup for right that lacks entries',
    world(async (tiers) => {
      const store = await tiers.open({}, { backup: undefined });
      await store.put('a', text('a'));
      await store.close();
      tiers.stores.backup.fail('error-before');
      const behind = await tiers.open();
      expect(behind.status().tiers.backup?.behind).toBe(true);
      tiers.stores.backup.heal();
      await expect(behind.repair({ direction: 'backup-wins' })).rejects.toMatchObject({
        code: 'TIER_MISMATCH',
      });
      expect(await valueOf(behind, 'a')).toBe('a');
      await behind.repair();
      await tiers.stores.backup.inner.clear({ prefix: 'a' });
      await expect(behind.repair({ direction: 'backup-wins' })).rejects.toMatchObject({
        code: 'TIER_MISMATCH',
      });
      expect(await valueOf(behind, 'a')).toBe('a');
      await behind.close();
    }),
  );
});
