/**
 * A transaction of this peer over several records: begins on all of them or on none, sees each as it
 * was then, and commits in two steps: every record is ended (its peers lock it and confirm that nobody
 * else changed it) before any is committed.
 *
 * Invariants
 * 1. Nothing is committed anywhere before every record has `need` peers that ended.
 * 2. What fails before that changes nothing: peers roll back, and the error has effect `none`. After it,
 *    an error has effect `unknown`: some peers may have committed, others not (docs/RECORDS.md).
 * 3. Values are stored here only once the commit succeeded.
 * 4. While it is open peers hear of it three times as often as they need; once one of its records has too
 *    few peers, it is over, and says so.
 *
 * Owner: the application that began it; disposing rolls back.
 */
import {
  type Clock,
  hasCode,
  HoldfastError,
  type Random,
  RECORD_LIMITS,
  type Timer,
} from '@holdfast/core';
import type { KeyPair } from '../key-pair.ts';
import type { AskedPeers } from '../peers/asked-peers.ts';
import type { RecordId, RecordKey } from '../record-key.ts';
import type { RecordStore } from '../record-store.ts';
import type {
  GetResult,
  InspectReport,
  RecordCallOptions,
  RecordTransaction,
  RecordValue,
  SetResult,
} from '../records.ts';
import { subkeyCount } from '../schema.ts';
import { compareSequences, nextSequence, type Sequence } from '../sequence.ts';
import {
  createErasure,
  createValue,
  openValue,
  type SignedValue,
  type ValueToSign,
  type VerifiedValue,
  verifyValue,
} from '../signed-value.ts';
import { SubkeySet } from '../subkey-set.ts';
import { beginRecord } from './begin-record.ts';
import { type BegunRecord, gone, type TransactionSubject } from './begun-record.ts';

export interface TransactionComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly peers: AskedPeers;
  readonly local: RecordStore;
}

export interface TransactionSetOptions extends RecordCallOptions {
  /** Default: with whom the record is open. */
  readonly writer?: KeyPair | undefined;
}

/** 1 to 32 records, none twice; each stays locked here against plain sets by the caller. */
export async function beginTransaction(
  components: TransactionComponents,
  subjects: readonly TransactionSubject[],
  { signal }: RecordCallOptions = {},
): Promise<NetworkTransaction> {
  const ids = new Set(subjects.map(({ key }) => key.id));
  if (ids.size === 0 || ids.size !== subjects.length) {
    throw new TypeError('a transaction has at least one record, and none twice');
  }
  const limit = RECORD_LIMITS.maxTransactionRecords;
  if (ids.size > limit) {
    const message = `a transaction has too many records got=${ids.size} limit=${limit}`;
    throw new HoldfastError('RECORD_TOO_LARGE', message);
  }
  const began = await Promise.allSettled(
    subjects.map((subject) => beginRecord(components, subject, signal)),
  );
  const records = began.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = began.find((one) => one.status === 'rejected');
  if (failed === undefined) return new NetworkTransaction(components, records);
  await Promise.all(records.map((record) => record.rollback()));
  throw failed.reason;
}

export class NetworkTransaction implements RecordTransaction {
  readonly #components: TransactionComponents;
  readonly #records: ReadonlyMap<RecordId, BegunRecord>;
  #stage: 'open' | 'committing' | 'over' = 'open';
  #keepAlive: Timer | undefined;

  constructor(components: TransactionComponents, records: readonly BegunRecord[]) {
    this.#components = components;
    this.#records = new Map(records.map((record) => [record.subject.key.id, record]));
    this.#keepLater();
  }

  get(key: RecordKey, subkey: number): Promise<GetResult> {
    return this.#inTurn(key, async (record) => {
      checkSubkey(record, subkey);
      const secret = secretOf(record);
      const { value, peers } = await record.read(subkey);
      const how = { peers, degraded: record.degraded };
      if (value === undefined) return { status: 'absent', ...how };
      const { sequence, writer, kind } = value;
      if (kind === 'erased')
        return { status: 'erased', sequence, writer, source: 'network', ...how };
      const data = openValue(value, value, secret);
      return { status: 'value', data, sequence, writer, source: 'network', ...how };
    });
  }

  /** `pending`: it waits for the commit. */
  set(
    key: RecordKey,
    subkey: number,
    data: Uint8Array,
    options: TransactionSetOptions = {},
  ): Promise<SetResult> {
    const copy = Buffer.from(data);
    const { random } = this.#components;
    return this.#write(key, subkey, options, (about, secret) =>
      createValue(about, secret, copy, random),
    );
  }

  erase(key: RecordKey, subkey: number, options: TransactionSetOptions = {}): Promise<SetResult> {
    return this.#write(key, subkey, options, createErasure);
  }

  /** Numbers of the beginning, as peers named them. */
  inspect(key: RecordKey): Promise<InspectReport> {
    return this.#inTurn(key, async (record) => {
      const head = await this.#components.local.peek(key.id);
      const count = subkeyCount(record.subject.descriptor.schema);
      const states = Array.from({ length: count }, (_, subkey) => {
        const { sequence, peers } = record.begunWith(subkey);
        return { subkey, local: head?.subkeys[subkey]?.sequence, network: sequence, peers };
      });
      return {
        subkeys: SubkeySet.range(0, count - 1),
        pending: SubkeySet.of(...record.changes.keys()),
        states,
        agreed: states.every(({ peers }) => peers >= record.need),
        degraded: record.degraded,
      };
    });
  }

  async commit(): Promise<void> {
    if (this.#stage !== 'open') throw gone('none');
    this.#stage = 'committing';
    const records = [...this.#records.values()];
    await Promise.all(records.map(({ turns }) => turns.idle()));
    try {
      // The same record for everybody who writes the same ones.
      const written = records.filter(({ changes }) => changes.size > 0);
      await written.sort(byId)[0]?.lead();
      await allOf(records.map((record) => record.end())); // I1
    } catch (error) {
      await this.#over();
      throw hasCode(error, 'PEERS_UNAVAILABLE') ? gone('none') : error;
    }
    const committed = await Promise.all(records.map((record) => record.commit()));
    this.#stage = 'over';
    this.#keepAlive?.cancel();
    if (committed.includes(false)) {
      await Promise.all(records.map((record) => record.rollback()));
      throw gone('unknown'); // I2
    }
    for (const { subject, changes } of records) {
      if (changes.size === 0) continue;
      const options = { origin: undefined };
      await this.#components.local.write(subject.descriptor, [...changes.values()], options);
    }
  }

  async rollback(): Promise<void> {
    if (this.#stage === 'committing') throw gone('unknown');
    await this.#over();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stage === 'open') await this.#over();
  }

  #write(
    key: RecordKey,
    subkey: number,
    options: TransactionSetOptions,
    make: (about: ValueToSign, secret: Buffer) => SignedValue,
  ): Promise<SetResult> {
    return this.#inTurn(key, async (record) => {
      checkSubkey(record, subkey);
      const secret = secretOf(record);
      const writer = options.writer ?? record.subject.writer;
      if (writer === undefined) throw new HoldfastError('NOT_A_WRITER', 'there is no secret key');
      const { descriptor } = record.subject;
      const sequence = nextSequence(await this.#highest(record, subkey));
      const made = make({ record: descriptor.id, subkey, sequence, writer }, secret);
      const value = verifyValue(made, descriptor, subkey);
      const winner = await record.write(value);
      const how = { peers: record.peers, degraded: record.degraded };
      if (winner === value) return { status: 'pending', sequence, ...how };
      const theirs = shown(winner, secret);
      return { status: 'superseded', sequence: winner.sequence, value: theirs, ...how };
    });
  }

  get #isOver(): boolean {
    return this.#stage === 'over';
  }

  /** What a new value has to be above: everything that is known, not what somebody merely said. */
  async #highest(record: BegunRecord, subkey: number): Promise<Sequence | undefined> {
    const { id } = record.subject.key;
    const floor = await this.#components.local.floor(id, subkey);
    const numbers = [floor?.sequence, record.changes.get(subkey)?.sequence];
    let highest = numbers.reduce((a, b) => (compareSequences(b, a) > 0 ? b : a), undefined);
    const { sequence: hint } = record.begunWith(subkey);
    if (compareSequences(hint, highest) > 0) {
      const { value } = await record.read(subkey);
      if (compareSequences(value?.sequence, highest) > 0) highest = value?.sequence;
    }
    return highest;
  }

  #inTurn<Result>(key: RecordKey, work: (record: BegunRecord) => Promise<Result>): Promise<Result> {
    const record = this.#records.get(key.id);
    if (this.#stage !== 'open') return Promise.reject(gone('none'));
    if (record === undefined) {
      return Promise.reject(new TypeError('the record takes no part in the transaction'));
    }
    return record.turns.run(async () => {
      if (this.#isOver) throw gone('none');
      try {
        return await work(record);
      } catch (error) {
        if (hasCode(error, 'TRANSACTION_GONE')) await this.#over();
        throw error;
      }
    });
  }

  /** I4 */
  #keepLater(): void {
    const pauseMs = Math.floor(RECORD_LIMITS.transactionIdleMs / 3);
    this.#keepAlive = this.#components.clock.after(pauseMs, () => void this.#keep());
  }

  /** Never rejects. */
  async #keep(): Promise<void> {
    if (this.#isOver) return;
    const kept = await Promise.all([...this.#records.values()].map((record) => record.keep()));
    if (this.#stage === 'open' && kept.includes(false)) await this.#over();
    if (!this.#isOver) this.#keepLater();
  }

  async #over(): Promise<void> {
    this.#stage = 'over';
    this.#keepAlive?.cancel();
    await Promise.all([...this.#records.values()].map((record) => record.rollback()));
  }
}

/** The first failure, once all have ended: nothing goes on behind it. */
async function allOf(all: readonly Promise<void>[]): Promise<void> {
  const ended = await Promise.allSettled(all);
  const failed = ended.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

function byId(a: BegunRecord, b: BegunRecord): number {
  return a.subject.key.id < b.subject.key.id ? -1 : 1;
}

function checkSubkey(record: BegunRecord, subkey: number): void {
  const count = subkeyCount(record.subject.descriptor.schema);
  if (Number.isInteger(subkey) && subkey >= 0 && subkey < count) return;
  throw new HoldfastError('INVALID_SUBKEY', `no such subkey subkey=${subkey} count=${count}`);
}

function secretOf(record: BegunRecord): Buffer {
  const { secret } = record.subject.key;
  if (secret !== undefined) return secret;
  throw new HoldfastError('RECORD_SECRET_WRONG', 'the key of the record has no secret');
}

function shown(value: VerifiedValue, secret: Buffer): RecordValue | undefined {
  if (value.kind === 'erased') return undefined;
  const { sequence, writer } = value;
  return { data: openValue(value, value, secret), sequence, writer };
}
