/**
 * Two tiers side by side, in key order, as a stream: memory for some entries of each, however many
 * there are.
 *
 * Invariants
 * 1. Every key that both had all the time is compared once.
 * 2. An entry that a tier has but cannot give is found by the key that the other one has for it, and
 *    told as `corrupt`; where the other one has none, nobody knows the key, and the walk fails.
 */
import { type HoldfastError, isHoldfastError } from '@holdfast/core';
import type { KeyInterval } from '../kv-backend.ts';
import { behindKey, compareKeys } from '../kv-key.ts';
import type { KvEntry } from '../kv-store.ts';
import type { Tier } from './tier.ts';
import { walkKeys } from './tiered-walks.ts';

export interface Compared {
  readonly key: string;
  readonly one: KvEntry | undefined;
  readonly other: KvEntry | undefined;
  /** Of the side that cannot give its entry. */
  readonly corrupt: 'one' | 'other' | undefined;
}

/** Every key of either, with what each has. */
export async function* sideBySide(
  one: Tier,
  other: Tier,
  interval: KeyInterval,
  keep: (key: string) => boolean,
): AsyncGenerator<Compared, void, undefined> {
  const a = new Side(one, interval, keep);
  const b = new Side(other, interval, keep);
  for (;;) {
    await Promise.all([a.look(), b.look()]);
    const bad = a.isCorrupt ? a : b.isCorrupt ? b : undefined;
    if (bad !== undefined) {
      const good = bad === a ? b : a;
      const { found, isBad } = await passCorrupt(bad, good);
      const corrupt = !isBad ? undefined : bad === a ? 'one' : 'other';
      const mine = isBad ? undefined : await bad.get(found.key);
      yield bad === a
        ? { key: found.key, one: mine, other: found, corrupt }
        : { key: found.key, one: found, other: mine, corrupt };
      continue;
    }
    const left = a.head;
    const right = b.head;
    if (left === undefined && right === undefined) return;
    const order =
      left === undefined ? 1 : right === undefined ? -1 : compareKeys(left.key, right.key);
    if (order <= 0) a.shift();
    if (order >= 0) b.shift();
    const key = ((order <= 0 ? left : right) as KvEntry).key;
    yield {
      key,
      one: order <= 0 ? left : undefined,
      other: order >= 0 ? right : undefined,
      corrupt: undefined,
    };
  }
}

export function sameEntry(one: KvEntry | undefined, other: KvEntry | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return (
    one.version === other.version &&
    one.seq === other.seq &&
    one.expiresAtMs === other.expiresAtMs &&
    Buffer.compare(one.value, other.value) === 0
  );
}

/** I2. */
async function passCorrupt(bad: Side, good: Side): Promise<{ found: KvEntry; isBad: boolean }> {
  const found = good.head;
  const known = found !== undefined && !(await bad.isCorruptBelow(found.key));
  if (found === undefined || !known) throw bad.error as HoldfastError;
  good.shift();
  const isBad = await bad.get(found.key).then(
    () => false,
    (error: unknown) => isCorrupt(error),
  );
  bad.goBehind(found.key);
  return { found, isBad };
}

class Side {
  readonly #tier: Tier;
  readonly #interval: KeyInterval;
  readonly #keep: (key: string) => boolean;
  #batches: AsyncIterator<readonly KvEntry[]>;
  #batch: readonly KvEntry[] = [];
  #at = 0;
  /** Everything below was given. */
  #from: string;
  #careful = false;
  #ended = false;
  error: HoldfastError | undefined;

  constructor(tier: Tier, interval: KeyInterval, keep: (key: string) => boolean) {
    this.#tier = tier;
    this.#interval = interval;
    this.#keep = keep;
    this.#from = interval.from;
    this.#batches = this.#walk();
  }

  get head(): KvEntry | undefined {
    return this.#batch[this.#at];
  }

  get isCorrupt(): boolean {
    return this.error !== undefined;
  }

  get(key: string): Promise<KvEntry | undefined> {
    return this.#tier.read((store) => store.getEntry(key));
  }

  shift(): void {
    this.#from = behindKey((this.head as KvEntry).key);
    this.#at++;
  }

  /** So that there is a head, an end, or an entry that cannot be given. */
  async look(): Promise<void> {
    while (this.head === undefined && !this.#ended && this.error === undefined) {
      try {
        const batch = this.#careful ? await this.#next() : await this.#batches.next();
        this.#ended = batch.done === true;
        this.#batch = (batch.done === true ? [] : batch.value).filter(({ key }) => this.#keep(key));
        this.#at = 0;
        const last = batch.done === true ? undefined : batch.value.at(-1);
        if (this.#batch.length === 0 && last !== undefined) this.#from = behindKey(last.key);
      } catch (error) {
        if (!isCorrupt(error)) throw error;
        // What comes before it may have been in the same batch: one by one.
        if (this.#careful) this.error = error as HoldfastError;
        this.#careful = true;
      }
    }
  }

  /** Of entries below `key` that were not given yet. */
  async isCorruptBelow(key: string): Promise<boolean> {
    try {
      await this.#first({ gte: this.#from, lt: key });
      return false;
    } catch (error) {
      if (isCorrupt(error)) return true;
      throw error;
    }
  }

  goBehind(key: string): void {
    this.#from = behindKey(key);
    this.error = undefined;
    this.#careful = false;
    this.#ended = false;
    this.#batch = [];
    this.#at = 0;
    this.#batches = this.#walk();
  }

  #walk(): AsyncIterator<readonly KvEntry[]> {
    const interval = { from: this.#from, to: this.#interval.to };
    return walkKeys(this.#tier, interval, false);
  }

  async #next(): Promise<IteratorResult<readonly KvEntry[], undefined>> {
    const entry = await this.#first({ gte: this.#from, lt: this.#interval.to });
    return entry === undefined ? { done: true, value: undefined } : { value: [entry] };
  }

  #first(range: { gte: string; lt: string | undefined }): Promise<KvEntry | undefined> {
    return this.#tier.read(async (store) => {
      for await (const entry of store.entries({ ...range, limit: 1 })) return entry;
      return undefined;
    });
  }
}

export function isCorrupt(error: unknown): boolean {
  return isHoldfastError(error) && error.kind === 'corrupt';
}
