/** The rows of an engine, looked at from outside. */
import type { ShardId } from '@holdfast/core';
import { type Database, decodeExtentRef, prefixRange } from '@holdfast/database';
import type { KvStore } from '../src/index.ts';
import { decodeEntryRow, identityOfRow } from '../src/engine/kv-rows.ts';

/** How many rows there are of each kind; throws for one in a shard that is not its own. */
export async function countRows(database: Database): Promise<Record<string, number>> {
  const counts: Record<string, number> = { e: 0, o: 0, t: 0, v: 0, g: 0, n: 0, large: 0 };
  for (let id = 0; id < database.shardCount; id++) {
    for await (const { key, value } of database
      .shard(id as ShardId)
      .scan(prefixRange(Buffer.of()))) {
      const kind = String.fromCharCode(key[0] as number);
      counts[kind] = (counts[kind] ?? 0) + 1;
      if (kind === 'e' && decodeEntryRow(value).facts.extent) counts['large']!++;
      if (kind === 'v') {
        const ref = decodeExtentRef(value);
        await database.shard(id as ShardId).readExtent(ref, 0, ref.length);
      }
      const identity = identityOfRow(key);
      if (identity === undefined || database.shardOf(identity) !== id) {
        throw new Error(`a row is in another shard than its own: ${key.toString('latin1')}`);
      }
    }
  }
  return counts;
}

/** After checkpoints with nothing expired left: each entry has its rows, and no others are there. */
export async function assertNoLeaks(
  database: Database,
  stores: ReadonlyMap<string, KvStore>,
): Promise<void> {
  let entries = 0;
  let expiring = 0;
  for (const store of stores.values()) {
    for await (const entry of store.entries()) {
      entries++;
      if (entry.expiresAtMs !== undefined) expiring++;
    }
  }
  const { e, o, t, v, g, large } = await countRows(database);
  const found = JSON.stringify({ e, o, t, v, g });
  const wanted = JSON.stringify({ e: entries, o: entries, t: expiring, v: large, g: 0 });
  if (found !== wanted) throw new Error(`rows are ${found}, entries want ${wanted}`);
}
