/**
 * Entries in the memory of this process: for tests, and for what can be made again (caches).
 *
 * Invariants
 * 1. `#entries`, `#created`, `#due` and `#bytes` tell of the same entries: in the order of keys, of
 *    creation, and of expiry where they have one.
 * 2. Between deciding about a write and the change there is no `await`.
 * 3. With limits, what was used longest ago goes first: `#used` is in order of use. What is past its
 *    expiry goes when it is met, at the latest with `purgeIntervalMs`.
 */
import { type Clock, HoldfastError, LIMITS, type Timer } from '@holdfast/core';
import { BackedKvStore } from './backed-kv-store.ts';
import { ChangeRing } from './change-ring.ts';
import { type Decision, decideWrite, type EntryFacts, isExpired } from './decide-write.ts';
import type { CreatedPlace, KeyInterval, KvBackend, KvScanOptions, KvWrite } from './kv-backend.ts';
import type { KvAck, KvCapabilities, KvChange, KvEntry, KvStore } from './kv-store.ts';
import { compareKeys } from './kv-key.ts';
import { RecentMap } from './recent-map.ts';
import { SortedMap } from './sorted-map.ts';

export interface MemoryKvSettings {
  readonly id: string;
  /** Keys and values, with a little for each entry; older use goes first. Default: no limit. */
  readonly maxBytes?: number;
  /** The same. */
  readonly maxEntries?: number;
}

/** Rough memory of an entry beside its key and value. */
const ENTRY_OVERHEAD_BYTES = 200;
const SCAN_ENTRIES = 128;
const NUMBER_DIGITS = 16;

export function openMemoryKvStore(
  components: { readonly clock: Clock },
  settings: MemoryKvSettings,
): KvStore {
  return new BackedKvStore(components, new MemoryKvBackend(components, settings));
}

class MemoryKvBackend implements KvBackend {
  readonly id: string;
  readonly capabilities: KvCapabilities;
  readonly #clock: Clock;
  readonly #settings: MemoryKvSettings;
  readonly #entries = new SortedMap<KvEntry>();
  readonly #created = new SortedMap<string>(byText);
  readonly #used = new RecentMap<true>();
  readonly #ring = new ChangeRing();
  #bytes = 0;
  readonly #due = new SortedMap<string>(byText);
  #next = 1;
  #timer: Timer | undefined;

  constructor(components: { readonly clock: Clock }, settings: MemoryKvSettings) {
    this.id = settings.id;
    this.#clock = components.clock;
    this.#settings = settings;
    this.capabilities = {
      atomicBatch: true,
      compareAndSet: true,
      createdOrder: true,
      ttl: true,
      watch: true,
      stamps: true,
      anyText: true,
      durability: 'none',
      evicts: this.#bounded,
      retries: false,
      maxKeyBytes: LIMITS.maxEntryKeyBytes,
      maxValueBytes: LIMITS.maxEntryValueBytes,
      maxBatchOperations: LIMITS.maxTransactionOperations,
      maxBatchBytes: LIMITS.maxEntryBatchBytes,
    };
  }

  async read(key: string): Promise<KvEntry | undefined> {
    const entry = this.#entries.get(key);
    if (entry === undefined || isExpired(entry, this.#clock.now())) return undefined;
    this.#touch(key);
    return copyOf(entry);
  }

  async write(writes: readonly KvWrite[]): Promise<readonly KvAck[]> {
    const now = this.#clock.now();
    const decisions = this.#decide(writes, now);
    const acks = decisions.map((decision, at) => this.#apply(writes[at] as KvWrite, decision));
    this.#evict();
    this.#ring.wake();
    return acks;
  }

  async *scan(
    { from, to }: KeyInterval,
    { reverse, limit }: KvScanOptions,
  ): AsyncGenerator<readonly KvEntry[], void, undefined> {
    let low = from;
    let high = to;
    for (;;) {
      const batch: KvEntry[] = [];
      const most = Math.min(limit, SCAN_ENTRIES);
      const now = this.#clock.now();
      while (batch.length < most) {
        const key = reverse ? this.#entries.lastBelow(high) : this.#entries.firstAtOrAbove(low);
        if (key === undefined || compareKeys(key, from) < 0) break;
        if (to !== undefined && compareKeys(key, to) >= 0) break;
        const entry = this.#entries.get(key) as KvEntry;
        if (reverse) high = key;
        else low = `${key}\0`;
        if (!isExpired(entry, now)) batch.push(copyOf(entry));
      }
      if (batch.length === 0) return;
      yield batch;
    }
  }

  async *scanCreated(
    behind: CreatedPlace | undefined,
    { reverse, limit }: KvScanOptions,
  ): AsyncGenerator<readonly KvEntry[], void, undefined> {
    let at = behind === undefined ? undefined : numbered(behind.seq, behind.key);
    for (;;) {
      const batch: KvEntry[] = [];
      const most = Math.min(limit, SCAN_ENTRIES);
      const now = this.#clock.now();
      while (batch.length < most) {
        const next = reverse
          ? this.#created.firstAtOrAbove(at === undefined ? '' : `${at}\0`)
          : this.#created.lastBelow(at);
        if (next === undefined) break;
        at = next;
        const entry = this.#entries.get(this.#created.get(next) as string) as KvEntry;
        if (!isExpired(entry, now)) batch.push(copyOf(entry));
      }
      if (batch.length === 0) return;
      yield batch;
    }
  }

  changes(since: number | undefined, signal: AbortSignal): AsyncIterable<KvChange> {
    return this.#ring.watch(this.id, since, signal);
  }

  lastChange(): number {
    return this.#ring.last;
  }

  highestVersion(): number {
    return this.#next - 1;
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  get #bounded(): boolean {
    return this.#settings.maxBytes !== undefined || this.#settings.maxEntries !== undefined;
  }

  /** All decisions, or the first refusal: each sees the ones before it. */
  #decide(writes: readonly KvWrite[], now: number): Decision[] {
    const ahead = new Map<string, EntryFacts | undefined>();
    let next = this.#next;
    const decisions = writes.map((write) => {
      const { key } = write;
      const there = ahead.has(key) ? ahead.get(key) : this.#entries.get(key);
      const decision = decideWrite(write, there, next, now);
      if (decision.kind === 'refused') throw decision.error;
      if (decision.kind === 'put') {
        ahead.set(key, decision.entry);
        next = Math.max(next, decision.entry.version) + 1;
      } else if (decision.kind === 'del') {
        ahead.set(key, undefined);
        next++;
      }
      this.#assertFits(write);
      return decision;
    });
    return decisions;
  }

  #assertFits(write: KvWrite): void {
    const { maxBytes } = this.#settings;
    if (write.type !== 'put' || maxBytes === undefined) return;
    const bytes = bytesOf(write.key, write.value);
    if (bytes <= maxBytes) return;
    throw new HoldfastError(
      'QUOTA_EXCEEDED',
      `entry is larger than the whole store bytes=${bytes}`,
    );
  }

  #apply(write: KvWrite, decision: Decision): KvAck {
    const { key } = write;
    if (decision.kind === 'put' && write.type === 'put') {
      const change = this.#next;
      const { version } = decision.entry;
      this.#insert({ key, value: write.value, ...decision.entry });
      this.#next = Math.max(this.#next, version) + 1;
      this.#ring.push(this.id, { seq: change, type: 'put', key, version, value: write.value });
      return { changed: true, version };
    }
    if (decision.kind === 'del') {
      const change = this.#next++;
      this.#remove(key);
      const type = write.type === 'expire' ? 'expire' : 'del';
      const { version } = decision.before;
      this.#ring.push(this.id, { seq: change, type, key, version, value: undefined });
      return { changed: true, version: change };
    }
    return { changed: false, version: 0 };
  }

  /** In place of what is there; a place that stays is not left and taken again. */
  #insert(entry: KvEntry): void {
    const old = this.#entries.get(entry.key);
    if (old !== undefined) {
      if (old.seq !== entry.seq) this.#created.delete(numbered(old.seq, old.key));
      this.#bytes -= bytesOf(old.key, old.value);
      if (old.expiresAtMs !== undefined) this.#due.delete(numbered(old.expiresAtMs, old.key));
    }
    this.#entries.set(entry.key, entry);
    if (old?.seq !== entry.seq) this.#created.set(numbered(entry.seq, entry.key), entry.key);
    this.#bytes += bytesOf(entry.key, entry.value);
    this.#touch(entry.key);
    if (entry.expiresAtMs === undefined) return;
    this.#due.set(numbered(entry.expiresAtMs, entry.key), entry.key);
    this.#timer ??= this.#clock.after(LIMITS.purgeIntervalMs, () => this.#purge());
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#created.delete(numbered(entry.seq, key));
    this.#used.delete(key);
    this.#bytes -= bytesOf(key, entry.value);
    if (entry.expiresAtMs !== undefined) this.#due.delete(numbered(entry.expiresAtMs, key));
  }

  #touch(key: string): void {
    if (!this.#bounded) return;
    this.#used.set(key, true);
  }

  /** I3. */
  #evict(): void {
    const { maxBytes = Infinity, maxEntries = Infinity } = this.#settings;
    while (this.#bytes > maxBytes || this.#entries.size > maxEntries) {
      const oldest = this.#used.oldestKey;
      if (oldest === undefined) return;
      this.#drop(oldest, 'del');
    }
  }

  #drop(key: string, type: 'del' | 'expire'): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#remove(key);
    const { version } = entry;
    this.#ring.push(this.id, { seq: this.#next++, type, key, version, value: undefined });
  }

  #purge(): void {
    this.#timer = undefined;
    const now = this.#clock.now();
    for (;;) {
      const first = this.#due.firstAtOrAbove('');
      const key = first === undefined ? undefined : (this.#due.get(first) as string);
      const entry = key === undefined ? undefined : this.#entries.get(key);
      if (entry === undefined || !isExpired(entry, now)) break;
      this.#drop(entry.key, 'expire');
    }
    this.#ring.wake();
    if (this.#due.size === 0) return;
    this.#timer = this.#clock.after(LIMITS.purgeIntervalMs, () => this.#purge());
  }
}

function copyOf(entry: KvEntry): KvEntry {
  return { ...entry, value: Buffer.from(entry.value) };
}

function bytesOf(key: string, value: Uint8Array): number {
  return key.length + value.length + ENTRY_OVERHEAD_BYTES;
}

/** A stamp may give one `seq` to several entries; one moment is the expiry of many. */
function numbered(value: number, key: string): string {
  return `${String(value).padStart(NUMBER_DIGITS, '0')} ${key}`;
}

function byText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
