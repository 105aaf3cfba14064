/** What tests of tiers need again and again. */
import { NodeClock, NodeRandom } from '@holdfast/core';
import {
  type KvStore,
  openMemoryKvStore,
  openTieredKvStore,
  type TieredKvStore,
  type TieredSettings,
  type TierStores,
} from '@holdfast/kv';

export const COMPONENTS = { clock: new NodeClock(), random: new NodeRandom() };

export function memory(id: string): KvStore {
  return openMemoryKvStore(COMPONENTS, { id });
}

/** A primary, a backup, an ephemeral and a local store, all in memory. */
export function memories(): Required<TierStores> & Record<keyof TierStores, KvStore> {
  return {
    primary: memory('primary'),
    backup: memory('backup'),
    ephemeral: memory('ephemeral'),
    local: memory('local'),
  };
}

export const QUICK: Pick<TieredSettings, 'id' | 'retry' | 'callTimeoutMs'> = {
  id: 'tiered',
  retry: { deadlineMs: 30, baseMs: 2, maxMs: 10 },
  callTimeoutMs: 1_500,
};

export function openTiers(
  stores: TierStores,
  settings: Partial<TieredSettings> = {},
): Promise<TieredKvStore> {
  return openTieredKvStore(COMPONENTS, stores, { ...QUICK, ...settings });
}

export const text = (value: string): Buffer => Buffer.from(value);

export async function valueOf(store: KvStore, key: string): Promise<string | undefined> {
  const value = await store.get(key);
  return value === undefined ? undefined : Buffer.from(value).toString();
}

export async function gather<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}
