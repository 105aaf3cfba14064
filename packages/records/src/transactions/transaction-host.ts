/**
 * The side of transactions that keeps records: what other peers begin, read, write, end and commit on
 * the records of one store. Each record has its own transaction here; that several records and several
 * peers do the same is the business of who began it.
 *
 * Invariants
 * 1. Whoever cannot show who they are changes nothing: a transaction answers to the peer that began it,
 *    each value was verified (descriptor, writer, bounds, signature) before it is kept, and a command
 *    that breaks the contract ends the transaction (`invalid`).
 * 2. A transaction sees the record as it was when it began. Once the record is another one, by whatever
 *    way, the transaction is gone: it is found at the next get, set or end, at the latest by the commit.
 * 3. All of it or nothing: the commit is one write of the store, on the condition that the record is
 *    still at the revision of the beginning (`ifRevision`) and that every value wins. Until then nobody
 *    sees anything of it.
 * 4. From its end to its commit it has the lock of the record, one at a time; plain sets and other
 *    transactions wait (`lockedBy`), and sets that were under way were waited for. Nobody keeps a lock
 *    for longer than `transactionIdleMs` in silence and `transactionLifeMs` at all.
 * 5. A commit that is asked for again is answered again, for `transactionIdleMs`: its answer may
 *    have been lost.
 * 6. Commands of one transaction happen one after the other, in the order they came.
 *
 * Owner: the server of records, which also says whether a record is its business, calls `sweep` now and
 * then, and closes it.
 */
import { type Clock, hasCode, isHoldfastError, RECORD_LIMITS, type Random } from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import type { PublicKey } from '../key-pair.ts';
import { verifyProof } from '../member-proof.ts';
import type {
  BeginAnswer,
  BeginQuestion,
  CommandAnswer,
  CommandQuestion,
  InvalidAnswer,
  PeerInfo,
  TransactionCommand,
  TransactionId,
} from '../messages.ts';
import { type VerifiedDescriptor, verifyDescriptor } from '../record-descriptor.ts';
import type { RecordId } from '../record-key.ts';
import type { RecordHead, RecordStore } from '../record-store.ts';
import { isParticipant, subkeyCount } from '../schema.ts';
import {
  compareValues,
  type SignedValue,
  type VerifiedValue,
  verifyValue,
} from '../signed-value.ts';
import { SubkeySet } from '../subkey-set.ts';
import { type HeldTransaction, HeldTransactions } from './held-transactions.ts';

export interface TransactionHostComponents {
  readonly self: PeerId;
  readonly store: RecordStore;
  readonly clock: Clock;
  readonly random: Random;
  /** Once for each commit, after it is in the store. */
  readonly onCommitted?: ((commit: CommittedTransaction) => void) | undefined;
}

export interface CommittedTransaction {
  readonly record: RecordId;
  readonly subkeys: SubkeySet;
  readonly from: PeerId;
}

type CommandReply = CommandAnswer | InvalidAnswer;

const INVALID: InvalidAnswer = { type: 'invalid' };
const GONE: CommandAnswer = { type: 'command', status: 'gone' };

export class TransactionHost {
  readonly #components: TransactionHostComponents;
  readonly #held: HeldTransactions;
  /** I5: until when, oldest first. */
  readonly #committed = new Map<TransactionId, { from: PeerId; untilMs: number }>();
  #closed = false;

  constructor(components: TransactionHostComponents) {
    this.#components = components;
    this.#held = new HeldTransactions(components.clock);
  }

  /** @param peers for the answer: those that are nearer to the record. */
  async begin(
    from: PeerId,
    question: BeginQuestion,
    peers: readonly PeerInfo[],
  ): Promise<BeginAnswer | InvalidAnswer> {
    const head = await this.#components.store.head(question.record);
    const about = this.#examine(from, question, head);
    if (about === 'invalid') return INVALID;
    const type = 'begin';
    if (about === 'descriptor-wanted') return { type, status: about, peers };
    const { descriptor, member } = about;
    // From here on without a pause: what has room now is added now.
    const locked = this.#held.lockHolder(question.record) !== undefined;
    if (this.#closed || locked || !this.#held.hasRoomFor(question.record, from, member)) {
      return { type, status: 'busy', peers };
    }
    const id = this.#newId();
    const revision = head?.revision ?? 0;
    const held = this.#held.add({ id, from, member, descriptor, revision });
    const sequences = Array.from(
      { length: subkeyCount(descriptor.schema) },
      (_, subkey) => head?.subkeys[subkey]?.sequence,
    );
    return {
      type,
      status: 'begun',
      transaction: id,
      durationMs: this.#held.prolong(held),
      sequences,
      descriptor: question.wantDescriptor ? head?.descriptor : undefined,
      peers,
    };
  }

  command(from: PeerId, question: CommandQuestion): Promise<CommandReply> {
    const { transaction, command } = question;
    const held = this.#held.find(transaction);
    if (held === undefined) return Promise.resolve(this.#afterwards(from, transaction, command));
    if (held.from !== from || held.record !== question.record) return Promise.resolve(GONE); // I1
    return held.turns.run(() => this.#act(held, command));
  }

  /** The transaction that has ended and is about to commit: plain sets wait for it. */
  lockedBy(record: RecordId): TransactionId | undefined {
    return this.#held.lockHolder(record)?.id;
  }

  /** Transactions there are now, and the bytes they hold. */
  usage(): { readonly transactions: number; readonly bytes: number } {
    this.#held.sweep();
    return { transactions: this.#held.size, bytes: this.#held.bytes };
  }

  sweep(): void {
    this.#held.sweep();
    const nowMs = this.#components.clock.monotonicMs();
    for (const [id, { untilMs }] of this.#committed) {
      if (untilMs > nowMs) break;
      this.#committed.delete(id);
    }
  }

  /** Ends all of them; commits under way go on. */
  close(): void {
    this.#closed = true;
    this.#held.clear();
    this.#committed.clear();
  }

  /** Who asks, about what: everything of a question that can be wrong. */
  #examine(
    from: PeerId,
    { record, descriptor, proof }: BeginQuestion,
    head: RecordHead | undefined,
  ): Beginning | 'invalid' | 'descriptor-wanted' {
    try {
      if (descriptor !== undefined && descriptor.id !== record) return 'invalid';
      const known = head?.descriptor ?? (descriptor && verifyDescriptor(descriptor, record));
      if (known === undefined) return 'descriptor-wanted';
      if (proof === undefined) return { descriptor: known, member: undefined };
      const scope = { record, asking: from, answering: this.#components.self };
      const key = verifyProof(proof, scope);
      const takesPart = isParticipant(known.schema, known.owner, key);
      return { descriptor: known, member: takesPart ? key : undefined };
    } catch (error) {
      if (isHoldfastError(error)) return 'invalid';
      throw error;
    }
  }

  async #act(held: HeldTransaction, command: TransactionCommand): Promise<CommandReply> {
    if (!this.#held.isLive(held)) return GONE;
    switch (command.kind) {
      case 'keep':
        return this.#done(held);
      case 'get':
        return this.#get(held, command.subkey);
      case 'set':
        return this.#set(held, command.subkey, command.value);
      case 'end':
        return this.#end(held);
      case 'commit':
        return this.#commit(held);
      case 'rollback':
        this.#held.drop(held);
        return OVER;
    }
  }

  async #get(held: HeldTransaction, subkey: number): Promise<CommandReply> {
    if (subkey >= subkeyCount(held.descriptor.schema)) return this.#break(held);
    const value = await this.#components.store.value(held.record, subkey);
    return (await this.#isAsItWas(held)) ? this.#done(held, value) : GONE;
  }

  async #set(held: HeldTransaction, subkey: number, sent: SignedValue): Promise<CommandReply> {
    if (held.stage !== 'open') return this.#break(held);
    const value = verifiedOrNot(sent, held.descriptor, subkey);
    if (value === undefined) return this.#break(held);
    const { store } = this.#components;
    const current = await store.value(held.record, subkey);
    const floor = await store.floor(held.record, subkey);
    if (!(await this.#isAsItWas(held))) return GONE;
    if (current !== undefined && compareValues(value, current) <= 0) {
      this.#held.withdraw(held, subkey);
      // The very same is there: nothing to write, nothing to tell.
      return this.#done(held, compareValues(value, current) === 0 ? undefined : current);
    }
    if (floor !== undefined && compareValues(value, floor) < 0) {
      this.#held.withdraw(held, subkey);
      const durationMs = this.#held.prolong(held);
      return { type: 'command', status: 'outdated', durationMs, floor: floor.sequence };
    }
    if (!this.#held.keep(held, value)) {
      this.#held.drop(held);
      return GONE;
    }
    return this.#done(held);
  }

  async #end(held: HeldTransaction): Promise<CommandReply> {
    if (held.stage === 'ended') return this.#done(held);
    if (held.changes.size === 0) {
      // What it read was so up to here; there is nothing to lock for.
      const answer = (await this.#isAsItWas(held)) ? OVER : GONE;
      this.#held.drop(held);
      return answer;
    }
    if (!this.#held.lock(held)) {
      this.#held.drop(held);
      return GONE;
    }
    held.stage = 'ended';
    // Plain sets that passed before the lock are written first: the end is the answer that counts.
    await this.#components.store.floor(held.record, 0);
    return (await this.#isAsItWas(held)) ? this.#done(held) : GONE;
  }

  async #commit(held: HeldTransaction): Promise<CommandReply> {
    if (held.stage !== 'ended') return this.#break(held);
    held.stage = 'committing';
    const { id, descriptor, record, from, revision } = held;
    const values = [...held.changes.values()];
    try {
      const options = { origin: from, ifRevision: revision }; // I3
      const { status } = await this.#components.store.write(descriptor, values, options);
      if (status === 'full') return GONE;
    } catch (error) {
      if (hasCode(error, 'PRECONDITION_FAILED')) return GONE;
      throw error;
    } finally {
      this.#held.drop(held);
    }
    this.#remember(id, from);
    const subkeys = SubkeySet.of(...values.map(({ subkey }) => subkey));
    this.#components.onCommitted?.({ record, subkeys, from });
    return OVER;
  }

  /** I2; drops it if not. False as well where it was dropped meanwhile. */
  async #isAsItWas(held: HeldTransaction): Promise<boolean> {
    const head = await this.#components.store.peek(held.record);
    if (!this.#held.isLive(held)) return false;
    if ((head?.revision ?? 0) === held.revision) return true;
    this.#held.drop(held);
    return false;
  }

  #done(held: HeldTransaction, value?: VerifiedValue): CommandAnswer {
    return { type: 'command', status: 'done', durationMs: this.#held.prolong(held), value };
  }

  #break(held: HeldTransaction): InvalidAnswer {
    this.#held.drop(held);
    return INVALID;
  }

  /** Of one that is not there any more. */
  #afterwards(from: PeerId, id: TransactionId, command: TransactionCommand): CommandAnswer {
    const commit = this.#committed.get(id);
    if (command.kind !== 'commit' || commit?.from !== from) return GONE;
    return commit.untilMs > this.#components.clock.monotonicMs() ? OVER : GONE;
  }

  #remember(id: TransactionId, from: PeerId): void {
    if (this.#closed) return;
    if (this.#committed.size >= RECORD_LIMITS.maxTransactions) {
      for (const oldest of this.#committed.keys()) {
        this.#committed.delete(oldest);
        break;
      }
    }
    const untilMs = this.#components.clock.monotonicMs() + RECORD_LIMITS.transactionIdleMs;
    this.#committed.set(id, { from, untilMs });
  }

  #newId(): TransactionId {
    for (;;) {
      const id = this.#components.random.bytes(8).toString('hex') as TransactionId;
      const free = this.#held.find(id) === undefined && !this.#committed.has(id);
      if (free && id !== NO_ID) return id;
    }
  }
}

interface Beginning {
  readonly descriptor: VerifiedDescriptor;
  readonly member: PublicKey | undefined;
}

const NO_ID = '0'.repeat(16);
const OVER: CommandAnswer = { type: 'command', status: 'done', durationMs: 0, value: undefined };

/** `undefined`: it is not one for this place. */
function verifiedOrNot(
  value: SignedValue,
  descriptor: VerifiedDescriptor,
  subkey: number,
): VerifiedValue | undefined {
  try {
    return verifyValue(value, descriptor, subkey);
  } catch (error) {
    if (isHoldfastError(error)) return undefined;
    throw error;
  }
}
