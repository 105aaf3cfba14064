import { MemoryFileSystem } from '@holdfast/core';
import {
  type KvEngine,
  type KvStore,
  namespaced,
  type TieredKvStore,
  type TierStores,
} from '@holdfast/kv';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import { openS3KvStore } from '@holdfast/kv/backends/s3';
import { MemoryObjectStore } from '@holdfast/objects';
import { describe, it } from 'vitest';
import { briefly, removeScratch, scratch } from '../backends/servers.ts';
import { EngineLife } from '../engine-life.ts';
import { COMPONENTS, memories, openTiers as openQuickly } from './tiered-stores.ts';

const ENGINE = { purgeIntervalMs: 20, purgeStartGraceMs: 0 };

const unsupported = { reopen: 'memory is gone with its store' };

const ODD = { id: 'odd-length', matches: (key: string): boolean => key.length % 2 === 1 };

/** No call of these is to be given up, however busy the machine is. */
const openTiers: typeof openQuickly = (stores, settings) =>
  openQuickly(stores, { callTimeoutMs: 60_000, ...settings });

function pair(): TierStores {
  const { primary, backup, local } = memories();
  return { primary, backup, local };
}

describe('tiers over memory and memory, sync', () => {
  kvStoreConformance({ it, open: async () => ({ store: await openTiers(pair()) }), unsupported });
});

describe('tiers over memory and memory, async', () => {
  kvStoreConformance({
    it,
    open: async () => ({ store: await openTiers(pair(), { backupMode: 'async' }) }),
    unsupported,
  });
});

describe('tiers with an ephemeral one, which has a part of the keys', () => {
  kvStoreConformance({
    it,
    open: async () => ({
      store: await openTiers(memories(), {
        rules: [{ glob: '**2' }, { glob: 'k*5' }, { prefix: 'b' }, ODD],
      }),
    }),
    unsupported,
  });
});

describe('a namespace of tiers', () => {
  kvStoreConformance({
    it,
    open: async (): Promise<{ store: KvStore }> => ({
      store: namespaced(await openTiers(memories(), { rules: [{ prefix: 'cache/' }] }), 'a', 'b'),
    }),
    unsupported: { ...unsupported, anyText: 'names are narrow' },
  });
});

describe.each(['sync', 'async'] as const)('tiers over engine and engine, %s', (backupMode) => {
  kvStoreConformance({
    it,
    open: async () => {
      const disks = [new MemoryFileSystem(), new MemoryFileSystem()];
      const start = (): Promise<EngineLife[]> =>
        Promise.all(
          disks.map((fileSystem) => EngineLife.open({ ...COMPONENTS, fileSystem }, {}, ENGINE)),
        );
      let lives = await start();
      const over = (): Promise<TieredKvStore> => {
        const [one, other] = lives.map(({ engine }) => engine) as [KvEngine, KvEngine];
        return openTiers(
          {
            primary: one.store('main'),
            ephemeral: one.store('cache'),
            local: one.store('local'),
            backup: other.store('copy'),
          },
          { backupMode, rules: [{ glob: '*e' }] },
        );
      };
      const end = async (): Promise<void> => {
        for (const life of lives) await life.close();
      };
      let tiers = await over();
      return {
        store: tiers,
        reopen: async () => {
          await tiers.close();
          await end();
          lives = await start();
          tiers = await over();
          return tiers;
        },
        close: end,
      };
    },
  });
});

describe('tiers over objects, which have no batches, and LMDB', () => {
  kvStoreConformance({
    it: briefly,
    unsupported: {
      atomicBatch: 'each entry of the primary is an object of its own',
      watch: 'what goes by itself in an object store is not told',
    },
    open: async () => {
      const directory = scratch();
      const objects = new MemoryObjectStore(COMPONENTS);
      const start = (): Promise<readonly [KvStore, KvStore, KvStore]> =>
        Promise.all([
          openS3KvStore({ ...COMPONENTS, objects }, { id: 'objects' }),
          openLmdbKvStore(COMPONENTS, { id: 'copy', directory: `${directory}/copy` }),
          openLmdbKvStore(COMPONENTS, { id: 'local', directory: `${directory}/local` }),
        ]);
      let stores = await start();
      const over = (): Promise<TieredKvStore> => {
        const [primary, backup, local] = stores;
        return openTiers({ primary, backup, local });
      };
      const end = async (): Promise<void> => {
        for (const store of stores) await store.close();
      };
      let tiers = await over();
      return {
        store: tiers,
        reopen: async () => {
          await tiers.close();
          await end();
          stores = await start();
          tiers = await over();
          return tiers;
        },
        close: async () => {
          await end();
          removeScratch(directory);
        },
      };
    },
  });
});
