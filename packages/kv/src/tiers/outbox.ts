/**
 * What is owed to which tier: the intents of writes, durable before any tier is touched, forgotten
 * after every tier has what they say.
 *
 * Invariants
 * 1. Of each key at most one operation is owed, the newest: an older one is forgotten once the newer
 *    one is durable, and never outlives it.
 * 2. An operation is in the local store from before the first tier heard of it until after the last
 *    one acknowledged it. Who reads the local store after a crash knows at least what is owed.
 * 3. An operation that could not be made durable is owed by nobody, and removed before a later one of
 *    any key is durable: it never comes after a newer one.
 * 4. Of a key in `#leaving` the local store may still have an operation that nobody owes any more: a
 *    write of it that leaves no operation of its own would be undone by that one after a crash.
 * 5. Values are not kept here: what is owed is bounded on the disk, what is in memory by its number.
 *
 * Owner: the tiered store, alone on its local store.
 */
import { type Clock, hasCode, type Logger } from '@holdfast/core';
import type { EntryFacts } from '../decide-write.ts';
import type { LocalJournal } from './local-journal.ts';
import {
  decodeOperation,
  encodeOperation,
  operationKey,
  operationNumber,
  OPERATIONS_PREFIX,
  type TierOperation,
} from './tier-operation.ts';
import type { TierName } from './tiered-store.ts';

export interface Owed {
  readonly number: number;
  readonly key: string;
  readonly ephemeral: boolean;
  /** What the entry will be; `undefined`: none. */
  readonly facts: EntryFacts | undefined;
  readonly bytes: number;
  readonly sinceMs: number;
  readonly to: Set<TierName>;
  /** The write itself still tries. */
  busy: boolean;
}

export interface OutboxBounds {
  readonly maxOperations: number;
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

export class Outbox {
  readonly #journal: LocalJournal;
  readonly #clock: Clock;
  readonly #bounds: OutboxBounds;
  /** In the order of numbers. */
  readonly #owed = new Map<number, Owed>();
  readonly #byKey = new Map<string, Owed>();
  /** How many of its operations are being removed. */
  readonly #leaving = new Map<string, number>();
  readonly #waiting = new Set<() => void>();
  /** To which tier how many are owed. */
  readonly #counts = new Map<TierName, number>();
  #bytes = 0;

  constructor(components: { readonly clock: Clock }, journal: LocalJournal, bounds: OutboxBounds) {
    this.#clock = components.clock;
    this.#journal = journal;
    this.#bounds = bounds;
  }

  /**
   * What an earlier life left. Returns how many intents cannot be read: of those nobody knows any
   * more what is owed.
   */
  async load(owedTo: (ephemeral: boolean) => readonly TierName[], logger: Logger): Promise<number> {
    const { store } = this.#journal.tier;
    let lost = 0;
    for await (const { key, value } of store.entries({ prefix: OPERATIONS_PREFIX })) {
      const number = operationNumber(key);
      try {
        const operation = decodeOperation(number, value);
        this.#adopt(operation, owedTo(operation.ephemeral), value.length).busy = false;
      } catch (error) {
        if (!hasCode(error, 'CHECKSUM_MISMATCH')) throw error;
        lost++;
        logger.error('tiers.intentLost', { number });
      }
    }
    return lost;
  }

  get size(): number {
    return this.#owed.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get oldestMs(): number {
    for (const { sinceMs } of this.#owed.values()) return this.#clock.monotonicMs() - sinceMs;
    return 0;
  }

  owedOf(key: string): Owed | undefined {
    return this.#byKey.get(key);
  }

  /** The local store knows nothing of this key. I4. */
  isUnknown(key: string): boolean {
    return !this.#byKey.has(key) && !this.#leaving.has(key);
  }

  /** Resolves when the local store certainly has nothing of these keys that nobody owes. I4. */
  async forgotten(keys: readonly string[]): Promise<void> {
    if (keys.some((key) => this.#leaving.has(key))) await this.#journal.flush();
  }

  isOwed(owed: Owed): boolean {
    return this.#owed.get(owed.number) === owed;
  }

  all(): IterableIterator<Owed> {
    return this.#owed.values();
  }

  countFor(tier: TierName): number {
    return this.#counts.get(tier) ?? 0;
  }

  /** Rule 8. */
  get isOver(): boolean {
    const { maxOperations, maxBytes, maxAgeMs } = this.#bounds;
    if (this.#owed.size >= maxOperations || this.#bytes >= maxBytes) return true;
    return this.#owed.size > 0 && this.oldestMs > maxAgeMs;
  }

  /** Resolves the next time that something is owed no more. */
  less(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        this.#waiting.delete(go);
        signal?.removeEventListener('abort', go);
        resolve();
      };
      this.#waiting.add(go);
      signal?.addEventListener('abort', go, { once: true });
    });
  }

  /** Resolves when they are durable; they are owed, and busy, from then on. */
  async append(
    operations: readonly TierOperation[],
    owedTo: (ephemeral: boolean) => readonly TierName[],
  ): Promise<readonly Owed[]> {
    const puts = operations.map((operation) => ({
      type: 'put' as const,
      key: operationKey(operation.number),
      value: encodeOperation(operation),
    }));
    try {
      await this.#journal.commit(puts);
    } catch (error) {
      for (const { number, key } of operations) this.#remove(number, key); // I3
      throw error;
    }
    return operations.map((operation, at) =>
      this.#adopt(operation, owedTo(operation.ephemeral), puts[at]?.value.length ?? 0),
    );
  }

  /** The operation as it was appended; `undefined`: it is not owed any more. */
  async read(owed: Owed): Promise<TierOperation | undefined> {
    const key = operationKey(owed.number);
    const bytes = await this.#journal.tier.read((store) => store.get(key));
    return bytes === undefined ? undefined : decodeOperation(owed.number, bytes);
  }

  /** The tier has it. */
  done(owed: Owed, tier: TierName): void {
    if (owed.to.delete(tier)) this.#count(tier, -1);
    if (owed.to.size === 0 && this.isOwed(owed)) this.#forget(owed);
  }

  /** Nothing of it is anywhere, or it counts no more. */
  cancel(owed: Owed): void {
    if (this.isOwed(owed)) this.#forget(owed);
  }

  /** Nothing is owed to this tier from now on. */
  release(tier: TierName): void {
    for (const owed of [...this.#owed.values()]) if (owed.to.has(tier)) this.done(owed, tier);
  }

  /** Whoever waits looks again. */
  wake(): void {
    for (const go of [...this.#waiting]) go();
  }

  /** Everything, also what cannot be read; resolves when that is durable. */
  async clear(): Promise<void> {
    for (const owed of [...this.#owed.values()]) this.#forget(owed);
    for await (const key of this.#journal.tier.store.keys({ prefix: OPERATIONS_PREFIX })) {
      this.#journal.lazily({ type: 'del', key });
    }
    await this.#journal.flush();
  }

  #adopt(operation: TierOperation, to: readonly TierName[], bytes: number): Owed {
    const { number, key, ephemeral, entry } = operation;
    const facts = entry && {
      seq: entry.seq,
      version: entry.version,
      epoch: entry.epoch,
      expiresAtMs: entry.expiresAtMs,
    };
    const older = this.#byKey.get(key);
    const sinceMs = this.#clock.monotonicMs();
    const owed: Owed = {
      number,
      key,
      ephemeral,
      facts,
      bytes,
      sinceMs: older?.sinceMs ?? sinceMs,
      to: new Set(to),
      busy: true,
    };
    if (older !== undefined) this.#forget(older); // I1
    this.#owed.set(number, owed);
    this.#byKey.set(key, owed);
    this.#bytes += bytes;
    for (const tier of owed.to) this.#count(tier, 1);
    return owed;
  }

  #forget(owed: Owed): void {
    this.#owed.delete(owed.number);
    if (this.#byKey.get(owed.key) === owed) this.#byKey.delete(owed.key);
    this.#bytes -= owed.bytes;
    for (const tier of owed.to) this.#count(tier, -1);
    owed.to.clear();
    this.#remove(owed.number, owed.key);
    for (const go of [...this.#waiting]) go();
  }

  #count(tier: TierName, by: number): void {
    this.#counts.set(tier, this.countFor(tier) + by);
  }

  /** I4. */
  #remove(number: number, key: string): void {
    this.#leaving.set(key, (this.#leaving.get(key) ?? 0) + 1);
    this.#journal.lazily({ type: 'del', key: operationKey(number) }, () => {
      const left = (this.#leaving.get(key) ?? 1) - 1;
      if (left === 0) this.#leaving.delete(key);
      else this.#leaving.set(key, left);
    });
  }
}
