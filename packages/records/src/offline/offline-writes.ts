/**
 * The queue of what was written here and too few peers hold. It has subkeys, not values: whenever the
 * turn of one comes, the newest value that is stored here is sent.
 *
 * Invariants
 * 1. A subkey is in the queue, durably, from before its value is written until enough peers hold that
 *    value or one that wins over it. What a `kill` leaves in it too long is sent once more, in vain.
 * 2. At most `queuedWritesAtOnce` are under way, of one record `queuedWritesOfRecord`, of one subkey one;
 *    and none while the application sets that very subkey (`hold`).
 * 3. Where a record fails, it pauses, for all its subkeys: longer with each failure on end, up to a bound,
 *    with full jitter. A subkey that found its peers, `flush`, and a network that is back (`wake`) end
 *    the pause. A write is never given up.
 * 4. Records take turns, and so do the subkeys of one: none that fails for ever keeps others waiting.
 * 5. A subkey of which nothing is stored is dropped: its set failed, or its record was deleted.
 *
 * Owner: `PeerRecords`. `close` ends what is under way and keeps the queue.
 */
import {
  type Clock,
  hasCode,
  HoldfastError,
  isHoldfastError,
  type Logger,
  type Random,
  RECORD_LIMITS,
  type Timer,
} from '@holdfast/core';
import type { PendingWrites } from '../engines/pending-writes.ts';
import type { PushedValue } from '../engines/push-value.ts';
import type { DurableItems } from '../metadata/durable-items.ts';
import type { RecordId } from '../record-key.ts';
import type { FlushOptions, FlushResult, RecordCallOptions } from '../records.ts';
import { sharedAbort } from '../rpc/shared-abort.ts';
import { NO_SUBKEYS, type SubkeySet } from '../subkey-set.ts';
import { FlushWaits } from './flush-waits.ts';
import { retryDelayMs } from './retry-delay.ts';

export interface OfflineWritesComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly items: DurableItems<SubkeySet>;
  /** Sends what is stored, and takes it from the queue where enough peers took it. */
  readonly push: (
    record: RecordId,
    subkey: number,
    options: RecordCallOptions,
  ) => Promise<PushedValue | undefined>;
  /** Of one that found its peers; another value may have won on the way. */
  readonly onSent: (record: RecordId, subkey: number, pushed: PushedValue) => void;
}

/** A record with something to send. */
interface QueuedRecord {
  dueAtMs: number;
  /** On end. */
  failures: number;
  /** Where the next subkey is looked for (I4). */
  cursor: number;
  readonly underWay: Set<number>;
  /** With how many sets of it there are. */
  readonly held: Map<number, number>;
}

export class OfflineWrites implements PendingWrites {
  readonly #components: OfflineWritesComponents;
  /** Served longest ago first. */
  readonly #records = new Map<RecordId, QueuedRecord>();
  readonly #waits: FlushWaits;
  readonly #sending = new Set<Promise<void>>();
  readonly #abort = sharedAbort();
  #timer: Timer | undefined;
  #timerAtMs = Infinity;
  #isStarted = false;

  constructor(components: OfflineWritesComponents) {
    this.#components = components;
    this.#waits = new FlushWaits(components.clock);
  }

  /** Begins with what was left the last time. */
  start(): void {
    this.#isStarted = true;
    for (const [record] of this.#components.items.entries()) this.#queued(record);
    this.#look();
  }

  async add(record: RecordId, subkey: number): Promise<void> {
    if (this.#abort.signal.aborted) throw closed();
    const { items } = this.#components;
    const queued = this.#queued(record);
    if (!this.of(record).has(subkey) || !items.isAtRest(record)) {
      await items.set(record, this.of(record).with(subkey));
    }
    this.#lookBy(queued.dueAtMs);
  }

  remove(record: RecordId, subkey: number): Promise<void> {
    const { items } = this.#components;
    const before = this.of(record);
    if (before.has(subkey)) {
      const left = before.without(subkey);
      if (left.isEmpty) items.drop(record);
      else items.lessen(record, left);
    }
    this.#waits.sent(record, subkey);
    return Promise.resolve();
  }

  of(record: RecordId): SubkeySet {
    return this.#components.items.get(record) ?? NO_SUBKEYS;
  }

  /** I2: while the application does this with the subkey. */
  async hold<Result>(
    record: RecordId,
    subkey: number,
    work: () => Promise<Result>,
  ): Promise<Result> {
    const queued = this.#queued(record);
    queued.held.set(subkey, (queued.held.get(subkey) ?? 0) + 1);
    const { failures } = queued;
    try {
      return await work();
    } finally {
      const left = (queued.held.get(subkey) as number) - 1;
      if (left > 0) queued.held.set(subkey, left);
      else queued.held.delete(subkey);
      if (this.of(record).has(subkey)) this.#failed(queued, failures);
      this.#forgetIdle(record, queued);
      this.#lookBy(queued.dueAtMs);
    }
  }

  /** Resolves once what is queued now is no longer. */
  async flush(record: RecordId, options: FlushOptions = {}): Promise<FlushResult> {
    if (this.#abort.signal.aborted) throw closed();
    const subkeys = this.of(record);
    if (subkeys.isEmpty) return { status: 'flushed' };
    const waited = this.#waits.wait(record, subkeys, options);
    this.#endPause(this.#queued(record));
    this.#look();
    return waited;
  }

  /** The network is back. */
  wake(): void {
    const { clock, random } = this.#components;
    for (const queued of this.#records.values()) {
      // A pause of the first kind, so that not everybody who was away comes at once.
      queued.failures = 0;
      queued.dueAtMs = Math.min(queued.dueAtMs, clock.monotonicMs() + retryDelayMs(random, 0));
    }
    this.#look();
  }

  /** The record was deleted. */
  forget(record: RecordId): void {
    this.#components.items.drop(record);
    const message = `the record was deleted record=${record}`;
    this.#waits.fail(new HoldfastError('RECORD_NOT_FOUND', message), record);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#timer?.cancel();
    this.#waits.fail(closed());
    while (this.#sending.size > 0) await Promise.all(this.#sending);
  }

  #queued(record: RecordId): QueuedRecord {
    let queued = this.#records.get(record);
    if (queued === undefined) {
      const { clock, random } = this.#components;
      const dueAtMs = clock.monotonicMs() + retryDelayMs(random, 0);
      queued = { dueAtMs, failures: 0, cursor: 0, underWay: new Set(), held: new Map() };
      this.#records.set(record, queued);
    }
    return queued;
  }

  #forgetIdle(record: RecordId, { underWay, held }: QueuedRecord): void {
    if (underWay.size === 0 && held.size === 0 && this.of(record).isEmpty) {
      this.#records.delete(record);
    }
  }

  /** Sends what is due; where there is no more room, whatever ends looks again. */
  #look(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAtMs = Infinity;
    if (!this.#isStarted || this.#abort.signal.aborted) return;
    const now = this.#components.clock.monotonicMs();
    let nextMs = Infinity;
    for (const [record, queued] of this.#records) {
      if (this.#sending.size >= RECORD_LIMITS.queuedWritesAtOnce) return;
      if (queued.dueAtMs <= now) this.#sendSome(record, queued);
      else if (!this.of(record).isEmpty) nextMs = Math.min(nextMs, queued.dueAtMs);
    }
    this.#lookBy(nextMs);
  }

  #lookBy(dueAtMs: number): void {
    if (!this.#isStarted || this.#abort.signal.aborted || dueAtMs >= this.#timerAtMs) return;
    this.#timer?.cancel();
    this.#timerAtMs = dueAtMs;
    const delayMs = Math.max(0, dueAtMs - this.#components.clock.monotonicMs());
    this.#timer = this.#components.clock.after(delayMs, () => this.#look());
  }

  #sendSome(record: RecordId, queued: QueuedRecord): void {
    const { queuedWritesAtOnce, queuedWritesOfRecord } = RECORD_LIMITS;
    while (this.#sending.size < queuedWritesAtOnce && queued.underWay.size < queuedWritesOfRecord) {
      const subkey = this.#nextOf(record, queued);
      if (subkey === undefined) return;
      queued.cursor = subkey + 1;
      queued.underWay.add(subkey);
      this.#records.delete(record); // I4
      this.#records.set(record, queued);
      const sending = this.#send(record, queued, subkey).finally(() => {
        this.#sending.delete(sending);
        queued.underWay.delete(subkey);
        this.#forgetIdle(record, queued);
        this.#look();
      });
      this.#sending.add(sending);
    }
  }

  /** I4 */
  #nextOf(record: RecordId, { cursor, underWay, held }: QueuedRecord): number | undefined {
    let first: number | undefined;
    for (const subkey of this.of(record)) {
      if (underWay.has(subkey) || held.has(subkey)) continue;
      if (subkey >= cursor) return subkey;
      first ??= subkey;
    }
    return first;
  }

  /** Never rejects. */
  async #send(record: RecordId, queued: QueuedRecord, subkey: number): Promise<void> {
    const { failures } = queued;
    const { signal } = this.#abort;
    try {
      const pushed = await this.#components.push(record, subkey, { signal });
      if (pushed !== undefined && pushed.outcome.kind !== 'consensus') {
        this.#failed(queued, failures);
        return;
      }
      this.#endPause(queued);
      if (pushed !== undefined) this.#components.onSent(record, subkey, pushed);
      // I5; a set that began meanwhile has queued it anew.
      else if (!queued.held.has(subkey)) await this.remove(record, subkey);
    } catch (error) {
      if (signal.aborted) return;
      this.#failed(queued, failures);
      const code = isHoldfastError(error) ? error.code : String(error);
      if (hasCode(error, 'RECORD_NOT_FOUND')) await this.remove(record, subkey);
      else this.#components.logger.warn('records.queued-write-failed', { record, subkey, code });
    }
  }

  /** I3; those that were under way together fail once. */
  #failed(queued: QueuedRecord, failuresBefore: number): void {
    if (queued.failures !== failuresBefore) return;
    const { clock, random } = this.#components;
    queued.failures++;
    queued.dueAtMs = clock.monotonicMs() + retryDelayMs(random, queued.failures);
  }

  #endPause(queued: QueuedRecord): void {
    queued.failures = 0;
    queued.dueAtMs = this.#components.clock.monotonicMs();
  }
}

function closed(): HoldfastError {
  return new HoldfastError('CLOSED', 'records are closed');
}
