/**
 * The epoch of the writer of a tier. Stores that can be taken over do it themselves (`KvFence`);
 * any other has it in records, one for each epoch up to the newest: `_holdfast_tier-epoch-<n>`.
 *
 * Invariants
 * 1. An epoch is claimed once: whoever knows the number of the newest one to be its own, is the writer.
 *    All epochs up to the newest have a record, so that "mine is the newest" is "there is none of the
 *    next number".
 * 2. With atomic batches that is said in the batch of each write, as a put of the next record only if
 *    absent, and its delete: the batch is refused as a whole once somebody claimed it. Without, the
 *    write is followed by a look: what was written after a claim is then told as `FENCED`, with
 *    effect `unknown`.
 */
import { hasCode } from '@holdfast/core';
import { type FencedKvStore, fencedError, type KvFence } from '../fencing.ts';
import type { KvOperation } from '../kv-store.ts';
import { EPOCH_PREFIX, epochKey, epochOf } from './reserved-keys.ts';
import type { Tier } from './tier.ts';

const NOTHING = new Uint8Array(0);

export class TierFence {
  readonly #tier: Tier;
  readonly #owner: string;
  readonly #own: KvFence | undefined;
  readonly #asserts: boolean;

  /** @param owner of claims made here; rests in the records. */
  constructor(tier: Tier, owner: string) {
    this.#tier = tier;
    this.#owner = owner;
    this.#own = (tier.store as Partial<FencedKvStore>).fence;
    const { atomicBatch, compareAndSet } = tier.store.capabilities;
    this.#asserts = this.#own === undefined && atomicBatch && compareAndSet;
  }

  /** Writes carry what the store was told when it was opened: after a restart that is nothing. */
  carries(epoch: number): boolean {
    return this.#own === undefined || this.#own.epoch === epoch;
  }

  /** 0: none was ever claimed. */
  async newest(): Promise<number> {
    const own = this.#own;
    if (own !== undefined) return this.#tier.read(() => own.newest());
    return this.#tier.read(async (store) => {
      for await (const key of store.keys({ prefix: EPOCH_PREFIX, reverse: true, limit: 1 })) {
        return epochOf(key);
      }
      return 0;
    });
  }

  /** The epoch was claimed by this owner, in a life that did not come to know it. */
  async isClaimed(epoch: number): Promise<boolean> {
    // What it was opened with says nothing of the place: that may be a new one.
    if (this.#own !== undefined)
      return this.#own.epoch === epoch && (await this.newest()) === epoch;
    const owner = await this.#tier.read((store) => store.get(epochKey(epoch)));
    return owner !== undefined && Buffer.from(owner).toString() === this.#owner;
  }

  /** `FENCED` unless it is above all others, and nobody was quicker. */
  async claim(epoch: number): Promise<void> {
    const own = this.#own;
    if (own !== undefined) return own.claim(epoch);
    const newest = await this.newest();
    if (newest >= epoch) throw fencedError(newest, epoch);
    // From the lowest on: two that claim meet at the first one.
    for (let each = newest + 1; each <= epoch; each++) await this.#record(each, epoch);
  }

  /** How many operations `guard` adds. */
  get guardOperations(): number {
    return this.#asserts ? 2 : 0;
  }

  /** I2. */
  guard(epoch: number, operations: readonly KvOperation[]): readonly KvOperation[] {
    if (!this.#asserts) return operations;
    const key = epochKey(epoch + 1);
    return [
      { type: 'put', key, value: NOTHING, ifAbsent: true },
      { type: 'del', key },
      ...operations,
    ];
  }

  /** After a write; `FENCED` when another one took over. */
  async confirm(epoch: number): Promise<void> {
    if (this.#own !== undefined || this.#asserts) return;
    await this.assertNewest(epoch);
  }

  async assertNewest(epoch: number): Promise<void> {
    const newest = await this.newest();
    if (newest > epoch) throw fencedError(newest, epoch, 'unknown');
  }

  async #record(each: number, epoch: number): Promise<void> {
    const { store } = this.#tier;
    const key = epochKey(each);
    if (!store.capabilities.compareAndSet) {
      if (await store.has(key)) throw fencedError(epochOf(key), epoch);
      await store.put(key, Buffer.from(this.#owner));
      return;
    }
    try {
      await store.put(key, Buffer.from(this.#owner), { ifAbsent: true });
    } catch (error) {
      throw hasCode(error, 'PRECONDITION_FAILED') ? fencedError(each, epoch) : error;
    }
  }
}
