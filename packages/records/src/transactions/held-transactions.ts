/**
 * The transactions that other peers have on records kept here: which there are, how long they live, and
 * which one has the lock of its record. In memory only: after a restart there are none, and their
 * owners are told that they are gone.
 *
 * Invariants
 * 1. What is bounded is counted where it changes: transactions of a record, a member, a peer and all, and
 *    bytes of values that are not committed yet.
 * 2. A transaction is live from `add` until `drop`, or until its time is over and it is not being
 *    committed just now. One that is not live is never given out and has no lock.
 * 3. At most one live transaction has the lock of a record.
 * 4. No time lasts beyond `endsAtMs`, whatever is heard of the peer. Times are monotonic.
 *
 * Owner: `TransactionHost`.
 */
import { assert, type Clock, RECORD_LIMITS, Turns } from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import type { PublicKey } from '../key-pair.ts';
import type { TransactionId } from '../messages.ts';
import type { VerifiedDescriptor } from '../record-descriptor.ts';
import type { RecordId } from '../record-key.ts';
import type { VerifiedValue } from '../signed-value.ts';

export interface NewTransaction {
  readonly id: TransactionId;
  readonly from: PeerId;
  /** Who proved to be owner or member; `undefined`: the public. */
  readonly member: PublicKey | undefined;
  readonly descriptor: VerifiedDescriptor;
  /** Of the record when it began; 0: there was none. */
  readonly revision: number;
}

export interface HeldTransaction extends NewTransaction {
  readonly record: RecordId;
  /** `ended`: it has the lock. */
  stage: 'open' | 'ended' | 'committing';
  /** By subkey. Changed by `keep` and `withdraw` only. */
  readonly changes: ReadonlyMap<number, VerifiedValue>;
  /** Its commands, one after the other. */
  readonly turns: Turns;
  expiresAtMs: number;
  readonly endsAtMs: number;
}

interface Held extends HeldTransaction {
  readonly changes: Map<number, VerifiedValue>;
}

export class HeldTransactions {
  readonly #clock: Clock;
  readonly #byId = new Map<TransactionId, Held>();
  readonly #byRecord = new Map<RecordId, Set<Held>>();
  readonly #ofPeer = new Map<PeerId, number>();
  readonly #locks = new Map<RecordId, Held>();
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Of values that are not committed yet. */
  get bytes(): number {
    return this.#bytes;
  }

  hasRoomFor(record: RecordId, from: PeerId, member: PublicKey | undefined): boolean {
    const others = [...(this.#byRecord.get(record) ?? [])].filter((each) => this.isLive(each));
    const alike = others.filter((each) => each.member === member).length;
    const limit =
      member === undefined
        ? RECORD_LIMITS.maxPublicTransactions
        : RECORD_LIMITS.maxMemberTransactions;
    if (alike >= limit) return false;
    // Those that are over count until somebody looks.
    if (!this.#hasPlaceFor(from)) this.sweep();
    return this.#hasPlaceFor(from);
  }

  add(made: NewTransaction): HeldTransaction {
    assert(!this.#byId.has(made.id), 'ids of transactions are not used twice');
    const record = made.descriptor.id;
    const nowMs = this.#clock.monotonicMs();
    const held: Held = {
      ...made,
      record,
      stage: 'open',
      changes: new Map(),
      turns: new Turns(),
      expiresAtMs: nowMs + RECORD_LIMITS.transactionIdleMs,
      endsAtMs: nowMs + RECORD_LIMITS.transactionLifeMs,
    };
    this.#byId.set(held.id, held);
    const others = this.#byRecord.get(record) ?? new Set();
    this.#byRecord.set(record, others.add(held));
    this.#ofPeer.set(held.from, (this.#ofPeer.get(held.from) ?? 0) + 1);
    return held;
  }

  /** The live one with this id. */
  find(id: TransactionId): HeldTransaction | undefined {
    const held = this.#byId.get(id);
    return held !== undefined && this.isLive(held) ? held : undefined;
  }

  isLive(held: HeldTransaction): boolean {
    if (this.#byId.get(held.id) !== held) return false;
    if (!this.#isOver(held)) return true;
    this.drop(held);
    return false;
  }

  /** Idempotent. */
  drop(held: HeldTransaction): void {
    const { id, record, from } = held;
    const mine = this.#byId.get(id);
    if (mine === undefined || mine !== held) return;
    this.#byId.delete(id);
    for (const value of mine.changes.values()) this.#bytes -= value.blob.length;
    const others = this.#byRecord.get(record);
    others?.delete(mine);
    if (others?.size === 0) this.#byRecord.delete(record);
    const rest = (this.#ofPeer.get(from) ?? 0) - 1;
    if (rest > 0) this.#ofPeer.set(from, rest);
    else this.#ofPeer.delete(from);
    if (this.#locks.get(record) === mine) this.#locks.delete(record);
  }

  /** It was heard of. The ms it lives on if that stays the last time. */
  prolong(held: HeldTransaction): number {
    const nowMs = this.#clock.monotonicMs();
    held.expiresAtMs = Math.min(nowMs + RECORD_LIMITS.transactionIdleMs, held.endsAtMs); // I4
    return Math.max(1, Math.floor(held.expiresAtMs - nowMs));
  }

  /** False: there is no room for so many bytes, and nothing changed. */
  keep(held: HeldTransaction, value: VerifiedValue): boolean {
    const mine = this.#mine(held);
    const before = mine.changes.get(value.subkey)?.blob.length ?? 0;
    const bytes = this.#bytes - before + value.blob.length;
    if (bytes > RECORD_LIMITS.maxTransactionBytes) return false;
    this.#bytes = bytes;
    mine.changes.set(value.subkey, value);
    return true;
  }

  withdraw(held: HeldTransaction, subkey: number): void {
    const mine = this.#mine(held);
    this.#bytes -= mine.changes.get(subkey)?.blob.length ?? 0;
    mine.changes.delete(subkey);
  }

  /** False: another one has it. */
  lock(held: HeldTransaction): boolean {
    const holder = this.lockHolder(held.record);
    if (holder !== undefined && holder !== held) return false;
    this.#locks.set(held.record, this.#mine(held));
    return true;
  }

  lockHolder(record: RecordId): HeldTransaction | undefined {
    const holder = this.#locks.get(record);
    return holder !== undefined && this.isLive(holder) ? holder : undefined;
  }

  /** Drops what is over. */
  sweep(): void {
    for (const held of [...this.#byId.values()]) if (this.#isOver(held)) this.drop(held);
  }

  clear(): void {
    for (const held of [...this.#byId.values()]) this.drop(held);
  }

  #hasPlaceFor(from: PeerId): boolean {
    const { maxTransactionsOfPeer, maxTransactions } = RECORD_LIMITS;
    return (
      (this.#ofPeer.get(from) ?? 0) < maxTransactionsOfPeer && this.#byId.size < maxTransactions
    );
  }

  #mine(held: HeldTransaction): Held {
    const mine = this.#byId.get(held.id);
    assert(mine === held, 'a transaction that was dropped changes nothing');
    return mine;
  }

  #isOver(held: HeldTransaction): boolean {
    return held.stage !== 'committing' && this.#clock.monotonicMs() >= held.expiresAtMs;
  }
}
