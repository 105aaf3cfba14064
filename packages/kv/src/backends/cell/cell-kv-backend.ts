/**
 * A backend over cells: one entry at a time, compared and set; many entries at once.
 *
 * Invariants
 * 1. Writes of one key follow each other in the order of calls; those of different keys run beside
 *    each other, as many as the gate lets.
 * 2. A write is decided on what the cell holds and happens only where it still holds that.
 * 3. It is acknowledged once the writer was confirmed after it: see `CellWriter`.
 * 4. What is served was checked against its envelope.
 *
 * Owner: `BackedKvStore`, which closes it after the last write.
 */
import {
  type Clock,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Random,
  type Timer,
} from '@holdfast/core';
import { type Decision, decideWrite, isExpired } from '../../decide-write.ts';
import { encodeEnvelope } from '../../envelope.ts';
import { assertEpoch, type KvFence } from '../../fencing.ts';
import type {
  CreatedPlace,
  KeyInterval,
  KvBackend,
  KvScanOptions,
  KvWrite,
} from '../../kv-backend.ts';
import { abortedError, unsupported } from '../../kv-errors.ts';
import type { KvAck, KvCapabilities, KvChange, KvEntry } from '../../kv-store.ts';
import { factsOrDamage, openEntry, replacesDamage } from '../stored-entry.ts';
import type { RowsWanted, TableRow } from '../table/entry-table.ts';
import type { CellStore, CellThere } from './cell-store.ts';
import { CellWriter, contended } from './cell-writer.ts';

export interface CellKvSettings {
  readonly id: string;
  readonly epoch: number;
  /** Nobody else can open the store. */
  readonly sole: boolean;
}

interface CellKvComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly store: CellStore;
}

const NOTHING: KvAck = { changed: false, version: 0 };

export class CellKvBackend implements KvBackend, KvFence {
  readonly id: string;
  readonly #clock: Clock;
  readonly #store: CellStore;
  readonly #writer: CellWriter;
  /** The last write of each key that is under way. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #waiting = 0;
  #waitingBytes = 0;
  #timer: Timer | undefined;
  #purgeAtMs = Infinity;
  #purging: Promise<void> | undefined;
  #closed = false;

  private constructor(components: CellKvComponents, settings: CellKvSettings) {
    this.id = settings.id;
    this.#clock = components.clock;
    this.#store = components.store;
    this.#writer = new CellWriter(components, settings);
  }

  static async open(
    components: CellKvComponents,
    settings: CellKvSettings,
  ): Promise<CellKvBackend> {
    const backend = new CellKvBackend(components, settings);
    try {
      await backend.newest();
      backend.#purgeBy(components.clock.now());
      return backend;
    } catch (error) {
      await components.store.close();
      throw error;
    }
  }

  get capabilities(): KvCapabilities {
    return this.#store.capabilities;
  }

  get epoch(): number {
    return this.#writer.epoch;
  }

  newest(): Promise<number> {
    return this.#writer.newest();
  }

  async claim(epoch: number): Promise<void> {
    assertEpoch(epoch);
    await this.#writer.claim(epoch);
  }

  async read(key: string): Promise<KvEntry | undefined> {
    const bytes = (await this.#store.read(key))?.bytes;
    if (bytes === undefined) return undefined;
    const entry = openEntry(key, bytes); // I4
    return isExpired(entry, this.#clock.now()) ? undefined : entry;
  }

  async write(
    writes: readonly KvWrite[],
    signal: AbortSignal | undefined,
  ): Promise<readonly KvAck[]> {
    const [write] = writes;
    if (write === undefined) return [];
    const bytes = write.type === 'put' ? write.value.length : 0;
    const full =
      this.#waiting >= LIMITS.maxWaitingWrites ||
      (this.#waiting > 0 && this.#waitingBytes + bytes > LIMITS.maxWaitingWriteBytes);
    if (full) throw new HoldfastError('COMMIT_QUEUE_FULL', 'too many writes wait for the store');
    this.#waiting++;
    this.#waitingBytes += bytes;
    try {
      return [await this.#inTurn(write.key, () => this.#write(write, signal))];
    } finally {
      this.#waiting--;
      this.#waitingBytes -= bytes;
    }
  }

  scan(
    interval: KeyInterval,
    { reverse, limit }: KvScanOptions,
  ): AsyncIterable<readonly KvEntry[]> {
    return this.#living(this.#store.range(interval, wanted(reverse, limit)));
  }

  scanCreated(
    behind: CreatedPlace | undefined,
    { reverse, limit }: KvScanOptions,
  ): AsyncIterable<readonly KvEntry[]> {
    return this.#living(this.#store.created(behind, wanted(reverse, limit)));
  }

  changes(): AsyncIterable<KvChange> {
    throw unsupported('watch');
  }

  lastChange(): number {
    return this.#writer.last;
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.#purging;
    await this.#store.close();
  }

  async *#living(
    walk: AsyncIterable<readonly TableRow[]>,
  ): AsyncGenerator<readonly KvEntry[], void, undefined> {
    for await (const rows of walk) {
      const now = this.#clock.now();
      const entries = rows.map(({ key, bytes }) => openEntry(key, bytes)); // I4
      yield entries.filter((entry) => !isExpired(entry, now));
    }
  }

  /** I1. */
  #inTurn<T>(key: string, act: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(key);
    const turn = before === undefined ? act() : before.then(act, act);
    this.#turns.set(key, turn);
    const over = (): void => {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    };
    turn.then(over, over);
    return turn;
  }

  async #write(write: KvWrite, signal: AbortSignal | undefined): Promise<KvAck> {
    if (signal?.aborted) throw abortedError(signal);
    for (let tries = 0; tries < LIMITS.maxGroupTries; tries++) {
      const ack = await this.#try(write);
      if (ack === undefined) continue;
      if (ack.changed) await afterWriting(this.#writer.confirm()); // I3
      return ack;
    }
    throw contended();
  }

  /** I2. `undefined`: somebody else was quicker. */
  async #try(write: KvWrite): Promise<KvAck | undefined> {
    const { key } = write;
    await beforeWriting(this.#writer.begin());
    const looks = Promise.all([this.#store.read(key), this.#writer.confirm()]);
    const [cell] = await beforeWriting(looks);
    const bytes = cell?.bytes;
    const facts = bytes === undefined ? undefined : factsOrDamage(() => openEntry(key, bytes));
    const known = facts instanceof Error ? undefined : facts;
    const there: CellThere | undefined = cell && { tag: cell.tag, facts: known };
    if (facts instanceof Error && !replacesDamage(write)) throw facts;
    const version = await beforeWriting(this.#writer.version(known?.version ?? 0));
    const decision = decideWrite(write, known, version, this.#clock.now());
    return this.#apply(write, decision, there, version, bytes !== undefined);
  }

  async #apply(
    write: KvWrite,
    decision: Decision,
    there: CellThere | undefined,
    version: number,
    isThere: boolean,
  ): Promise<KvAck | undefined> {
    const { key } = write;
    if (decision.kind === 'refused') throw decision.error;
    if (decision.kind === 'put' && write.type === 'put') {
      const stamped = write.stamp !== undefined;
      const facts = stamped ? decision.entry : { ...decision.entry, epoch: this.epoch };
      if (stamped) await beforeWriting(this.#writer.raise(facts.version));
      const bytes = Buffer.concat([encodeEnvelope(key, facts, write.value), write.value]);
      if (!(await this.#store.put(key, bytes, facts, there))) return undefined;
      if (facts.expiresAtMs !== undefined) this.#purgeBy(facts.expiresAtMs);
      return { changed: true, version: facts.version };
    }
    const damaged = write.type === 'del' && isThere && there?.facts === undefined;
    if (there === undefined || (decision.kind !== 'del' && !damaged)) return NOTHING;
    return (await this.#store.remove(key, there, version)) ? { changed: true, version } : undefined;
  }

  #purgeBy(atMs: number): void {
    if (this.#closed || atMs >= this.#purgeAtMs) return;
    this.#purgeAtMs = atMs;
    this.#timer?.cancel();
    const waitMs = Math.max(atMs - this.#clock.now(), LIMITS.purgeIntervalMs);
    this.#timer = this.#clock.after(Math.min(waitMs, LIMITS.tombstoneMs), () => {
      this.#purging = this.#purge();
    });
  }

  /** Never rejects: what could not be done is done in a later round. */
  async #purge(): Promise<void> {
    this.#purgeAtMs = Infinity;
    const now = this.#clock.now();
    try {
      const { keys, nextMs } = await this.#store.due(now, LIMITS.scannedEntries);
      for (const key of keys) {
        if (this.#closed) return;
        await this.write([{ type: 'expire', key }], undefined);
      }
      if (this.#writer.isWriter) {
        await this.#writer.confirm();
        await this.#store.sweep(now, (key, act) => this.#inTurn(key, act));
      }
      this.#purgeBy(
        Math.min(keys.length > 0 ? now : (nextMs ?? Infinity), now + LIMITS.tombstoneMs),
      );
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      this.#purgeBy(now + LIMITS.backendTimeoutMs);
    }
  }
}

function wanted(reverse: boolean, limit: number): RowsWanted {
  return { reverse, entries: Math.min(limit, LIMITS.scannedEntries), bytes: LIMITS.scannedBytes };
}

/** The write is there, or comes. */
async function afterWriting(look: Promise<void>): Promise<void> {
  try {
    await look;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.effect === 'unknown') throw error;
    const { code, message, details } = error;
    throw new HoldfastError(code, message, { cause: error, effect: 'unknown', details });
  }
}

/** Nothing of the write was sent yet, whatever the error says of the call that failed. */
async function beforeWriting<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.effect === 'none') throw error;
    throw new HoldfastError(error.code, error.message, { cause: error });
  }
}
