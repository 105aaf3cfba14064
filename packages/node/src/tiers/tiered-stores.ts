/**
 * The stores of a node, with tiers where the settings say so: the others are the engine's.
 *
 * Invariants
 * 1. Names of tiered stores are kept in the engine, before anything is written to their tiers. One
 *    whose tiers are not in the settings any more is refused, and never served from what the engine
 *    happens to have of it.
 * 2. The node starts whatever the tiers do; see `TierSlot`.
 * 3. Tiers end before the engine does.
 *
 * Owner: the node.
 */
import { type Clock, HoldfastError, LIMITS } from '@holdfast/core';
import { type KvStore, openMemoryKvStore } from '@holdfast/kv';
import type { KvStores, KvStoresOptions, KvStoreSummary } from '../kv/kv-stores.ts';
import type { TierPlaceComponents } from './tier-places.ts';
import type { StoreTiers } from './tier-settings.ts';
import { TierSlot, type TierSlotComponents } from './tier-slot.ts';
import { problemOf, type TieredStoreStatus, type TiersHealth, tiersHealth } from './tier-status.ts';
import { ForwardingKvStore } from './forwarding-kv-store.ts';

export interface TieredStoresComponents extends TierPlaceComponents {
  readonly clock: Clock;
  readonly logger: TierSlotComponents['logger'];
  /** Of the engine. */
  readonly engine: KvStores;
  /** Which copy the database of the engine is, if it was restored. */
  readonly copyId: string | undefined;
}

/** The engine's store in which the names of tiered stores are. */
const NAMES_STORE = '_tiers';

export class TieredStores implements KvStores {
  readonly #engine: KvStores;
  readonly #names: KvStore;
  readonly #slots = new Map<string, TierSlot>();
  /** I1. */
  readonly #orphans = new Map<string, HoldfastError>();
  readonly #memory = new Map<string, KvStore>();
  #closing: Promise<void> | undefined;

  private constructor(components: TieredStoresComponents, tiers: readonly StoreTiers[]) {
    const { engine } = components;
    this.#engine = engine;
    this.#names = engine.store(NAMES_STORE);
    const parts: TierSlotComponents = {
      ...components,
      engineStore: (name) => engine.store(name),
      memoryStore: (key) => this.#memoryStore(components, key),
      remember: (name) => this.#remember(name),
    };
    for (const one of tiers) this.#slots.set(one.name, new TierSlot(parts, one));
  }

  /** Waits for them a little; whatever is not open then is opened in the background. */
  static async open(
    components: TieredStoresComponents,
    tiers: readonly StoreTiers[],
  ): Promise<TieredStores> {
    const stores = new TieredStores(components, tiers);
    for await (const name of stores.#names.keys()) {
      if (!stores.#slots.has(name)) stores.#orphans.set(name, orphanError(name));
    }
    const slots = [...stores.#slots.values()];
    for (const slot of slots) slot.start();
    const tried = Promise.all(slots.map((slot) => slot.turns.idle()));
    await within(components.clock, tried, LIMITS.tieredStartMs);
    return stores;
  }

  store(name: string): KvStore {
    const slot = this.#slots.get(name);
    if (slot !== undefined) return slot.handle();
    const store = this.#engine.store(name);
    const orphan = this.#orphans.get(name);
    if (orphan === undefined) return store;
    return new ForwardingKvStore({
      id: name,
      capabilities: () => store.capabilities,
      target: () => {
        throw orphan;
      },
      close: () => store.close(),
    });
  }

  /** Of the engine, and those with tiers, in one order. */
  async *stores(options: KvStoresOptions = {}): AsyncGenerator<KvStoreSummary, void, undefined> {
    const { after } = options;
    const tiered = [...this.#slots.keys()]
      .filter((name) => after === undefined || isBefore(after, name))
      .toSorted((one, other) => (isBefore(one, other) ? -1 : 1));
    for await (const store of this.#engine.stores(options)) {
      while (tiered[0] !== undefined && isBefore(tiered[0], store.name)) {
        yield { name: tiered.shift() as string };
      }
      if (tiered[0] === store.name) tiered.shift();
      yield store;
    }
    for (const name of tiered) yield { name };
  }

  /** @throws `TIERS_NOT_CONFIGURED` */
  slot(name: string): TierSlot {
    const slot = this.#slots.get(name);
    if (slot !== undefined) return slot;
    const orphan = this.#orphans.get(name);
    if (orphan !== undefined) throw orphan;
    throw new HoldfastError(
      'TIERS_NOT_CONFIGURED',
      'no tiers are in the settings for a store of this name',
    );
  }

  /** Who has this place already. */
  userOf(placeId: string): string | undefined {
    for (const { name, locations } of this.#slots.values()) {
      const ids = Object.values(locations).map((location) => location?.id);
      if (ids.includes(placeId)) return name;
    }
    return undefined;
  }

  /**
   * How many values rest outside the node under each key, by its id.
   * @throws when a place cannot be asked.
   */
  async keysInUse(): Promise<ReadonlyMap<number, number>> {
    const counts = new Map<number, number>();
    for (const slot of this.#slots.values()) {
      if (!slot.isSealed) continue;
      slot.assertOpen();
      for (const [, place] of slot.opened?.places.sealed() ?? []) {
        const signal = slot.signal;
        for (const [id, count] of await place.keysInUse({ signal })) {
          counts.set(id, (counts.get(id) ?? 0) + count);
        }
      }
    }
    return counts;
  }

  status(): readonly TieredStoreStatus[] {
    const orphans = [...this.#orphans].map(([name, error]): TieredStoreStatus => {
      const problem = problemOf(error, name);
      return { name, state: 'refused', problem, tiers: {}, fenced: false };
    });
    return [...[...this.#slots.values()].map((slot) => slot.status()), ...orphans];
  }

  /** `undefined`: there are no tiers. */
  health(): TiersHealth | undefined {
    const all = this.status();
    return all.length === 0 ? undefined : tiersHealth(all);
  }

  /** I3. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled([...this.#slots.values()].map((slot) => slot.close()));
    for (const store of this.#memory.values()) await store.close();
    await this.#engine.close();
  }

  async #remember(name: string): Promise<void> {
    if (!(await this.#names.has(name))) await this.#names.put(name, new Uint8Array(0));
  }

  /** What closes its part of it gets the same entries when it opens again. */
  #memoryStore(components: { readonly clock: Clock }, key: string): KvStore {
    let store = this.#memory.get(key);
    if (store === undefined) {
      store = openMemoryKvStore(components, { id: `memory:${key}` });
      this.#memory.set(key, store);
    }
    const kept = store;
    return new ForwardingKvStore({
      id: kept.id,
      capabilities: () => kept.capabilities,
      target: () => kept,
      close: async () => undefined,
    });
  }
}

/** Resolves when `work` is done, or after this time. */
function within(clock: Clock, work: Promise<unknown>, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(delayMs, resolve);
    void work.finally(() => {
      timer.cancel();
      resolve();
    });
  });
}

function orphanError(name: string): HoldfastError {
  return new HoldfastError(
    'TIER_MISMATCH',
    `the tiers of the store are not in the settings any more: nothing else knows where its ` +
      `entries are setting=tiers.${name}`,
  );
}

/** Shorter names first, then by their bytes. */
function isBefore(one: string, other: string): boolean {
  return one.length === other.length ? one < other : one.length < other.length;
}
