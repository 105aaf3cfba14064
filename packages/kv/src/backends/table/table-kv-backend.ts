/**
 * A backend over rows with transactions: group commit, conditions, fencing, walks, expiry.
 *
 * Invariants
 * 1. One group of writes is under way at a time, and groups are in the order of calls.
 * 2. A group is decided on rows and head as they were at one moment, and committed only where the
 *    head is still that: nobody's write is lost, and a newer epoch lets nothing of it happen.
 * 3. Changes are told, and calls acknowledged, after their commit resolved.
 * 4. What is served was checked against its envelope.
 *
 * Owner: `BackedKvStore`, which closes it after the last write.
 */
import { type Clock, HoldfastError, isHoldfastError, LIMITS, type Timer } from '@holdfast/core';
import { ChangeRing } from '../../change-ring.ts';
import { isExpired } from '../../decide-write.ts';
import { assertEpoch, fencedError, type KvFence } from '../../fencing.ts';
import type {
  CreatedPlace,
  KeyInterval,
  KvBackend,
  KvScanOptions,
  KvWrite,
} from '../../kv-backend.ts';
import { behindKey } from '../../kv-key.ts';
import type { KvAck, KvCapabilities, KvChange, KvEntry } from '../../kv-store.ts';
import { openEntry } from '../stored-entry.ts';
import { type WaitingWrite, WriteQueue } from '../write-queue.ts';
import { type DecidedGroup, decideGroup } from './decide-group.ts';
import type { EntryTable, RowsWanted, TableRow } from './entry-table.ts';

export interface TableKvSettings {
  readonly id: string;
  /** What writes carry: see `fencing.ts`. */
  readonly epoch: number;
}

/** Longest wait of the platform's timers. */
const MAX_WAIT_MS = 2_000_000_000;

export class TableKvBackend implements KvBackend, KvFence {
  readonly id: string;
  readonly #clock: Clock;
  readonly #table: EntryTable;
  readonly #queue = new WriteQueue();
  readonly #ring = new ChangeRing();
  #epoch: number;
  #running: Promise<void> | undefined;
  #purgeAtMs = Infinity;
  #timer: Timer | undefined;
  #closed = false;

  private constructor(clock: Clock, table: EntryTable, settings: TableKvSettings) {
    this.#clock = clock;
    this.#table = table;
    this.id = settings.id;
    this.#epoch = settings.epoch;
  }

  static async open(
    components: { readonly clock: Clock },
    table: EntryTable,
    settings: TableKvSettings,
  ): Promise<TableKvBackend> {
    const backend = new TableKvBackend(components.clock, table, settings);
    try {
      const { head } = await table.load([]);
      backend.#ring.begin(head.next - 1);
      backend.#purgeBy(components.clock.now());
      return backend;
    } catch (error) {
      await table.close();
      throw error;
    }
  }

  get capabilities(): KvCapabilities {
    return this.#table.capabilities;
  }

  get epoch(): number {
    return this.#epoch;
  }

  async newest(): Promise<number> {
    return (await this.#table.load([])).head.epoch;
  }

  async claim(epoch: number): Promise<void> {
    assertEpoch(epoch);
    for (let tries = 0; tries < LIMITS.maxGroupTries; tries++) {
      const { head } = await this.#table.load([]);
      if (head.epoch >= epoch) throw fencedError(head.epoch, epoch);
      const change = { expected: head, head: { ...head, epoch }, puts: [], dels: [] };
      if (await this.#table.commit(change)) {
        this.#epoch = epoch;
        return;
      }
    }
    throw contended();
  }

  async read(key: string): Promise<KvEntry | undefined> {
    const bytes = await this.#table.read(key);
    if (bytes === undefined) return undefined;
    const entry = entryOf({ key, bytes });
    return isExpired(entry, this.#clock.now()) ? undefined : entry;
  }

  write(writes: readonly KvWrite[], signal?: AbortSignal): Promise<readonly KvAck[]> {
    const done = this.#queue.push(writes, signal);
    this.#running ??= this.#run();
    return done;
  }

  async *scan(
    { from, to }: KeyInterval,
    { reverse, limit }: KvScanOptions,
  ): AsyncGenerator<readonly KvEntry[], void, undefined> {
    const left = { from, to };
    for (;;) {
      const rows = await this.#table.range({ ...left }, wanted(reverse, limit));
      const last = rows.at(-1);
      if (last === undefined) return;
      if (reverse) left.to = last.key;
      else left.from = behindKey(last.key);
      const entries = this.#living(rows);
      if (entries.length > 0) yield entries;
    }
  }

  async *scanCreated(
    behind: CreatedPlace | undefined,
    { reverse, limit }: KvScanOptions,
  ): AsyncGenerator<readonly KvEntry[], void, undefined> {
    let at = behind;
    for (;;) {
      const rows = await this.#table.created(at, wanted(reverse, limit));
      const last = rows.at(-1);
      if (last === undefined) return;
      at = { seq: entryOf(last).seq, key: last.key };
      const entries = this.#living(rows);
      if (entries.length > 0) yield entries;
    }
  }

  changes(since: number | undefined, signal: AbortSignal): AsyncIterable<KvChange> {
    return this.#ring.watch(this.id, since, signal);
  }

  lastChange(): number {
    return this.#ring.last;
  }

  async flush(): Promise<void> {
    await this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.#running;
    await this.#table.close();
  }

  #living(rows: readonly TableRow[]): KvEntry[] {
    const now = this.#clock.now();
    return rows.map(entryOf).filter((entry) => !isExpired(entry, now)); // I4
  }

  /** I1. Ends when nothing waits. */
  async #run(): Promise<void> {
    // What is called in one turn is one group.
    await new Promise<void>((resolve) => this.#clock.immediate(resolve));
    while (!this.#queue.isEmpty) await this.#runGroup(this.#queue.takeGroup());
    this.#running = undefined;
  }

  async #runGroup(group: readonly WaitingWrite[]): Promise<void> {
    if (group.length === 0) return;
    try {
      const decided = await this.#commit(group.map(({ writes }) => writes));
      for (const change of decided.changes) this.#ring.push(this.id, change); // I3
      this.#ring.wake();
      for (const [at, { acks, error }] of decided.calls.entries()) {
        const call = group[at] as WaitingWrite;
        if (acks === undefined) call.reject(error);
        else call.resolve(acks);
      }
      this.#expectExpiries(group);
    } catch (error) {
      for (const call of group) call.reject(error);
    }
  }

  /** I2. */
  async #commit(calls: readonly (readonly KvWrite[])[]): Promise<DecidedGroup> {
    const keys = [...new Set(calls.flatMap((writes) => writes.map(({ key }) => key)))];
    for (let tries = 0; tries < LIMITS.maxGroupTries; tries++) {
      const epoch = this.#epoch;
      const state = await withoutEffect(this.#table.load(keys));
      if (state.head.epoch !== epoch) throw fencedError(state.head.epoch, epoch);
      const decided = decideGroup(calls, state, epoch, this.#clock.now());
      if (decided.change === undefined) return decided;
      if (await this.#table.commit(decided.change)) return decided;
    }
    throw contended();
  }

  #expectExpiries(group: readonly WaitingWrite[]): void {
    for (const { writes } of group) {
      for (const write of writes) {
        if (write.type !== 'put' || write.expiresAtMs === undefined) continue;
        this.#purgeBy(write.expiresAtMs);
      }
    }
  }

  #purgeBy(atMs: number): void {
    if (this.#closed || atMs >= this.#purgeAtMs) return;
    this.#purgeAtMs = atMs;
    this.#timer?.cancel();
    const waitMs = Math.max(atMs - this.#clock.now(), LIMITS.purgeIntervalMs);
    this.#timer = this.#clock.after(Math.min(waitMs, MAX_WAIT_MS), () => void this.#purge());
  }

  /** Never rejects: what could not be done is done in a later round. */
  async #purge(): Promise<void> {
    this.#purgeAtMs = Infinity;
    const now = this.#clock.now();
    try {
      const { keys, nextMs } = await this.#table.due(now, LIMITS.maxGroupOperations);
      if (keys.length > 0 && !this.#closed) {
        await this.write(keys.map((key) => ({ type: 'expire', key })));
      }
      if (keys.length > 0) this.#purgeBy(now);
      else if (nextMs !== undefined) this.#purgeBy(nextMs);
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      this.#purgeBy(now + LIMITS.backendTimeoutMs);
    }
  }
}

function entryOf({ key, bytes }: TableRow): KvEntry {
  return openEntry(key, bytes);
}

function wanted(reverse: boolean, limit: number): RowsWanted {
  const entries = Math.min(limit, LIMITS.scannedEntries);
  return { reverse, entries, bytes: LIMITS.scannedBytes };
}

/** Nothing was written yet: whatever the error says of the call that failed. */
async function withoutEffect<T>(loading: Promise<T>): Promise<T> {
  try {
    return await loading;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.effect === 'none') throw error;
    throw new HoldfastError(error.code, error.message, { cause: error });
  }
}

function contended(): HoldfastError {
  return new HoldfastError(
    'STORAGE_UNAVAILABLE',
    'other processes write to the store all the time: no turn came',
  );
}
