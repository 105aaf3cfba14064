/**
 * Ranges and pages over the primary and the ephemeral tier as one: a merge in one order.
 *
 * Invariants
 * 1. An entry is given by the tier that its key belongs to; a copy elsewhere is never shown.
 * 2. The ephemeral tier is asked only where ephemeral keys may be.
 * 3. What fails ends the walk: there is never less without an error.
 */
import type { CreatedPlace, KeyInterval, KvScanOptions } from '../kv-backend.ts';
import { compareKeys } from '../kv-key.ts';
import type { KvEntry } from '../kv-store.ts';
import { isReserved } from './reserved-keys.ts';
import type { TierRules } from './tier-rules.ts';
import type { TierSet } from './tier-set.ts';
import type { Tier } from './tier.ts';

const FIRST_ENTRIES = 16;
const MOST_ENTRIES = 128;
/** Bounds what a merge holds, when values are large. */
const MOST_BYTES = 1024 * 1024;

type Batches = AsyncIterable<readonly KvEntry[]>;
type Compare = (a: KvEntry, b: KvEntry) => number;

export class TieredWalks {
  readonly #tiers: TierSet;
  readonly #rules: TierRules;

  constructor(tiers: TierSet, rules: TierRules) {
    this.#tiers = tiers;
    this.#rules = rules;
  }

  scan(interval: KeyInterval, { reverse }: KvScanOptions): Batches {
    const walk = (tier: Tier): Batches => walkKeys(tier, interval, reverse);
    const order: Compare = (a, b) => compareKeys(a.key, b.key);
    return this.#merged(walk, interval, reverse ? (a, b) => order(b, a) : order);
  }

  scanCreated(behind: CreatedPlace | undefined, { reverse, limit }: KvScanOptions): Batches {
    const walk = (tier: Tier): Batches => walkCreated(tier, behind, reverse, limit);
    const order: Compare = (a, b) => a.seq - b.seq || compareKeys(a.key, b.key);
    const everything = { from: '', to: undefined };
    return this.#merged(walk, everything, reverse ? order : (a, b) => order(b, a));
  }

  #merged(walk: (tier: Tier) => Batches, interval: KeyInterval, order: Compare): Batches {
    const { primary, ephemeral } = this.#tiers;
    const rules = this.#rules;
    if (ephemeral === undefined || rules.isEmpty) {
      return kept(walk(primary.tier), ({ key }) => !isReserved(key));
    }
    const durable = kept(
      walk(primary.tier),
      ({ key }) => !isReserved(key) && !rules.isEphemeral(key), // I1
    );
    if (!rules.mayBeIn(interval)) return durable; // I2
    const rest = kept(
      walk(ephemeral.tier),
      ({ key }) => !isReserved(key) && rules.isEphemeral(key),
    );
    return merge(durable, rest, order);
  }
}

/** The entries of one tier, in key order. */
export async function* walkKeys(
  tier: Tier,
  { from, to }: KeyInterval,
  reverse: boolean,
): AsyncGenerator<readonly KvEntry[], void, undefined> {
  const range = { gte: from, lt: to, reverse };
  const entries = tier.store.entries(range)[Symbol.asyncIterator]();
  try {
    for (let most = FIRST_ENTRIES; ; most = Math.min(most * 2, MOST_ENTRIES)) {
      const batch = await tier.step(() => take(entries, most));
      if (batch.length > 0) yield batch;
      if (batch.length === 0) return;
    }
  } finally {
    void entries.return?.().catch(() => undefined);
  }
}

async function take(entries: AsyncIterator<KvEntry>, most: number): Promise<readonly KvEntry[]> {
  const batch: KvEntry[] = [];
  let bytes = 0;
  while (batch.length < most && bytes < MOST_BYTES) {
    const { done, value } = await entries.next();
    if (done === true) break;
    batch.push(value);
    bytes += value.value.length;
  }
  return batch;
}

async function* walkCreated(
  tier: Tier,
  behind: CreatedPlace | undefined,
  reverse: boolean,
  limit: number,
): AsyncGenerator<readonly KvEntry[], void, undefined> {
  let place = behind;
  for (;;) {
    const page = { order: 'created', reverse, limit: Math.min(limit, MOST_ENTRIES) } as const;
    const { entries, next } = await tier.read((store) => store.page({ ...page, behind: place }));
    if (entries.length > 0) yield entries;
    place = entries.at(-1);
    if (next === undefined) return;
  }
}

async function* kept(
  batches: Batches,
  keep: (entry: KvEntry) => boolean,
): AsyncGenerator<readonly KvEntry[], void, undefined> {
  for await (const batch of batches) {
    const left = batch.filter(keep);
    if (left.length > 0) yield left;
  }
}

async function* merge(
  left: Batches,
  right: Batches,
  order: Compare,
): AsyncGenerator<readonly KvEntry[], void, undefined> {
  const a = new Cursor(left);
  const b = new Cursor(right);
  try {
    await Promise.all([a.fill(), b.fill()]);
    while (a.head !== undefined || b.head !== undefined) {
      const batch: KvEntry[] = [];
      // As far as both are known.
      while (a.head !== undefined && b.head !== undefined) {
        batch.push((order(a.head, b.head) <= 0 ? a : b).shift());
      }
      if (a.ended) while (b.head !== undefined) batch.push(b.shift());
      if (b.ended) while (a.head !== undefined) batch.push(a.shift());
      if (batch.length > 0) yield batch;
      await Promise.all([a.fill(), b.fill()]);
    }
  } finally {
    a.leave();
    b.leave();
  }
}

class Cursor {
  readonly #batches: AsyncIterator<readonly KvEntry[]>;
  #batch: readonly KvEntry[] = [];
  #at = 0;
  ended = false;

  constructor(batches: Batches) {
    this.#batches = batches[Symbol.asyncIterator]();
  }

  get head(): KvEntry | undefined {
    return this.#batch[this.#at];
  }

  shift(): KvEntry {
    return this.#batch[this.#at++] as KvEntry;
  }

  async fill(): Promise<void> {
    if (this.ended || this.head !== undefined) return;
    const { done, value } = await this.#batches.next();
    this.ended = done === true;
    this.#batch = done === true ? [] : value;
    this.#at = 0;
  }

  leave(): void {
    void this.#batches.return?.().catch(() => undefined);
  }
}
