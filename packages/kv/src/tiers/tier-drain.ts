/**
 * Brings what is owed to one tier, the oldest first, until nothing is owed; after a failure it waits,
 * longer each time.
 *
 * Invariants
 * 1. Operations are brought within the lanes of their keys, and only those still owed then.
 * 2. What the primary lacks too is brought there first: nothing is in a copy alone for long.
 * 3. At most one round is under way.
 */
import {
  type Clock,
  cut,
  hasCode,
  type HoldfastError,
  isHoldfastError,
  LIMITS,
  type Random,
  type Timer,
} from '@holdfast/core';
import type { KeyLanes } from './key-lanes.ts';
import type { Outbox, Owed } from './outbox.ts';
import type { TierOperation } from './tier-operation.ts';
import type { TierSet } from './tier-set.ts';
import type { TierName } from './tiered-store.ts';

export interface TierDrainParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly tiers: TierSet;
  readonly lanes: KeyLanes;
  readonly outbox: Outbox;
  readonly onFenced: (error: HoldfastError) => void;
  readonly onBrought: (operations: readonly TierOperation[]) => void;
  /** What is owed can no more be read. */
  readonly onLost: () => Promise<void>;
}

export class TierDrain {
  readonly #parts: TierDrainParts;
  readonly #name: TierName;
  #running: Promise<void> | undefined;
  #timer: Timer | undefined;
  #failures = 0;
  #closed = false;
  #lastError: unknown;
  drained = 0;

  constructor(parts: TierDrainParts, name: TierName) {
    this.#parts = parts;
    this.#name = name;
  }

  /** Something may be owed. */
  kick(): void {
    if (this.#closed || this.#running !== undefined || this.#timer !== undefined) return;
    this.#running = this.#rounds().finally(() => {
      this.#running = undefined;
    });
  }

  /** The same, without waiting for a pause to end. */
  async now(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.kick();
    await this.#running;
  }

  /** The same, and what could not be brought is an error. */
  async finish(): Promise<void> {
    await this.now();
    if (this.#lastError !== undefined) throw this.#lastError as Error;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#running;
  }

  async #rounds(): Promise<void> {
    try {
      for (;;) {
        const owed = this.#next();
        if (owed.length === 0 || this.#closed) break;
        await this.#parts.lanes.run(
          owed.map(({ key }) => key),
          () => this.#bring(owed),
        );
        this.#failures = 0;
        this.#lastError = undefined;
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#lastError = error;
    if (hasCode(error, 'FENCED')) {
      this.#closed = true;
      this.#parts.onFenced(error);
    }
    if (this.#closed) return;
    const { clock, random } = this.#parts;
    const most = Math.min(LIMITS.maxDrainPauseMs, LIMITS.drainPauseMs * 2 ** this.#failures++);
    this.#timer = clock.after(1 + random.integer(most), () => {
      this.#timer = undefined;
      this.kick();
    });
  }

  #next(): Owed[] {
    const chosen: Owed[] = [];
    // Kicked with every write: nothing is walked through for nobody.
    if (this.#parts.outbox.countFor(this.#name) === 0) return chosen;
    const most = this.#parts.tiers.writer(this.#name)?.tier.store.capabilities.maxBatchBytes ?? 0;
    let bytes = 0;
    for (const owed of this.#parts.outbox.all()) {
      if (owed.busy || !owed.to.has(this.#name)) continue;
      if (this.#name !== 'primary' && owed.to.has('primary')) continue; // I2
      bytes += owed.bytes;
      if (chosen.length > 0 && bytes > most) break;
      chosen.push(owed);
      if (chosen.length >= LIMITS.drainedPerBatch) break;
    }
    return chosen;
  }

  async #bring(owed: readonly Owed[]): Promise<void> {
    const { outbox, tiers } = this.#parts;
    const still = owed.filter((each) => outbox.isOwed(each) && each.to.has(this.#name)); // I1
    const operations: TierOperation[] = [];
    for (const each of still) {
      const operation = await this.#read(each);
      if (operation !== undefined) operations.push(operation);
    }
    if (operations.length > 0) {
      await cut('tiers.drain');
      await tiers.writer(this.#name)?.bringAgain(operations);
      this.#parts.onBrought(operations);
      await cut('tiers.drained');
    }
    for (const each of still) outbox.done(each, this.#name);
    this.drained += operations.length;
  }

  async #read(owed: Owed): Promise<TierOperation | undefined> {
    try {
      return await this.#parts.outbox.read(owed);
    } catch (error) {
      if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
      await this.#parts.onLost();
      this.#parts.outbox.cancel(owed);
      return undefined;
    }
  }
}
