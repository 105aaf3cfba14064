/**
 * Where the checkpointed bytes of streams rest: their extent rows and the indexes of those
 * extents, read when first needed and kept within bounds.
 *
 * Invariants
 * 1. A cached list is complete and current: it changes with every extent that is written or
 *    moved. A list being read meanwhile is read again.
 * 2. Neither cache is ever the only place of anything.
 */
import { type CollectingShard, type ExtentRef, prefixRange, type Shard } from '@holdfast/database';
import { HoldfastError, LIMITS } from '@holdfast/core';
import { IndexedRun } from './message-run.ts';
import {
  decodeExtentRow,
  extentRowKey,
  extentRowPrefix,
  type StreamExtent,
} from './stream-rows.ts';
import type { Stream } from './stream.ts';

interface Loading {
  stale: boolean;
  readonly list: Promise<StreamExtent[]>;
}

export class ExtentCatalog {
  readonly #shardOf: (stream: Stream) => Shard;
  /** By stream id; the most recently used last. */
  readonly #lists = new Map<number, StreamExtent[]>();
  readonly #loading = new Map<number, Loading>();
  /** By stream id and first message; the most recently used last. */
  readonly #indexes = new Map<string, IndexedRun>();
  #listedExtents = 0;
  #indexBytes = 0;

  constructor(shardOf: (stream: Stream) => Shard) {
    this.#shardOf = shardOf;
  }

  /** The extents of a stream, oldest first, if they are known. */
  cached(stream: Stream): readonly StreamExtent[] | undefined {
    const list = this.#lists.get(stream.id);
    if (list !== undefined) {
      this.#lists.delete(stream.id);
      this.#lists.set(stream.id, list);
    }
    return list;
  }

  async load(stream: Stream): Promise<readonly StreamExtent[]> {
    for (;;) {
      const cached = this.cached(stream);
      if (cached !== undefined) return cached;
      let loading = this.#loading.get(stream.id);
      if (loading === undefined) {
        loading = { stale: false, list: this.#scan(stream) };
        this.#loading.set(stream.id, loading);
      }
      try {
        const list = await loading.list;
        if (loading.stale) continue;
        if (!this.#lists.has(stream.id)) this.#keepList(stream.id, list);
        return list;
      } finally {
        if (this.#loading.get(stream.id) === loading) this.#loading.delete(stream.id);
      }
    }
  }

  /** The collector wrote an extent behind all others. */
  added(stream: Stream, extent: StreamExtent): void {
    this.#outdate(stream.id);
    const list = this.#lists.get(stream.id);
    if (list === undefined) return;
    list.push(extent);
    this.#listedExtents++;
  }

  /** The extent that starts at `firstMessage` rests elsewhere now. */
  moved(streamId: number, firstMessage: number, ref: ExtentRef): void {
    this.#outdate(streamId);
    const list = this.#lists.get(streamId);
    const at = list?.findIndex((extent) => extent.firstMessage === firstMessage) ?? -1;
    const extent = list?.[at];
    if (list !== undefined && extent !== undefined) list[at] = { ...extent, ref };
  }

  /** The stream is gone. */
  forget(streamId: number): void {
    this.#outdate(streamId);
    const list = this.#lists.get(streamId);
    if (list === undefined) return;
    this.#listedExtents -= list.length;
    this.#lists.delete(streamId);
  }

  /** What is being read right now may lack a change. */
  #outdate(streamId: number): void {
    const loading = this.#loading.get(streamId);
    if (loading === undefined) return;
    loading.stale = true;
    this.#loading.delete(streamId);
  }

  cachedIndex(stream: Stream, extent: StreamExtent): IndexedRun | undefined {
    const key = indexKey(stream, extent);
    const index = this.#indexes.get(key);
    if (index !== undefined) {
      this.#indexes.delete(key);
      this.#indexes.set(key, index);
    }
    return index;
  }

  async loadIndex(stream: Stream, extent: StreamExtent): Promise<IndexedRun> {
    const cached = this.cachedIndex(stream, extent);
    if (cached !== undefined) return cached;
    const length = extent.ref.length - extent.bytes;
    const views = await this.#shardOf(stream).readExtent(extent.ref, extent.bytes, length);
    const index = IndexedRun.decode(Buffer.concat(views), extent);
    const key = indexKey(stream, extent);
    if (!this.#indexes.has(key)) {
      this.#indexes.set(key, index);
      this.#indexBytes += index.memoryBytes;
      for (const [oldest, run] of this.#indexes) {
        if (this.#indexBytes <= LIMITS.extentIndexCacheBytes) break;
        this.#indexes.delete(oldest);
        this.#indexBytes -= run.memoryBytes;
      }
    }
    return index;
  }

  /** Deletes rows and frees extents of a removed stream. */
  free(shard: CollectingShard, stream: Stream, extents: readonly StreamExtent[]): void {
    for (const extent of extents) {
      shard.freeExtent(extent.ref);
      shard.delete(extentRowKey(stream.id, extent.firstMessage));
    }
    this.forget(stream.id);
  }

  async #scan(stream: Stream): Promise<StreamExtent[]> {
    const list: StreamExtent[] = [];
    let next = stream.base;
    for await (const row of this.#shardOf(stream).scan(prefixRange(extentRowPrefix(stream.id)))) {
      const extent = decodeExtentRow(row.key, row.value);
      if (extent.firstMessage !== next.messages || extent.firstByte !== next.bytes) {
        throw new HoldfastError(
          'FORMAT_INVALID',
          `extent rows leave a gap stream=${stream.id} message=${next.messages}`,
        );
      }
      next = {
        messages: extent.firstMessage + extent.messages,
        bytes: extent.firstByte + extent.bytes,
      };
      list.push(extent);
    }
    return list;
  }

  #keepList(streamId: number, list: StreamExtent[]): void {
    this.#lists.set(streamId, list);
    this.#listedExtents += list.length;
    for (const [oldest, extents] of this.#lists) {
      if (this.#listedExtents <= LIMITS.extentListCacheEntries || oldest === streamId) break;
      this.#lists.delete(oldest);
      this.#listedExtents -= extents.length;
    }
  }
}

/** The last extent for which `start` is at most `wanted`; extents are in order. */
export function extentAt(
  extents: readonly StreamExtent[],
  by: 'firstMessage' | 'firstByte',
  wanted: number,
): StreamExtent | undefined {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((extents[middle] as StreamExtent)[by] <= wanted) low = middle + 1;
    else high = middle;
  }
  return extents[low - 1];
}

function indexKey(stream: Stream, extent: StreamExtent): string {
  return `${stream.id}:${extent.firstMessage}`;
}
