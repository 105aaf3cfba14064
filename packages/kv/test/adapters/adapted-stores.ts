/** The stores that the public suites run over. */
import { MemoryFileSystem } from '@holdfast/core';
import { type KvKeyRule, type KvStore, openMemoryKvStore, viewOf } from '@holdfast/kv';
import { encrypted } from '../encrypted/encrypted-stores.ts';
import { EngineLife } from '../engine-life.ts';
import { COMPONENTS, memories, openTiers } from '../tiers/tiered-stores.ts';

export interface AdaptedStore {
  readonly title: string;
  readonly open: () => Promise<{ store: KvStore; close: () => Promise<void> }>;
}

/** The text of namespaces, longer. */
const NARROW: KvKeyRule = {
  anyText: false,
  maxKeyBytes: 1_000,
  assert: (key) => {
    if (!/^[\w-]+$/.test(key)) throw new Error(`not narrow: ${key}`);
  },
};

function within(store: KvStore): { store: KvStore; close: () => Promise<void> } {
  return { store, close: () => store.close() };
}

export const ADAPTED_STORES: readonly AdaptedStore[] = [
  {
    title: 'memory',
    open: async () => within(openMemoryKvStore(COMPONENTS, { id: 'memory' })),
  },
  {
    title: 'the engine',
    open: async () => {
      const life = await EngineLife.open({ ...COMPONENTS, fileSystem: new MemoryFileSystem() });
      return { store: life.engine.store('main'), close: () => life.close() };
    },
  },
  {
    title: 'tiers',
    open: async () => {
      const odd = { id: 'odd', matches: (key: string): boolean => key.length % 2 === 1 };
      return within(await openTiers(memories(), { rules: [odd] }));
    },
  },
  {
    title: 'a narrow view of tiers',
    open: async () => {
      const tiers = await openTiers(memories(), { backupMode: 'async' });
      return { store: viewOf(tiers, 'level/', NARROW), close: () => tiers.close() };
    },
  },
  {
    title: 'an encrypted store',
    open: async () => within(encrypted(openMemoryKvStore(COMPONENTS, { id: 'memory' }))),
  },
  {
    title: 'tiers, all of them encrypted',
    open: async () => {
      const { primary, backup, local } = memories();
      return within(
        await openTiers({ primary: encrypted(primary), backup: encrypted(backup), local }),
      );
    },
  },
];
