/**
 * Brings operations into one tier, under the epoch of this writer.
 *
 * Invariants
 * 1. Before its first write to a tier the epoch is claimed there, or known to be.
 * 2. Whatever is brought here may be brought again: a put is stamped with its version; a delete that
 *    is brought again looks first, and spares what is newer than it.
 * 3. A put that changed nothing did so because it is there already; anything newer than what this
 *    writer knows of comes from another writer: `FENCED`.
 * 4. Calls of `bring` of one turn go as one batch, where the tier has batches and it has room for them:
 *    one guard and one commit for all. They are of different keys, and end alike.
 */
import { hasCode, HoldfastError, LIMITS } from '@holdfast/core';
import { fencedError } from '../fencing.ts';
import type { KvAck, KvOperation } from '../kv-store.ts';
import { TierFence } from './tier-fence.ts';
import type { TierOperation } from './tier-operation.ts';
import type { Tier } from './tier.ts';

export interface TierClaim {
  readonly epoch: number;
  /** `undefined`: nobody takes this tier over. */
  readonly owner: string | undefined;
  /** The tier knows of this epoch already. */
  readonly claimed: boolean;
}

/** A call of `bring` that waits for the rest of its turn. */
interface Bringing {
  readonly operations: readonly TierOperation[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What is done before and after a tier is claimed that did not answer when it was opened. */
export interface LateClaim {
  /** @throws when it is not to be claimed. */
  readonly before: () => Promise<void>;
  readonly after: () => Promise<void>;
}

export const UNFENCED: TierClaim = { epoch: 0, owner: undefined, claimed: true };

export class TierWriter {
  readonly tier: Tier;
  /** `undefined`: nobody takes this tier over. */
  readonly fence: TierFence | undefined;
  #epoch: number;
  #claimed: boolean;
  #claiming: Promise<void> | undefined;
  #bringing: Bringing[] = [];
  readonly #late: LateClaim | undefined;

  constructor(tier: Tier, { epoch, owner, claimed }: TierClaim, late?: LateClaim) {
    this.tier = tier;
    this.fence = owner === undefined ? undefined : new TierFence(tier, owner);
    this.#epoch = epoch;
    this.#claimed = claimed;
    this.#late = late;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** The newest epoch in the tier. */
  async newest(): Promise<number> {
    return (await this.fence?.newest()) ?? 0;
  }

  async claim(epoch: number): Promise<void> {
    await this.fence?.claim(epoch);
    this.#epoch = epoch;
    this.#claimed = true;
  }

  /** I1. */
  ensureClaimed(): Promise<void> {
    if (this.#claimed) return Promise.resolve();
    this.#claiming ??= this.#claimLate().finally(() => {
      this.#claiming = undefined;
    });
    return this.#claiming;
  }

  /** For what is written in the order of calls, nothing of it ever before. I4. */
  bring(operations: readonly TierOperation[]): Promise<void> {
    if (!this.tier.store.capabilities.atomicBatch) return this.#bring(operations);
    return new Promise((resolve, reject) => {
      this.#bringing.push({ operations, bytes: bytesOf(operations), resolve, reject });
      if (this.#bringing.length === 1) void Promise.resolve().then(() => this.#bringTogether());
    });
  }

  /** For what may have been brought before: I2. */
  async bringAgain(operations: readonly TierOperation[]): Promise<void> {
    await this.ensureClaimed();
    for (;;) {
      const writes = await this.#stillNeeded(operations);
      if (writes.length === 0) return this.#assertNotFenced();
      try {
        return await this.#write(writes, operations);
      } catch (error) {
        // An entry went away by itself between the look and the delete: look again.
        if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
      }
    }
  }

  /** Puts alone; what is newer there stays. */
  async bringUnlessNewer(operations: readonly TierOperation[]): Promise<void> {
    await this.ensureClaimed();
    const { atomicBatch } = this.tier.store.capabilities;
    const writes = operations.map(operationOf);
    if (atomicBatch) await this.#batch(writes);
    else for (const write of writes) await this.#batch([write]);
    await this.fence?.confirm(this.#epoch);
  }

  /** In place of whatever is there, of any version; for repairs. */
  async replace(operations: readonly TierOperation[]): Promise<void> {
    await this.ensureClaimed();
    const { atomicBatch } = this.tier.store.capabilities;
    for (const operation of operations) {
      const { key } = operation;
      const put = operationOf(operation);
      const writes: KvOperation[] = put.type === 'del' ? [put] : [{ type: 'del', key }, put];
      if (atomicBatch) await this.#batch(writes);
      else for (const write of writes) await this.#batch([write]);
    }
    await this.fence?.confirm(this.#epoch);
  }

  async #bring(operations: readonly TierOperation[]): Promise<void> {
    if (!this.#claimed) await this.ensureClaimed();
    await this.#write(operations.map(operationOf), operations);
  }

  /** I4. */
  #bringTogether(): void {
    const waiting = this.#bringing;
    this.#bringing = [];
    for (let at = 0; at < waiting.length;) {
      const group = this.#groupFrom(waiting, at);
      at += group.length;
      this.#bring(group.flatMap(({ operations }) => operations)).then(
        () => group.forEach(({ resolve }) => resolve()),
        (error: unknown) => group.forEach(({ reject }) => reject(error)),
      );
    }
  }

  /** As many as surely have room in one batch; at least one. */
  #groupFrom(waiting: readonly Bringing[], start: number): readonly Bringing[] {
    const { maxBatchOperations, maxBatchBytes } = this.tier.store.capabilities;
    const guards = this.fence?.guardOperations ?? 0;
    const most = Math.min(maxBatchOperations - guards, LIMITS.maxGroupOperations);
    const mostBytes = Math.min(maxBatchBytes / 2, LIMITS.maxGroupBytes);
    let operations = 0;
    let bytes = 0;
    let end = start;
    for (; end < waiting.length; end++) {
      const each = waiting[end] as Bringing;
      operations += each.operations.length;
      bytes += each.bytes;
      if (end > start && (operations > most || bytes > mostBytes)) break;
    }
    return waiting.slice(start, end);
  }

  async #write(
    writes: readonly KvOperation[],
    operations: readonly TierOperation[],
  ): Promise<void> {
    const { atomicBatch } = this.tier.store.capabilities;
    const acks = atomicBatch
      ? await this.#batch(writes)
      : (await Promise.all(writes.map((write) => this.#batch([write])))).flat();
    await this.fence?.confirm(this.#epoch);
    const late = writes.filter(({ type }, at) => type === 'put' && acks[at]?.changed === false);
    for (const { key } of late) {
      const operation = operations.find((each) => each.key === key);
      await this.#assertThere(operation as TierOperation);
    }
  }

  async #batch(writes: readonly KvOperation[]): Promise<readonly KvAck[]> {
    const guarded = this.fence?.guard(this.#epoch, writes) ?? writes;
    try {
      const acks = await this.tier.write((store) => store.batch(guarded));
      return acks.slice(guarded.length - writes.length);
    } catch (error) {
      if (hasCode(error, 'PRECONDITION_FAILED')) await this.#assertNotFenced();
      throw error;
    }
  }

  /** I3. */
  async #assertThere({ key, entry }: TierOperation): Promise<void> {
    const there = await this.tier.read((store) => store.getEntry(key));
    if (there === undefined || entry === undefined || there.version <= entry.version) return;
    await this.#assertNotFenced();
    throw new HoldfastError(
      'FENCED',
      `a tier has a newer entry than its writer tier=${this.tier.name} version=${there.version}`,
      { effect: 'unknown', details: { tier: this.tier.name } },
    );
  }

  async #stillNeeded(operations: readonly TierOperation[]): Promise<KvOperation[]> {
    const { compareAndSet } = this.tier.store.capabilities;
    const writes: KvOperation[] = [];
    for (const operation of operations) {
      if (operation.entry !== undefined) {
        writes.push(operationOf(operation));
        continue;
      }
      const { key, number } = operation;
      const there = await this.tier.read((store) => store.getEntry(key));
      if (there === undefined || there.version > number) continue;
      writes.push({ type: 'del', key, ...(compareAndSet ? { ifVersion: there.version } : {}) });
    }
    return writes;
  }

  async #assertNotFenced(): Promise<void> {
    const newest = await this.newest();
    if (newest > this.#epoch) throw fencedError(newest, this.#epoch);
  }

  async #claimLate(): Promise<void> {
    await this.#late?.before();
    const mine = await this.fence?.isClaimed(this.#epoch);
    if (mine === false) await this.fence?.claim(this.#epoch);
    else await this.#assertNotFenced();
    await this.#late?.after();
    this.#claimed = true;
  }
}

function bytesOf(operations: readonly TierOperation[]): number {
  let bytes = 0;
  for (const { key, entry } of operations) {
    bytes += Buffer.byteLength(key) + (entry?.value.length ?? 0);
  }
  return bytes;
}

function operationOf({ key, entry }: TierOperation): KvOperation {
  if (entry === undefined) return { type: 'del', key };
  const { value, expiresAtMs, seq, version, epoch } = entry;
  return { type: 'put', key, value, expiresAtMs, stamp: { seq, version, epoch } };
}
