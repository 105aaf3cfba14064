/**
 * Names of the stores that hold an entry, by looking at a few rows of each: whatever the number of
 * entries, a store costs one look into each shard.
 *
 * In the order of the rows: shorter names first, then by their bytes. A store that held an entry all
 * the time is given once; of others it may be so or not.
 */
import type { ShardId } from '@holdfast/core';
import { type EngineHost, prefixRange } from '@holdfast/database';
import { isExpired } from '../decide-write.ts';
import type { KeyState } from './key-state.ts';
import { decodeEntryRow, ENTRY_ROWS, nameOfRow, storeRows } from './kv-rows.ts';
import type { StoreKeys } from './store-keys.ts';

export interface NamedStores {
  readonly host: EngineHost;
  /** What memory knows of. */
  readonly stores: ReadonlyMap<string, StoreKeys>;
  readonly now: () => number;
}

export async function* storeNames(
  around: NamedStores,
  after: string | undefined,
): AsyncGenerator<string, void, undefined> {
  const recent = recentNames(around).filter((name) => after === undefined || isBelow(after, name));
  const { shardCount } = around.host;
  const ids = Array.from({ length: shardCount }, (_, id) => id as ShardId);
  const heads = await Promise.all(ids.map((id) => firstName(around, id, after)));
  for (;;) {
    const found = [recent[0], ...heads].filter((name) => name !== undefined);
    const [least] = found.toSorted(inOrder);
    if (least === undefined) return;
    yield least;
    if (recent[0] === least) recent.shift();
    await Promise.all(
      ids.map(async (id) => {
        if (heads[id] === least) heads[id] = await firstName(around, id, least);
      }),
    );
  }
}

/** Of stores with an entry that no row says yet. */
function recentNames({ stores, now }: NamedStores): string[] {
  const names: string[] = [];
  for (const [name, { byKey }] of stores) {
    let key = byKey.firstAtOrAbove('');
    while (key !== undefined && !isHeld(byKey.get(key), now())) {
      key = byKey.firstAtOrAbove(`${key}\0`);
    }
    if (key !== undefined) names.push(name);
  }
  return names.toSorted(inOrder);
}

/** The store of the first entry of a shard in a store behind `after`. */
async function firstName(
  { host, stores, now }: NamedStores,
  id: ShardId,
  after: string | undefined,
): Promise<string | undefined> {
  const all = prefixRange(ENTRY_ROWS);
  const behind = after === undefined ? undefined : prefixRange(storeRows('entry', after)).to;
  const range = behind === undefined ? all : { ...all, from: behind };
  for await (const row of host.shard(id).scan(range)) {
    const { store, key } = nameOfRow(row.key);
    const state = stores.get(store)?.get(key);
    const held =
      state?.dirty === true
        ? isHeld(state, now())
        : !isExpired(decodeEntryRow(row.value).facts, now());
    if (held) return store;
  }
  return undefined;
}

function isHeld(state: KeyState | undefined, now: number): boolean {
  return state?.applied !== undefined && !isExpired(state.applied.facts, now);
}

function inOrder(a: string, b: string): number {
  return a === b ? 0 : isBelow(a, b) ? -1 : 1;
}

/** Names are ASCII: their texts compare as their bytes do. */
function isBelow(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length;
}
