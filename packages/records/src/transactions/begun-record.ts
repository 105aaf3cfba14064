/**
 * One record in a transaction of this peer, and the peers that take part in it: each of them has begun
 * a transaction of its own on it (`transaction-host.ts`), and all of them are told the same.
 *
 * Invariants
 * 1. Who takes part was told every change: a peer that did not confirm one in time, or refused it, takes no
 *    part from then on, and is told to roll back.
 * 2. A peer's values are those whose numbers it named at the beginning; one whose are not lied, and takes
 *    no part any more. Numbers alone decide nothing.
 * 3. Fewer than `need` peers are not enough, for anything: the transaction is gone.
 * 4. `changes` are what a commit makes of the record; all that take part agree on them.
 *
 * Owner: `NetworkTransaction`, which calls it in turns.
 */
import { type Clock, hasCode, HoldfastError, RECORD_LIMITS, sleep, Turns } from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import type { KeyPair } from '../key-pair.ts';
import type {
  CommandAnswer,
  SequenceList,
  TransactionCommand,
  TransactionId,
} from '../messages.ts';
import type { AskedPeers } from '../peers/asked-peers.ts';
import type { VerifiedDescriptor } from '../record-descriptor.ts';
import type { RecordKey } from '../record-key.ts';
import { compareSequences, type Sequence } from '../sequence.ts';
import {
  compareValues,
  type SignedValue,
  type VerifiedValue,
  verifyValue,
} from '../signed-value.ts';
import { atLeast, gather, type Gathered, graceMs } from './gather.ts';

/** An open record, as a transaction needs it. */
export interface TransactionSubject {
  readonly key: RecordKey;
  readonly descriptor: VerifiedDescriptor;
  readonly writer: KeyPair | undefined;
}

export interface PartComponents {
  readonly clock: Clock;
  readonly peers: AskedPeers;
}

/** A transaction that a peer has begun for this one. */
export interface Part {
  readonly peer: PeerId;
  readonly transaction: TransactionId;
  readonly sequences: SequenceList;
  /** Monotonic, from when it was last heard of. */
  expiresAtMs: number;
}

export interface ReadValue {
  readonly value: VerifiedValue | undefined;
  /** That have it. */
  readonly peers: readonly PeerId[];
}

type Live = Exclude<CommandAnswer, { readonly status: 'gone' }>;

export class BegunRecord {
  readonly subject: TransactionSubject;
  /** I3 */
  readonly need: number;
  readonly degraded: boolean;
  readonly changes: Map<number, VerifiedValue> = new Map();
  readonly turns: Turns = new Turns();
  readonly #components: PartComponents;
  readonly #parts: Set<Part>;
  /** Parts that had nothing to commit. */
  readonly #settled = new Set<Part>();
  /** The part that was ended before the others. */
  #leader: Part | undefined;

  constructor(
    components: PartComponents,
    subject: TransactionSubject,
    parts: readonly Part[],
    degraded: boolean,
  ) {
    this.#components = components;
    this.subject = subject;
    this.#parts = new Set(parts);
    this.degraded = degraded;
    this.need = degraded ? parts.length : RECORD_LIMITS.setCount;
  }

  get peers(): readonly PeerId[] {
    return [...this.#parts].map(({ peer }) => peer);
  }

  get isEnough(): boolean {
    return this.#parts.size >= this.need;
  }

  /** The highest number of this subkey that a part named, and how many name it: hints. */
  begunWith(subkey: number): { sequence: Sequence | undefined; peers: number } {
    const named = [...this.#parts].map(({ sequences }) => sequences[subkey]);
    const known = named.filter((number) => number !== undefined);
    if (known.length === 0) return { sequence: undefined, peers: named.length };
    const sequence = known.reduce((a, b) => (b > a ? b : a));
    return { sequence, peers: known.filter((number) => number === sequence).length };
  }

  /**
   * As it was when the transaction began. What was committed before that is at some of the parts, and
   * their numbers say at which: one of those with the highest is always waited for.
   */
  async read(subkey: number): Promise<ReadValue> {
    const enough = Math.min(RECORD_LIMITS.getCount, this.need);
    const isHighest = (part: Part): boolean =>
      part.sequences[subkey] === this.begunWith(subkey).sequence;
    const gathered = await this.#tell<VerifiedValue | undefined>(
      { kind: 'get', subkey },
      (answers) => answers.size >= enough && [...answers.keys()].some(isHighest),
      (part, answer) => this.#snapshotValue(part, subkey, answer),
    );
    this.#dropFailures(gathered, isLie);
    const newest = newestOf(gathered.answers.values());
    // I2: what they named they did not show.
    this.#dropAll([...this.#parts].filter(({ sequences }) => isAbove(sequences[subkey], newest)));
    this.#assertEnough();
    if (gathered.answers.size < enough) throw unavailable();
    const holders = [...gathered.answers].filter(([, value]) => isSame(value, newest));
    return { value: newest, peers: holders.map(([{ peer }]) => peer) };
  }

  /** The value that the parts agree on now: this one, or one that wins over it. */
  async write(value: VerifiedValue): Promise<VerifiedValue> {
    let current = value;
    for (let round = 0; round <= RECORD_LIMITS.maxFanoutRestarts; round++) {
      const winner = await this.#push(current);
      this.#assertEnough();
      this.changes.set(current.subkey, current);
      if (winner === undefined || compareValues(winner, current) <= 0) return current;
      current = winner;
    }
    throw unavailable();
  }

  /**
   * Ends the nearest part alone: of several transactions that end at once one is first there. The others
   * give it the time to end everywhere; they do not give up, because that part alone may lie.
   */
  async lead(): Promise<void> {
    const { clock } = this.#components;
    for (const part of this.#parts) {
      const askedAtMs = clock.monotonicMs();
      try {
        await this.#endPart(part);
        this.#leader = part;
        return;
      } catch (error) {
        this.#dropAll([part]);
        if (!hasCode(error, 'TRANSACTION_GONE')) continue;
        await sleep(clock, graceMs(clock.monotonicMs() - askedAtMs));
        return;
      }
    }
  }

  /** The wish to commit: afterwards as many as are needed have the lock, or nothing to do. */
  async end(): Promise<void> {
    const rest = [...this.#parts].filter((part) => part !== this.#leader);
    const missing = this.need - (this.#parts.size - rest.length);
    const gathered = await gather(this.#components.clock, rest, atLeast(missing), (part) =>
      this.#endPart(part),
    );
    this.#dropFailures(gathered, () => true);
    this.#dropAll(gathered.late);
    this.#assertEnough();
  }

  async #endPart(part: Part): Promise<void> {
    const { durationMs } = await this.#command(part, { kind: 'end' });
    if (durationMs === 0) this.#settled.add(part);
  }

  /** True: as many as are needed have committed. */
  async commit(): Promise<boolean> {
    const { clock } = this.#components;
    const untilMs = clock.monotonicMs() + RECORD_LIMITS.transactionIdleMs;
    const done = new Set(this.#settled);
    for (;;) {
      const open = [...this.#parts].filter((part) => !done.has(part));
      const missing = this.need - done.size;
      const gathered = await gather(clock, open, atLeast(missing), (part) =>
        this.#command(part, { kind: 'commit' }),
      );
      for (const part of gathered.answers.keys()) done.add(part);
      if (done.size >= this.need) return true;
      // Only silence may still become a yes; a commit may be asked for again.
      this.#dropFailures(gathered, (error) => !hasCode(error, 'PEER_UNREACHABLE'));
      const isHopeless = this.#parts.size < this.need || clock.monotonicMs() >= untilMs;
      if (isHopeless) return false;
    }
  }

  /** Says that this side is there still; tells whether enough of the others are. */
  async keep(): Promise<boolean> {
    const { clock } = this.#components;
    const gathered = await this.#tell(
      { kind: 'keep' },
      () => false,
      (_, answer) => answer,
    );
    this.#dropFailures(gathered, (error) => !hasCode(error, 'PEER_UNREACHABLE'));
    const nowMs = clock.monotonicMs();
    this.#dropAll([...this.#parts].filter(({ expiresAtMs }) => expiresAtMs <= nowMs));
    return this.isEnough;
  }

  /** Tells all of them; waits for none that is silent. Never rejects. */
  async rollback(): Promise<void> {
    const parts = [...this.#parts].filter((part) => !this.#settled.has(part));
    this.#parts.clear();
    await Promise.all(parts.map((part) => this.#rollBack(part)));
  }

  /** The newest of the values that win over it, if there are any. */
  async #push(value: VerifiedValue): Promise<VerifiedValue | undefined> {
    const { subkey } = value;
    const command: TransactionCommand = { kind: 'set', subkey, value };
    const gathered = await this.#tell(command, atLeast(this.need), (_, answer) => {
      if (answer.status === 'outdated') throw unavailable();
      const theirs = this.#verified(answer.value, subkey);
      if (theirs !== undefined && compareValues(theirs, value) <= 0) throw lied();
      return theirs;
    });
    this.#dropFailures(gathered, () => true); // I1
    this.#dropAll(gathered.late);
    return newestOf(gathered.answers.values());
  }

  #tell<Answer>(
    command: TransactionCommand,
    isEnough: (answers: ReadonlyMap<Part, Answer>) => boolean,
    read: (part: Part, answer: Live) => Answer,
  ): Promise<Gathered<Part, Answer>> {
    return gather(this.#components.clock, [...this.#parts], isEnough, async (part) =>
      read(part, await this.#command(part, command)),
    );
  }

  /** `TRANSACTION_GONE` where it is over for the peer. */
  async #command(part: Part, command: TransactionCommand): Promise<Live> {
    const { clock, peers } = this.#components;
    const { peer, transaction } = part;
    const record = this.subject.key.id;
    const askedAtMs = clock.monotonicMs();
    const answer = await peers.ask(peer, { type: 'command', record, transaction, command });
    if (answer.status === 'gone') throw gone('none');
    part.expiresAtMs = Math.max(part.expiresAtMs, askedAtMs + answer.durationMs);
    return answer;
  }

  /** I2 */
  #snapshotValue(part: Part, subkey: number, answer: Live): VerifiedValue | undefined {
    const value = answer.status === 'done' ? this.#verified(answer.value, subkey) : undefined;
    if (value?.sequence !== part.sequences[subkey]) throw lied();
    return value;
  }

  #verified(value: SignedValue | undefined, subkey: number): VerifiedValue | undefined {
    return value && verifyValue(value, this.subject.descriptor, subkey);
  }

  #dropFailures(gathered: Gathered<Part, unknown>, isOut: (error: unknown) => boolean): void {
    for (const [part, error] of gathered.failures) {
      if (isLie(error)) this.#components.peers.distrust(part.peer);
      if (isOut(error)) this.#dropAll([part]);
    }
  }

  #dropAll(parts: readonly Part[]): void {
    for (const part of parts) {
      this.#parts.delete(part);
      void this.#rollBack(part);
    }
  }

  async #rollBack(part: Part): Promise<void> {
    await this.#command(part, { kind: 'rollback' }).catch(() => undefined);
  }

  #assertEnough(): void {
    if (!this.isEnough) throw gone('none');
  }
}

export function gone(effect: 'none' | 'unknown'): HoldfastError {
  return new HoldfastError('TRANSACTION_GONE', 'the transaction is over', { effect });
}

function unavailable(): HoldfastError {
  return new HoldfastError('PEERS_UNAVAILABLE', 'too few peers of the transaction answered');
}

function lied(): HoldfastError {
  return new HoldfastError('PEER_MESSAGE_INVALID', 'the answer contradicts what the peer said');
}

/** What was said was not silence, and not that it is over. */
function isLie(error: unknown): boolean {
  if (!(error instanceof HoldfastError)) return false;
  const { kind } = error;
  return kind === 'invalid' || kind === 'denied' || kind === 'limit';
}

function newestOf(values: Iterable<VerifiedValue | undefined>): VerifiedValue | undefined {
  let newest: VerifiedValue | undefined;
  for (const value of values) {
    if (value === undefined) continue;
    if (newest === undefined || compareValues(value, newest) > 0) newest = value;
  }
  return newest;
}

function isAbove(sequence: Sequence | undefined, value: VerifiedValue | undefined): boolean {
  return compareSequences(sequence, value?.sequence) > 0;
}

function isSame(a: VerifiedValue | undefined, b: VerifiedValue | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && compareValues(a, b) === 0);
}
