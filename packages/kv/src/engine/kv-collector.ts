/**
 * A checkpoint of the entries of one shard: what changed since the last one becomes rows, large
 * values extents, and the rows of what it replaced go.
 *
 * Invariants
 * 1. Everything written in one call is one cut: the state between two applies.
 * 2. Which rows go is known from `resting`, the facts of the entry at the last checkpoint.
 */
import type { CollectingShard } from '@holdfast/database';
import type { AppliedEntry, KeyState } from './key-state.ts';
import type { KvGraves } from './kv-graves.ts';
import type { StoredFacts } from './kv-operations.ts';
import {
  createdRowKey,
  encodeEntryRow,
  encodeValueRow,
  entryRowKey,
  expiryRowKey,
  MARK,
  valueRowKey,
} from './kv-rows.ts';

export function collectEntry(shard: CollectingShard, graves: KvGraves, state: KeyState): void {
  const { resting, applied } = state;
  if (resting !== undefined) removeRows(shard, graves, state, resting, applied?.facts);
  if (applied !== undefined) writeRows(shard, state, applied, resting);
  else if (resting !== undefined) shard.delete(entryRowKey(state.store, state.key));
}

function removeRows(
  shard: CollectingShard,
  graves: KvGraves,
  { store, key }: KeyState,
  old: StoredFacts,
  next: StoredFacts | undefined,
): void {
  if (old.seq !== next?.seq) shard.delete(createdRowKey(store, old.seq, key));
  if (old.expiresAtMs !== undefined && old.expiresAtMs !== next?.expiresAtMs) {
    shard.delete(expiryRowKey(old.expiresAtMs, store, key));
  }
  if (old.extent) graves.bury(shard, valueRowKey(store, old.change, key));
}

function writeRows(
  shard: CollectingShard,
  { store, key }: KeyState,
  { facts, value }: AppliedEntry,
  old: StoredFacts | undefined,
): void {
  shard.put(entryRowKey(store, key), encodeEntryRow(facts, value));
  if (facts.seq !== old?.seq) shard.put(createdRowKey(store, facts.seq, key), MARK);
  const { expiresAtMs } = facts;
  if (expiresAtMs !== undefined && expiresAtMs !== old?.expiresAtMs) {
    shard.put(expiryRowKey(expiresAtMs, store, key), MARK);
  }
  if (!facts.extent) return;
  const owner = valueRowKey(store, facts.change, key);
  shard.put(owner, encodeValueRow(shard.writeExtent(owner, [value])));
}
