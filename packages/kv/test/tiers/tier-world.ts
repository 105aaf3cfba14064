/** Tiers in memory on a simulated clock, each of which may fail. */
import {
  type KvStore,
  openMemoryKvStore,
  openTieredKvStore,
  type TieredKvStore,
  type TieredSettings,
  type TierStores,
} from '@holdfast/kv';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { FaultyStore } from './faulty-store.ts';

type Names = 'primary' | 'backup' | 'ephemeral' | 'local';

export class TierWorld {
  readonly clock: SimClock;
  readonly random: SeededRandom;
  readonly stores: Record<Names, FaultyStore>;

  constructor(seed = 1) {
    this.random = new SeededRandom(seed);
    this.clock = new SimClock(new SeededRandom(seed + 1));
    this.stores = {
      primary: this.store('primary'),
      backup: this.store('backup'),
      ephemeral: this.store('ephemeral'),
      local: this.store('local'),
    };
  }

  store(id: string): FaultyStore {
    return new FaultyStore(this.clock, openMemoryKvStore(this, { id }));
  }

  open(
    settings: Partial<TieredSettings> = {},
    stores: Partial<TierStores> = {},
  ): Promise<TieredKvStore> {
    const { primary, backup, local, ephemeral } = this.stores;
    const rules = settings.rules ?? [];
    const all = {
      primary,
      backup,
      local,
      ...(rules.length > 0 ? { ephemeral } : {}),
      ...stores,
    };
    return openTieredKvStore(this, all, {
      id: 'tiered',
      retry: { deadlineMs: 200, baseMs: 10, maxMs: 50 },
      callTimeoutMs: 100,
      ...settings,
    });
  }

  /** Time passes as it is needed. */
  run<Result>(test: (world: TierWorld) => Promise<Result>): Promise<Result> {
    return this.clock.run(test(this));
  }
}

/** The keys of a store but its own. */
export async function keysIn(store: KvStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.keys()) if (!key.startsWith('_holdfast')) keys.push(key);
  return keys;
}

export function world(test: (world: TierWorld) => Promise<void>, seed = 1): () => Promise<void> {
  return () => new TierWorld(seed).run(test);
}
