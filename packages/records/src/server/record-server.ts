/**
 * Answers other peers about the records that this one keeps for them, and for as long as it is near
 * enough to each. Whatever a peer sends, it changes nothing but by a value that its writer signed, for
 * a subkey of its own, that wins over what is there.
 *
 * Invariants
 * 1. Only the store for others (`remote`) is read and written.
 * 2. `far` comes before everything: a peer that knows `consensusWidth` nearer ones reads nothing. Only
 *    what this peer holds already may be given up at any distance: a watch, a transaction.
 * 3. Every question has an answer. What could not be served because of this side is logged, and
 *    `invalid`.
 * 4. Work of peers takes turns (`FairTurns`); what one peer may hold here is bounded: records and
 *    bytes by the store, watches and transactions by their own.
 * 5. Whoever watches is told of every change that came by a question or a commit; of changes by other
 *    ways when `changed` is called.
 *
 * Owner: who made it closes it. It owns its watches and transactions; store and network are others'.
 */
import {
  type Clock,
  isHoldfastError,
  type Logger,
  RECORD_LIMITS,
  type Random,
  type Timer,
} from '@holdfast/core';
import { type Coordinate, type PeerId, recordCoordinate } from '../coordinate.ts';
import type { PublicKey } from '../key-pair.ts';
import { verifyProof } from '../member-proof.ts';
import type {
  Answer,
  GetAnswer,
  GetQuestion,
  InspectAnswer,
  InspectQuestion,
  InvalidAnswer,
  PeerInfo,
  Question,
  Statement,
  WatchAnswer,
  WatchQuestion,
} from '../messages.ts';
import type { Neighbourhood } from '../neighbourhood.ts';
import type { RecordId } from '../record-key.ts';
import type { RecordHead, RecordStore } from '../record-store.ts';
import type { Rpc, RpcService, RpcSubscription } from '../rpc.ts';
import { isParticipant, subkeyCount } from '../schema.ts';
import { SubkeySet } from '../subkey-set.ts';
import { TransactionHost } from '../transactions/transaction-host.ts';
import { answerSet } from './answer-set.ts';
import { FairTurns } from './fair-turns.ts';
import { InboundWatches } from './inbound-watches.ts';

export interface RecordServerSettings {
  /** A peer that knows so many nearer ones declines. Default: `consensusWidth`. */
  readonly consensusWidth?: number | undefined;
}

export interface RecordServerComponents {
  /** What this peer keeps for others. */
  readonly store: RecordStore;
  readonly neighbourhood: Neighbourhood;
  readonly rpc: Pick<Rpc, 'tell' | 'on'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** What peers say that are watched by this one. Never throws. */
  readonly onStatement?: ((from: PeerId, statement: Statement) => void) | undefined;
}

export interface RecordServerUsage {
  readonly watches: number;
  readonly transactions: number;
  /** Questions that are being served. */
  readonly questions: number;
}

type Reply = Answer | InvalidAnswer;
/** Everything about a record but the answer to a command, which is about a transaction. */
type RecordQuestion = Exclude<Question, { readonly type: 'command' | 'find' | 'ping' }>;

const INVALID: InvalidAnswer = { type: 'invalid' };

export class RecordServer implements RpcService, AsyncDisposable {
  readonly #components: RecordServerComponents;
  readonly #width: number;
  readonly #turns = new FairTurns(RECORD_LIMITS.maxQuestionsServed);
  readonly #watches: InboundWatches;
  readonly #transactions: TransactionHost;
  readonly #connections: RpcSubscription;
  readonly #underWay = new Set<Promise<unknown>>();
  #sweep: Timer | undefined;
  #closed = false;

  constructor(components: RecordServerComponents, settings: RecordServerSettings = {}) {
    const { store, neighbourhood, rpc, clock, random } = components;
    this.#components = components;
    this.#width = settings.consensusWidth ?? RECORD_LIMITS.consensusWidth;
    this.#watches = new InboundWatches({
      clock,
      random,
      tell: (peer, statement) => rpc.tell(peer, statement),
      valueOf: (record, subkey) => store.value(record, subkey),
    });
    this.#transactions = new TransactionHost({
      self: neighbourhood.self,
      store,
      clock,
      random,
      onCommitted: ({ record, subkeys, from }) => this.changed(record, subkeys, from),
    });
    this.#connections = rpc.on((event) => {
      if (event.type === 'connected') this.#watches.connected(event.peer);
    });
  }

  answer(from: PeerId, question: Question): Promise<Reply> {
    const served = this.#turns
      .run(from, () => this.#serve(from, question))
      .catch((error: unknown): Reply => {
        const { type } = question;
        this.#components.logger.error('record-question-failed', { type, error: String(error) });
        return INVALID; // I3
      });
    this.#underWay.add(served);
    void served.finally(() => this.#underWay.delete(served));
    return served;
  }

  hear(from: PeerId, statement: Statement): void {
    this.#components.onStatement?.(from, statement);
  }

  /** @param by who made the change and is not told; `undefined`: this peer. */
  changed(record: RecordId, subkeys: SubkeySet, by: PeerId | undefined): void {
    this.#watches.changed(record, subkeys, by);
  }

  usage(): RecordServerUsage {
    const { transactions } = this.#transactions.usage();
    return { watches: this.#watches.size, transactions, questions: this.#turns.underWay };
  }

  /** Idempotent; waits for what is being served. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#underWay);
    this.#connections.cancel();
    this.#sweep?.cancel();
    this.#watches.close();
    this.#transactions.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(from: PeerId, question: Question): Promise<Reply> {
    if (this.#closed) return INVALID;
    switch (question.type) {
      case 'ping':
        return { type: 'ping' };
      case 'find':
        return { type: 'find', peers: this.#nearer(from, question.target).named };
      case 'command':
        return this.#transactions.command(from, question);
      default:
        return this.#serveRecord(from, question);
    }
  }

  async #serveRecord(from: PeerId, question: RecordQuestion): Promise<Reply> {
    const { type, record } = question;
    if (type === 'watch' && question.count === 0) return this.#cancel(from, question);
    const { named: peers, far } = this.#nearer(from, recordCoordinate(record));
    if (far) return { type, status: 'far', peers } as Answer; // I2
    switch (type) {
      case 'get':
        return this.#get(question, peers);
      case 'inspect':
        return this.#inspect(question, peers);
      case 'watch':
        return this.#watch(from, question, peers);
      case 'begin':
        this.#armSweep();
        return this.#transactions.begin(from, question, peers);
      case 'set': {
        const { store } = this.#components;
        const isLocked = (id: RecordId): boolean => this.#transactions.lockedBy(id) !== undefined;
        const parts = { store, isLocked };
        const { answer, written } = await answerSet(parts, from, question, peers);
        if (written) this.changed(record, SubkeySet.of(question.subkey), from);
        return answer;
      }
    }
  }

  /** Who is nearer, without the one that asks; and whether they are so many that this one declines. */
  #nearer(from: PeerId, target: Coordinate): { named: readonly PeerInfo[]; far: boolean } {
    const { maxPeersInAnswer } = RECORD_LIMITS;
    const limit = Math.max(maxPeersInAnswer + 1, this.#width);
    const nearer = this.#components.neighbourhood.nearerThanSelf(target, limit);
    const named = nearer.filter(({ id }) => id !== from).slice(0, maxPeersInAnswer);
    return { named, far: nearer.length >= this.#width };
  }

  async #get(question: GetQuestion, peers: readonly PeerInfo[]): Promise<GetAnswer> {
    const { record, subkey, wantDescriptor } = question;
    const { store } = this.#components;
    const head = await store.head(record);
    const value = head === undefined ? undefined : await store.value(record, subkey);
    const descriptor = wantDescriptor ? head?.descriptor : undefined;
    return { type: 'get', status: 'held', value, descriptor, peers };
  }

  async #inspect(question: InspectQuestion, peers: readonly PeerInfo[]): Promise<InspectAnswer> {
    const { record, subkeys, wantDescriptor } = question;
    const head = await this.#components.store.head(record);
    const asked = head && [...subkeysOf(head, subkeys)];
    const sequences = asked?.map((subkey) => head?.subkeys[subkey]?.sequence);
    const descriptor = wantDescriptor ? head?.descriptor : undefined;
    return { type: 'inspect', status: 'held', sequences, descriptor, peers };
  }

  async #watch(
    from: PeerId,
    question: WatchQuestion,
    peers: readonly PeerInfo[],
  ): Promise<WatchAnswer | InvalidAnswer> {
    const { record, proof, watch } = question;
    let proved: PublicKey | undefined;
    try {
      const scope = { record, asking: from, answering: this.#components.neighbourhood.self };
      proved = proof && verifyProof(proof, scope);
    } catch (error) {
      if (isHoldfastError(error)) return INVALID;
      throw error;
    }
    const head = await this.#components.store.head(record);
    const type = 'watch';
    if (head === undefined) {
      if (watch !== undefined) this.#watches.cancel(from, watch);
      return { type, status: watch === undefined ? 'refused' : 'ended', peers };
    }
    const { schema, owner } = head.descriptor;
    const member = proved && isParticipant(schema, owner, proved) ? proved : undefined;
    const subkeys = subkeysOf(head, question.subkeys);
    const act = watch === undefined ? 'open' : 'change';
    const reply = this.#watches[act]({ from, member }, question, subkeys);
    return { type, ...reply, peers };
  }

  /** Transactions that nobody asks for any more take no room for ever. */
  #armSweep(): void {
    this.#sweep ??= this.#components.clock.after(RECORD_LIMITS.transactionIdleMs, () => {
      this.#sweep = undefined;
      this.#transactions.sweep();
      if (this.#transactions.usage().transactions > 0) this.#armSweep();
    });
  }

  #cancel(from: PeerId, { watch }: WatchQuestion): WatchAnswer | InvalidAnswer {
    if (watch === undefined) return INVALID;
    this.#watches.cancel(from, watch);
    return { type: 'watch', status: 'ended', peers: [] };
  }
}

function subkeysOf({ descriptor }: RecordHead, asked: SubkeySet): SubkeySet {
  return asked.within(subkeyCount(descriptor.schema));
}
