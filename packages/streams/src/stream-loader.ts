/** The streams of one shard from its rows. Extents stay where they are until they are read. */
import { cut, HoldfastError } from '@holdfast/core';
import { prefixRange, type Shard } from '@holdfast/database';
import type { Usage } from './planning.ts';
import type { ShardChanges } from './shard-changes.ts';
import type { StreamDirectory } from './stream-directory.ts';
import {
  COUNTER_ROWS,
  decodeCounterRow,
  decodeProducerRow,
  decodeStreamRow,
  PRODUCER_ROWS,
  STREAM_ROWS,
} from './stream-rows.ts';

export interface Loading {
  readonly directory: StreamDirectory;
  readonly usage: Usage;
}

export async function loadShard(
  shard: Shard,
  changes: ShardChanges,
  { directory, usage }: Loading,
): Promise<void> {
  for await (const row of shard.scan(prefixRange(COUNTER_ROWS))) {
    const counter = decodeCounterRow(row.value);
    const touchesSaved = counter.touchesSaved && changes.saved?.touchesSaved !== false;
    changes.highestId = Math.max(changes.highestId, counter.highestId);
    changes.saved = { highestId: changes.highestId, touchesSaved };
  }
  for await (const row of shard.scan(prefixRange(STREAM_ROWS))) {
    const stream = decodeStreamRow(shard.id, row.key, row.value);
    changes.highestId = Math.max(changes.highestId, stream.id);
    if (stream.applied.state === 'removed') {
      changes.graves.set(stream.id, stream);
      continue;
    }
    directory.add(stream);
    usage.bytes += stream.ownBytes;
  }
  for await (const row of shard.scan(prefixRange(PRODUCER_ROWS))) {
    const { streamId, producer, state } = decodeProducerRow(row.key, row.value);
    const stream = directory.byId(streamId);
    if (stream === undefined) {
      throw new HoldfastError(
        'FORMAT_INVALID',
        `producer row without a stream stream=${streamId} shard=${shard.id}`,
      );
    }
    stream.producers ??= new Map();
    stream.producers.set(producer, state);
  }
  void cut('streams.shardLoaded');
}
