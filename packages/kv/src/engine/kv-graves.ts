/**
 * Extents that nobody needs any more, until their space is given back. The checkpoint that replaces
 * an entry may not know where its extent rests (a replayed record says only that it had one): it
 * leaves a grave, the place is looked up, and a later checkpoint frees it.
 *
 * Invariants
 * 1. A grave is a row, written in the cut that makes the extent useless and deleted in the one that
 *    frees it: no crash loses its space.
 * 2. `ref` is where the extent rests now: a move of extents tells the grave.
 * Owner: the engine; one for each shard.
 */
import { cut, isHoldfastError, type Logger } from '@holdfast/core';
import type { CollectingShard, ExtentRef, MovedExtent, Shard } from '@holdfast/database';
import { extentOfValueRow, GRAVE_ROWS, graveRowKey, MARK, valueRowKeyOfGrave } from './kv-rows.ts';
import { prefixRange } from '@holdfast/database';

interface Grave {
  readonly valueKey: Buffer;
  ref: ExtentRef | undefined;
}

export class KvGraves {
  readonly #logger: Logger;
  readonly #graves = new Map<string, Grave>();
  /** To be looked up. */
  #wanted: Grave[] = [];
  #searching = false;
  /** Rises when extents move: what was read before may be stale. */
  #moves = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  async load(shard: Shard): Promise<void> {
    for await (const { key } of shard.scan(prefixRange(GRAVE_ROWS))) {
      this.#add(valueRowKeyOfGrave(Buffer.from(key)));
    }
  }

  /** Within a collect. I1. */
  bury(shard: CollectingShard, valueKey: Buffer): void {
    shard.put(graveRowKey(valueKey), MARK);
    this.#add(valueKey);
  }

  /** Within a collect, before new graves. */
  free(shard: CollectingShard): void {
    for (const [id, { valueKey, ref }] of this.#graves) {
      if (ref === undefined) continue;
      shard.freeExtent(ref);
      shard.delete(valueKey);
      shard.delete(graveRowKey(valueKey));
      this.#graves.delete(id);
      void cut('kv.graveFreed');
    }
  }

  moved({ owner, to }: MovedExtent): void {
    this.#moves++;
    const grave = this.#graves.get(owner.toString('latin1'));
    if (grave?.ref !== undefined) grave.ref = to;
  }

  /** Looks up what is wanted, one after the other. */
  find(shard: Shard): void {
    if (this.#searching || this.#wanted.length === 0) return;
    this.#searching = true;
    void this.#search(shard);
  }

  /** Never rejects: what cannot be found is looked for after the next start. */
  async #search(shard: Shard): Promise<void> {
    for (let grave = this.#wanted.pop(); grave !== undefined; grave = this.#wanted.pop()) {
      try {
        let moves: number;
        do {
          moves = this.#moves;
          const row = await shard.get(grave.valueKey);
          grave.ref = row === undefined ? undefined : extentOfValueRow(grave.valueKey, row);
        } while (moves !== this.#moves);
      } catch (error) {
        const code = isHoldfastError(error) ? error.code : 'INTERNAL_ERROR';
        this.#logger.error('kv.extentNotFreed', { shard: shard.id, code });
      }
    }
    this.#searching = false;
  }

  #add(valueKey: Buffer): void {
    const grave: Grave = { valueKey, ref: undefined };
    this.#graves.set(valueKey.toString('latin1'), grave);
    this.#wanted.push(grave);
  }
}
