/** The stores of the parts of a tiered store, while it is open. */
import type { EncryptedKvStore, KvStore, TieredKvStore } from '@holdfast/kv';
import { LateKvStore } from './late-kv-store.ts';
import { TIER_PARTS, type TierPart } from './tier-settings.ts';

/** What is open, and who closes it. */
export interface OpenTiers {
  readonly store: TieredKvStore;
  readonly places: OpenPlaces;
}

export class OpenPlaces {
  readonly parts: Partial<Record<TierPart, KvStore>> = {};
  readonly #all: KvStore[] = [];

  keep(store: KvStore): void {
    this.#all.push(store);
  }

  late(part: TierPart): LateKvStore | undefined {
    const store = this.parts[part];
    return store instanceof LateKvStore ? store : undefined;
  }

  /**
   * Those whose values are sealed. @throws for one that is not open: nobody knows what is in it.
   */
  sealed(): readonly (readonly [TierPart, EncryptedKvStore])[] {
    const sealed: [TierPart, EncryptedKvStore][] = [];
    for (const part of TIER_PARTS) {
      const late = this.late(part);
      if (late === undefined) continue;
      if (late.error !== undefined) throw late.error;
      const view = late.opened as Partial<EncryptedKvStore> | undefined;
      if (view?.rewrap !== undefined) sealed.push([part, view as EncryptedKvStore]);
    }
    return sealed;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#all.map((store) => store.close()));
  }
}

export async function closeTiers({ store, places }: OpenTiers): Promise<void> {
  try {
    await store.close();
  } finally {
    await places.close();
  }
}
