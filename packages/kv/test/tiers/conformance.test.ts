import { namespaced, type KvStore, type TierStores } from '@holdfast/kv';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { describe, it } from 'vitest';
import { memories, openTiers } from './tiered-stores.ts';

const unsupported = { reopen: 'memory is gone with its store' };

const ODD = { id: 'odd-length', matches: (key: string): boolean => key.length % 2 === 1 };

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
