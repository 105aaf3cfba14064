/** The rows of all shards in one order, as they were in the turn of the first step. */
import type { ShardId } from '@holdfast/core';
import { type KeyRange, mergeRowBatches, type RowSource } from '@holdfast/tables';
import type { EngineHost, StoredRow } from './engine.ts';

export async function* rowsOfAllShards(
  host: EngineHost,
  range: KeyRange,
): AsyncGenerator<readonly StoredRow[], void, undefined> {
  const sources = Array.from({ length: host.shardCount }, (_, id): RowSource => {
    return { batches: () => host.shard(id as ShardId).scanBatches(range) };
  });
  const batches = mergeRowBatches(sources, { dropTombstones: true, eager: true });
  for await (const batch of batches) yield batch as readonly StoredRow[];
}
