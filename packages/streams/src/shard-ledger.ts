/**
 * The changes of every shard, and what is about shards rather than streams: the counters of
 * ids, and the extents of removed streams that are still to be freed.
 */
import { assert, isHoldfastError, type Logger, type ShardId } from '@holdfast/core';
import type { EngineHost } from '@holdfast/database';
import type { ExtentCatalog } from './extent-catalog.ts';
import { ShardChanges } from './shard-changes.ts';
import type { Stream } from './stream.ts';

/** Reads of extent rows for removed streams that run at the same time. */
const MAX_SEARCHES = 4;

export class ShardLedger {
  readonly #catalog: ExtentCatalog;
  readonly #logger: Logger;
  readonly #shards: ShardChanges[] = [];
  readonly #identities: string[] = [];
  /** Removed streams whose extents are looked for. */
  readonly #wanted = new Set<Stream>();
  #searches = 0;
  /** The next collects write every touch. */
  touchesSaved = false;

  constructor(catalog: ExtentCatalog, logger: Logger) {
    this.#catalog = catalog;
    this.#logger = logger;
  }

  attach(host: EngineHost): void {
    for (let id = 0; id < host.shardCount; id++) {
      this.#shards.push(new ShardChanges());
      let n = 0;
      while (host.shardOf(`counter-${n}`) !== id) n++;
      this.#identities.push(`counter-${n}`);
    }
  }

  of(shard: ShardId): ShardChanges {
    const changes = this.#shards[shard];
    assert(changes !== undefined, `there is no such shard shard=${shard}`);
    return changes;
  }

  get highestId(): number {
    return this.#shards.reduce((highest, { highestId }) => Math.max(highest, highestId), 0);
  }

  /** The rows that were loaded have every touch there was. A shard without rows has no stream. */
  get touchesWereSaved(): boolean {
    return this.#shards.every(({ saved }) => saved?.touchesSaved !== false);
  }

  /** What a collect writes into the counter row, and a text the host places in the shard. */
  counter(shard: ShardId): { readonly identity: string; readonly touchesSaved: boolean } {
    return { identity: this.#identities[shard] as string, touchesSaved: this.touchesSaved };
  }

  grave(id: number): Stream | undefined {
    return this.#shards.find(({ graves }) => graves.has(id))?.graves.get(id);
  }

  /** Starts to read which extents the removed streams have: a later collect frees them. */
  findGraves(): void {
    for (const { graves } of this.#shards) {
      for (const grave of graves.values()) this.findExtents(grave);
    }
  }

  findExtents(removed: Stream): void {
    if (removed.collected.bytes === removed.base.bytes) return;
    if (this.#catalog.cached(removed) !== undefined) return;
    this.#wanted.add(removed);
    if (this.#searches >= MAX_SEARCHES) return;
    this.#searches++;
    void this.#search();
  }

  /** One of a few at a time, however many streams are removed at once. Never rejects. */
  async #search(): Promise<void> {
    for (const removed of this.#wanted) {
      this.#wanted.delete(removed);
      try {
        await this.#catalog.load(removed);
      } catch (error) {
        const code = isHoldfastError(error) ? error.code : 'INTERNAL_ERROR';
        this.#logger.error('streams.extents_not_freed', { stream: removed.id, code });
      }
    }
    this.#searches--;
  }
}
