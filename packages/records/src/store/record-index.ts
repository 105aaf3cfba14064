/**
 * What a record store holds in memory of every record: who made it, how large it is and when it was
 * used; nothing that grows with its subkeys.
 *
 * Invariants
 * 1. `#entries` and the entries of each origin are in order of use, oldest first; an entry is in both.
 * 2. `records`, `bytes` and the sums of origins count the entries that are `counted`, each with its
 *    `bytes`; an origin without entries is forgotten.
 * 3. `#most` is the origin with the most, or `undefined` where that has to be looked up: only then do
 *    all origins count, so that evictions cost the same however many peers there are.
 *
 * Owner: the store; entries are changed by calls of the index only.
 */
import type { PeerId } from '../coordinate.ts';
import type { RecordId } from '../record-key.ts';

export interface IndexEntry {
  readonly id: RecordId;
  readonly origin: PeerId | undefined;
  readonly bytes: number;
  /** False while it goes: its room is given to others already. */
  readonly counted: boolean;
  /** Of the row of its head in the `KvStore`; 0: there is none yet. */
  readonly version: number;
  readonly touchedAtMs: number;
  /** When the time of its use was written down last. */
  readonly touchWrittenAtMs: number;
  /** A write of it failed, and nobody knows what became of it: its head has to be read again. */
  readonly uncertain: boolean;
}

export type IndexFacts = Omit<IndexEntry, 'id'>;

interface OriginSum {
  bytes: number;
  records: number;
  /** In order of use. */
  readonly entries: Map<RecordId, IndexEntry>;
}

/**
 * Of what an origin has on average. Some one always has more than the average: were that the bound,
 * among peers that are much alike it would not count any more what is used.
 */
const SHARE = 1.5;

export class RecordIndex {
  readonly #entries = new Map<RecordId, IndexEntry>();
  readonly #origins = new Map<PeerId | undefined, OriginSum>();
  /** I3 */
  readonly #most: { bytes: OriginSum | undefined; records: OriginSum | undefined } = {
    bytes: undefined,
    records: undefined,
  };
  #bytes = 0;
  #records = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get records(): number {
    return this.#records;
  }

  ids(): RecordId[] {
    return [...this.#entries.keys()];
  }

  get(id: RecordId): IndexEntry | undefined {
    return this.#entries.get(id);
  }

  ofOrigin(origin: PeerId | undefined): { readonly bytes: number; readonly records: number } {
    return this.#origins.get(origin) ?? { bytes: 0, records: 0 };
  }

  /** As the one used last. */
  put(id: RecordId, facts: IndexFacts): void {
    this.remove(id);
    const entry = { ...facts, id };
    this.#entries.set(id, entry);
    const sum = this.#sumOf(entry.origin);
    sum.entries.set(id, entry);
    if (entry.counted) this.#count(sum, entry.bytes, 1);
  }

  /** Its place in the order stays. */
  change(id: RecordId, facts: Partial<Omit<IndexFacts, 'origin'>>): void {
    const before = this.#entries.get(id);
    if (before === undefined) return;
    const after = { ...before, ...facts };
    const sum = this.#sumOf(before.origin);
    const bytes = (after.counted ? after.bytes : 0) - (before.counted ? before.bytes : 0);
    this.#count(sum, bytes, Number(after.counted) - Number(before.counted));
    this.#entries.set(id, after);
    sum.entries.set(id, after);
  }

  touch(id: RecordId, touchedAtMs: number): void {
    const before = this.#entries.get(id);
    if (before === undefined) return;
    const after = { ...before, touchedAtMs };
    const { entries } = this.#sumOf(before.origin);
    for (const order of [this.#entries, entries]) {
      order.delete(id);
      order.set(id, after);
    }
  }

  remove(id: RecordId): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const sum = this.#sumOf(entry.origin);
    if (entry.counted) this.#count(sum, -entry.bytes, -1);
    this.#entries.delete(id);
    sum.entries.delete(id);
    if (sum.entries.size === 0) this.#origins.delete(entry.origin);
  }

  /**
   * Whom to evict where `what` is short: the one used longest ago, of the origin with the most if that
   * has more than its share, else of all.
   * @param may false for those that cannot go now.
   */
  victim(what: 'bytes' | 'records', may: (id: RecordId) => boolean): IndexEntry | undefined {
    const most = this.#mostOf(what);
    const mean = this[what] / this.#origins.size;
    const over = most !== undefined && most[what] > SHARE * mean;
    const first = over ? oldest(most?.entries, may) : undefined;
    return first ?? oldest(this.#entries, may);
  }

  #sumOf(origin: PeerId | undefined): OriginSum {
    let sum = this.#origins.get(origin);
    if (sum === undefined) {
      sum = { bytes: 0, records: 0, entries: new Map() };
      this.#origins.set(origin, sum);
    }
    return sum;
  }

  #mostOf(what: 'bytes' | 'records'): OriginSum | undefined {
    let most = this.#most[what];
    if (most !== undefined) return most;
    for (const sum of this.#origins.values()) if (sum[what] > (most?.[what] ?? 0)) most = sum;
    this.#most[what] = most;
    return most;
  }

  #count(sum: OriginSum, bytes: number, records: number): void {
    sum.bytes += bytes;
    sum.records += records;
    this.#bytes += bytes;
    this.#records += records;
    this.#rank(sum, 'bytes', bytes);
    this.#rank(sum, 'records', records);
  }

  /** I3 */
  #rank(sum: OriginSum, what: 'bytes' | 'records', change: number): void {
    const most = this.#most[what];
    if (most === sum && change < 0) this.#most[what] = undefined;
    else if (most !== undefined && sum[what] > most[what]) this.#most[what] = sum;
  }
}

function oldest(
  entries: ReadonlyMap<RecordId, IndexEntry> | undefined,
  may: (id: RecordId) => boolean,
): IndexEntry | undefined {
  for (const entry of entries?.values() ?? []) if (entry.counted && may(entry.id)) return entry;
  return undefined;
}
