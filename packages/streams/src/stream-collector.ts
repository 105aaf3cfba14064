/**
 * A checkpoint of the streams of one shard: dirty metadata and producers as rows, the bytes
 * since the last one as extents, and the remains of removed streams out of the way.
 *
 * Invariants
 * 1. Everything written in one call is one cut: the state between two applies.
 * 2. The row of a removed stream stays as a grave until its extents are freed in the same cut
 *    that deletes it, so that no crash loses track of their space.
 */
import { cut, LIMITS } from '@holdfast/core';
import type { CollectingShard } from '@holdfast/database';
import type { ExtentCatalog } from './extent-catalog.ts';
import { MessageIndexWriter } from './message-run.ts';
import type { Position } from './position.ts';
import type { ShardChanges } from './shard-changes.ts';
import {
  counterRowKey,
  encodeCounterRow,
  encodeExtentRow,
  encodeProducerRow,
  encodeStreamRow,
  extentRowKey,
  producerRowKey,
  streamRowKey,
} from './stream-rows.ts';
import type { Stream } from './stream.ts';

export function collectShard(
  shard: CollectingShard,
  changes: ShardChanges,
  catalog: ExtentCatalog,
  counter: { readonly identity: string; readonly touchesSaved: boolean },
): void {
  saveCounter(shard, changes, counter);
  addTouched(changes, counter.touchesSaved);
  for (const stream of changes.dirty) {
    if (stream.applied.state === 'removed') {
      bury(shard, changes, stream);
      continue;
    }
    const { tail } = stream.applied;
    if (tail.bytes > stream.collected.bytes) {
      writeExtents(shard, catalog, stream);
      stream.collected = tail;
      changes.collected.push(stream);
    }
    shard.put(streamRowKey(stream.id), encodeStreamRow(stream));
    stream.savedTouchMs = stream.touchedAtMs;
    writeProducers(shard, stream);
  }
  changes.dirty.clear();
  freeGraves(shard, changes, catalog);
  void cut('streams.collected');
}

function saveCounter(
  shard: CollectingShard,
  changes: ShardChanges,
  counter: { readonly identity: string; readonly touchesSaved: boolean },
): void {
  const { highestId, saved } = changes;
  const { touchesSaved, identity } = counter;
  if (highestId === 0) return;
  if (saved?.highestId === highestId && saved.touchesSaved === touchesSaved) return;
  changes.saved = { highestId, touchesSaved };
  shard.put(counterRowKey(identity), encodeCounterRow(changes.saved));
}

/** Streams whose touches are due to be written: all of them before a clean stop. */
function addTouched(changes: ShardChanges, all: boolean): void {
  for (const stream of changes.touched) {
    const behindMs = stream.touchedAtMs - stream.savedTouchMs;
    if (!all && behindMs < LIMITS.touchSaveMs && stream.applied.state === 'active') continue;
    changes.touched.delete(stream);
    if (stream.applied.state === 'active' && behindMs > 0) changes.dirty.add(stream);
  }
}

function writeProducers(shard: CollectingShard, stream: Stream): void {
  if (stream.dirtyProducers === undefined) return;
  for (const producer of stream.dirtyProducers) {
    const state = stream.producer(producer, false);
    if (state !== undefined) {
      shard.put(producerRowKey(stream.id, producer), encodeProducerRow(state));
    }
  }
  stream.dirtyProducers = undefined;
}

function bury(shard: CollectingShard, changes: ShardChanges, stream: Stream): void {
  for (const producer of stream.producers?.keys() ?? []) {
    shard.delete(producerRowKey(stream.id, producer));
  }
  stream.producers = undefined;
  if (stream.collected.bytes > stream.base.bytes) {
    shard.put(streamRowKey(stream.id), encodeStreamRow(stream));
  } else {
    shard.delete(streamRowKey(stream.id));
    changes.graves.delete(stream.id);
  }
}

/** Those whose extents are known by now; `ExtentCatalog.load` is called for the others. */
function freeGraves(shard: CollectingShard, changes: ShardChanges, catalog: ExtentCatalog): void {
  for (const grave of changes.graves.values()) {
    const extents = catalog.cached(grave);
    if (extents === undefined) continue;
    catalog.free(shard, grave, extents);
    void cut('streams.graveFreed');
    shard.delete(streamRowKey(grave.id));
    changes.graves.delete(grave.id);
  }
}

/** The bytes since the last collect, cut at message boundaries into extents of bounded size. */
function writeExtents(shard: CollectingShard, catalog: ExtentCatalog, stream: Stream): void {
  let first: Position = stream.collected;
  let bytes = 0;
  let index = new MessageIndexWriter();
  const flush = (): void => {
    if (bytes === 0) return;
    const owner = extentRowKey(stream.id, first.messages);
    const data = stream.tail.views(first.bytes, first.bytes + bytes);
    const ref = shard.writeExtent(owner, [...data, index.finish()]);
    const { messages } = index;
    const extent = { firstMessage: first.messages, firstByte: first.bytes, messages, bytes, ref };
    shard.put(owner, encodeExtentRow(extent));
    catalog.added(stream, extent);
    first = { messages: first.messages + messages, bytes: first.bytes + bytes };
    bytes = 0;
    index = new MessageIndexWriter();
  };
  stream.tail.eachMessage(first.bytes, (length, endsAppend) => {
    if (bytes + length > LIMITS.maxExtentBytes || index.messages >= LIMITS.maxExtentMessages) {
      flush();
    }
    index.add(length, endsAppend);
    bytes += length;
  });
  flush();
}
