/** The tiered stores of a node that is being opened: its settings, and its keys around every place. */
import { type KeyRing, NodeFileSystem } from '@holdfast/core';
import type { KeyHolder } from '@holdfast/database';
import { encryptedKvStore, type FencedKvStore } from '@holdfast/kv';
import type { NodeSecrets } from '../backup-settings.ts';
import type { NodeSettings } from '../settings.ts';
import { parseTiers } from './tier-settings.ts';
import { TieredStores, type TieredStoresComponents } from './tiered-stores.ts';

export interface OpenTiersParts extends Omit<TieredStoresComponents, 'seal' | 'copyId'> {
  /** Absent: nothing is sealed. */
  readonly keys: KeyRing | undefined;
  /** Gives no key up that a place needs. */
  readonly database: {
    readonly copyId: string | undefined;
    addKeyHolder(name: string, holder: KeyHolder): void;
  };
}

/** Whatever the tiers do: see `TieredStores`. */
export async function openTiers(
  { tiers }: Partial<Pick<NodeSecrets, 'tiers'>>,
  settings: NodeSettings,
  { keys, database, ...components }: OpenTiersParts,
): Promise<TieredStores> {
  const seal =
    keys === undefined
      ? undefined
      : (store: FencedKvStore, name: string): FencedKvStore => sealed(keys, store, name);
  const { copyId } = database;
  // Folders of places are on the disk, also where the node itself is in memory.
  const fileSystem = settings.memory ? new NodeFileSystem() : components.fileSystem;
  const parts = { ...components, fileSystem, seal, copyId };
  const stores = await TieredStores.open(parts, parseTiers(tiers, settings));
  database.addKeyHolder('tiers', () => stores.keysInUse());
  return stores;
}

/** Whoever closes the view closes the place. */
function sealed(keys: KeyRing, store: FencedKvStore, name: string): FencedKvStore {
  const view = encryptedKvStore({ keys }, store, { context: `tiers/${name}` });
  const close = view.close.bind(view);
  view.close = async (): Promise<void> => {
    await close();
    await store.close();
  };
  return view;
}
