/**
 * Writes to the local store, many callers' together: what is asked for while one batch is on its way
 * goes with the next.
 *
 * Invariants
 * 1. Batches go one after the other, and what was asked for first is in an earlier or the same batch:
 *    whoever sees the later one on the disk sees the earlier one.
 * 2. What is asked for `lazily` goes with the next batch, or soon; a crash may lose it.
 * 3. Of a batch that failed everybody in it is told; what was lazy in it stays asked for.
 */
import { cut, type Clock, LIMITS, type Timer } from '@holdfast/core';
import type { KvOperation } from '../kv-store.ts';
import type { Tier } from './tier.ts';

interface Lazy {
  readonly operation: KvOperation;
  readonly onDurable: (() => void) | undefined;
}

interface Waiting {
  readonly operations: readonly KvOperation[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class LocalJournal {
  readonly #tier: Tier;
  readonly #clock: Clock;
  /** Goes with every batch. */
  readonly #always: () => KvOperation;
  #waiting: Waiting[] = [];
  #lazy: Lazy[] = [];
  #writing: Promise<void> | undefined;
  #timer: Timer | undefined;

  constructor(components: { readonly clock: Clock }, tier: Tier, always: () => KvOperation) {
    this.#clock = components.clock;
    this.#tier = tier;
    this.#always = always;
  }

  get tier(): Tier {
    return this.#tier;
  }

  commit(operations: readonly KvOperation[]): Promise<void> {
    const bytes = operations.reduce((sum, each) => sum + bytesOf(each), 0);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operations, bytes, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  /** I2. */
  lazily(operation: KvOperation, onDurable?: () => void): void {
    this.#lazy.push({ operation, onDurable });
    if (this.#lazy.length >= LIMITS.lazyLocalOperations) this.#writing ??= this.#write();
    else this.#timer ??= this.#clock.after(LIMITS.lazyLocalMs, () => this.#soon());
  }

  /** Everything asked for until now. */
  async flush(): Promise<void> {
    for (;;) {
      await this.#writing; // what is in it and fails is asked for anew
      if (this.#lazy.length === 0 && this.#waiting.length === 0) return;
      await this.commit([]);
    }
  }

  close(): void {
    this.#timer?.cancel();
  }

  #soon(): void {
    this.#timer = undefined;
    if (this.#lazy.length > 0) this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    // The rest of this turn's calls go along.
    await Promise.resolve();
    while (this.#waiting.length > 0 || this.#lazy.length > 0) {
      const batch = this.#next();
      const lazy = this.#lazy.splice(0, LIMITS.lazyLocalOperations);
      try {
        await this.#put([
          ...lazy.map(({ operation }) => operation),
          ...batch.flatMap(({ operations }) => operations),
        ]);
        for (const { onDurable } of lazy) onDurable?.();
        for (const { resolve } of batch) resolve();
      } catch (error) {
        this.#lazy = [...lazy, ...this.#lazy]; // I3
        for (const { reject } of batch) reject(error);
        if (this.#waiting.length === 0) break; // what is lazy waits for the next to come
      }
    }
    this.#writing = undefined;
    if (this.#lazy.length > 0) {
      this.#timer ??= this.#clock.after(LIMITS.lazyLocalMs, () => this.#soon());
    }
  }

  async #put(operations: readonly KvOperation[]): Promise<void> {
    await cut('tiers.intent');
    await this.#tier.write((store) => store.batch([...operations, this.#always()]));
    await cut('tiers.intended');
  }

  /** As many as go into one batch; at least one. */
  #next(): Waiting[] {
    const { maxBatchOperations, maxBatchBytes } = this.#tier.store.capabilities;
    const room = maxBatchOperations - LIMITS.lazyLocalOperations - 1;
    let operations = 0;
    let bytes = LIMITS.lazyLocalOperations * 64;
    let count = 0;
    for (const each of this.#waiting) {
      operations += each.operations.length;
      bytes += each.bytes;
      if (count > 0 && (operations > room || bytes > maxBatchBytes)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }
}

function bytesOf(operation: KvOperation): number {
  return operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
}
