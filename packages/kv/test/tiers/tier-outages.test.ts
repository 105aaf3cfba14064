/** What is away for long, or for good, holds up nothing that needs it not. */
import { HoldfastError, onCut, sleep } from '@holdfast/core';
import { readTierMemory } from '@holdfast/kv';
import { describe, expect, it, vi } from 'vitest';
import { Outbox } from '../../src/tiers/outbox.ts';
import { gather, text, valueOf } from './tiered-stores.ts';
import { keysIn, world } from './tier-world.ts';

const CACHE = { rules: [{ prefix: 'cache/' }] };

describe('an ephemeral tier that is away', () => {
  it(
    'keeps no store from opening, also with bounds; they hold once it is back',
    world(async (tiers) => {
      const store = await tiers.open(CACHE);
      for (const key of ['cache/a', 'cache/b', 'cache/c']) await store.put(key, text(key));
      await store.close();
      tiers.stores.ephemeral.fail('error-before');
      const again = await tiers.open({ ...CACHE, ephemeralLimits: { maxEntries: 2 } });
      await again.put('a', text('b'));
      expect(await valueOf(again, 'a')).toBe('b');
      await expect(again.get('cache/a')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
      tiers.stores.ephemeral.heal();
      await sleep(tiers.clock, 60_000);
      await again.flush();
      expect(await keysIn(tiers.stores.ephemeral.inner)).toEqual(['cache/b', 'cache/c']);
      await again.close();
    }),
  );
});

describe('a backup that is away', () => {
  it(
    'costs a write nothing that grows with what is owed',
    world(async (tiers) => {
      const store = await tiers.open({ backupMode: 'async' });
      tiers.stores.backup.fail('error-before');
      for (let at = 0; at < 20; at++) await store.put(`a${at}`, text('b'));
      await sleep(tiers.clock, 30_000); // the next try is far away
      const walks = vi.spyOn(Outbox.prototype, 'all');
      for (let at = 0; at < 20; at++) await store.put(`b${at}`, text('b'));
      // A try of the backup itself may come in between.
      expect(walks.mock.calls.length).toBeLessThan(5);
      walks.mockRestore();
      expect(store.status().tiers).toMatchObject({
        primary: { owedOperations: 0 },
        backup: { owedOperations: 40 },
      });
      tiers.stores.backup.heal();
      await store.drain();
      expect(store.status().tiers.backup?.owedOperations).toBe(0);
      await store.close();
    }),
  );
});

describe('a backup that comes late', () => {
  it(
    'and is that of another store is not touched',
    world(async (tiers) => {
      const theirs = { primary: tiers.store('theirs'), local: tiers.store('their local') };
      const other = await tiers.open({ id: 'another' }, theirs);
      await other.put('b', text('c'));
      await other.close();
      tiers.stores.backup.fail('error-before');
      const store = await tiers.open();
      await store.put('a', text('b'));
      const before = await keysIn(tiers.stores.backup.inner);
      const marks = await gather(tiers.stores.backup.inner.entries({ prefix: '_holdfast' }));
      tiers.stores.backup.heal();
      await sleep(tiers.clock, 120_000);
      expect(store.status().tiers.backup?.behind).toBe(true);
      await expect(store.repair()).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(before);
      expect(await gather(tiers.stores.backup.inner.entries({ prefix: '_holdfast' }))).toEqual(
        marks,
      );
      await store.close();
    }),
  );
});

describe('a writer that was taken over', () => {
  it(
    'is not waited for: what it owes it brings nowhere any more',
    world(async (tiers) => {
      const store = await tiers.open({ backupMode: 'async' });
      tiers.stores.backup.fail('error-before');
      await store.put('a', text('b'));
      const other = await tiers.open(
        { takeOver: true },
        { local: tiers.store('another'), backup: undefined },
      );
      await other.close();
      await expect(store.put('z', text('c'))).rejects.toMatchObject({ code: 'FENCED' });
      await expect(store.drain()).rejects.toMatchObject({ code: 'FENCED' });
      await store.close();
    }),
  );
});

describe('a primary that is gone', () => {
  it(
    'is left although writes wait for room in what it is owed',
    world(async (tiers) => {
      const settings = { maxOwedOperations: 1, onOwedLimit: 'block', retry: false } as const;
      const store = await tiers.open(settings);
      await store.put('a', text('1'));
      tiers.stores.primary.fail('full');
      await expect(store.put('b', text('1'))).rejects.toMatchObject({ code: 'PARTIAL_WRITE' });
      const blocked = store.put('c', text('1'));
      blocked.catch(() => undefined);
      await store.promote();
      await expect(blocked).rejects.toMatchObject({ code: 'LAG_LIMIT' });
      expect(await valueOf(store, 'b')).toBe('1');
      await store.put('c', text('2'));
      await store.close();
    }),
  );
});

describe('what a store knows of itself', () => {
  it(
    'is what its local store took, also when that failed once',
    world(async (tiers) => {
      const store = await tiers.open({ retry: false });
      await store.put('a', text('b'));
      const forget = onCut((name) => {
        if (name === 'tiers.promoted') tiers.stores.local.fail('error-before');
      });
      await expect(store.promote()).rejects.toBeInstanceOf(HoldfastError);
      forget();
      tiers.stores.local.heal();
      await store.put('c', text('d'));
      await store.repair(); // writes down how things are
      await store.close();
      const again = await tiers.open();
      expect(await valueOf(again, 'c')).toBe('d');
      await again.close();
    }),
  );
});

describe('a migration', () => {
  it.each([1, Infinity])(
    'of which nobody knows whether it ended loses no write that came after it, %s answers lost',
    async (lost) => {
      await world(async (tiers) => {
        const { primary, local } = tiers.stores;
        const store = await tiers.open({ retry: false }, { backup: undefined });
        await store.put('a', text('b'));
        const to = tiers.store('target');
        const forget = onCut((name) => {
          if (name === 'tiers.migrated') local.fail('error-after', lost);
        });
        await expect(gather(store.migrate({ to }))).rejects.toBeInstanceOf(HoldfastError);
        forget();
        const taken = await store.put('c', text('d')).then(
          () => true,
          () => false,
        );
        // The process ends here: nothing is written down any more.
        local.heal();
        const { primaryId } = await readTierMemory(local.inner);
        const stores = { primary: primaryId === to.id ? to : primary, backup: undefined };
        const again = await tiers.open({}, stores);
        expect(await valueOf(again, 'a')).toBe('b');
        expect((await valueOf(again, 'c')) === 'd').toBe(taken);
        await again.close();
        await store.close().catch(() => undefined);
      })();
    },
  );
});

describe('rules that changed', () => {
  it(
    'move entries that are larger together than one batch may be',
    world(async (tiers) => {
      const store = await tiers.open({}, { ephemeral: tiers.stores.ephemeral });
      const value = Buffer.alloc(1_000_000, 1);
      for (let at = 0; at < 20; at++) await store.put(`cache/${at}`, value);
      await store.close();
      const moved = await tiers.open({ ...CACHE, onRulesChange: 'migrate' });
      expect(await keysIn(tiers.stores.ephemeral.inner)).toHaveLength(20);
      expect(await keysIn(tiers.stores.primary.inner)).toHaveLength(0);
      await moved.close();
    }),
  );
});
