/**
 * Begins a transaction on one record at the peers nearest to it. More are asked than must take part,
 * so that some may get lost later; once there are enough, the others are waited for only as long as the
 * slowest of those took, three times over. Whoever begins too late is told to roll back at once.
 */
import { HoldfastError, RECORD_LIMITS } from '@holdfast/core';
import { type PeerId, recordCoordinate } from '../coordinate.ts';
import { type FanoutAnswer, fanoutRules, runFanout } from '../fanout/index.ts';
import { createProof } from '../member-proof.ts';
import type { BeginAnswer, BeginQuestion } from '../messages.ts';
import { subkeyCount } from '../schema.ts';
import {
  BegunRecord,
  type Part,
  type PartComponents,
  type TransactionSubject,
} from './begun-record.ts';
import { graceMs } from './gather.ts';

const { setCount } = RECORD_LIMITS;
/** Half as many again as must take part. */
const WANTED = setCount + Math.ceil(setCount / 2);

/** `RECORD_LOCKED` where peers are busy with others, `PEERS_UNAVAILABLE` where there are too few. */
export async function beginRecord(
  components: PartComponents,
  subject: TransactionSubject,
  signal?: AbortSignal,
): Promise<BegunRecord> {
  const begin = new Begin(components, subject);
  const rules = fanoutRules(recordCoordinate(subject.key.id), WANTED);
  try {
    const outcome = await runFanout(components, rules, (peer) => begin.ask(peer), {
      signal,
      check: () => begin.check(),
    });
    const parts = begin.partsOf(outcome.accepted);
    if (parts.length > 0 && (parts.length >= setCount || outcome.degraded)) {
      const degraded = parts.length < setCount;
      begin.close(parts);
      return new BegunRecord(components, subject, parts, degraded);
    }
  } catch (error) {
    begin.close([]);
    throw error;
  }
  begin.close([]);
  throw begin.isBusy
    ? new HoldfastError('RECORD_LOCKED', 'other transactions are on the record')
    : new HoldfastError('PEERS_UNAVAILABLE', 'too few peers began the transaction');
}

class Begin {
  readonly #components: PartComponents;
  readonly #subject: TransactionSubject;
  readonly #parts = new Map<PeerId, Part>();
  readonly #startedMs: number;
  #closesAtMs: number | undefined;
  #isClosed = false;
  isBusy = false;

  constructor(components: PartComponents, subject: TransactionSubject) {
    this.#components = components;
    this.#subject = subject;
    this.#startedMs = components.clock.monotonicMs();
  }

  /** Without a signal: a transaction that began all the same must be known, to be ended. */
  async ask(peer: PeerId): Promise<FanoutAnswer> {
    const { clock } = this.#components;
    const askedAtMs = clock.monotonicMs();
    let answer = await this.#question(peer, false);
    if (answer.status === 'descriptor-wanted') answer = await this.#question(peer, true);
    const { peers } = answer;
    if (answer.status === 'busy') this.isBusy = true;
    if (answer.status !== 'begun') return { disposition: 'declined', peers };
    const { transaction, sequences, durationMs } = answer;
    const part = { peer, transaction, sequences, expiresAtMs: askedAtMs + durationMs };
    if (this.#isClosed) {
      this.#rollBack(part);
    } else if (sequences.length !== subkeyCount(this.#subject.descriptor.schema)) {
      this.#rollBack(part);
      throw new HoldfastError('PEER_MESSAGE_INVALID', 'numbers for other subkeys than there are');
    } else {
      this.#parts.set(peer, part);
    }
    return { disposition: 'accepted', peers };
  }

  check(): 'open' | { readonly closesAtMs: number } {
    if (this.#parts.size < setCount) return 'open';
    const nowMs = this.#components.clock.monotonicMs();
    this.#closesAtMs ??= nowMs + graceMs(nowMs - this.#startedMs);
    return { closesAtMs: this.#closesAtMs };
  }

  partsOf(accepted: readonly PeerId[]): Part[] {
    return accepted.flatMap((peer) => this.#parts.get(peer) ?? []);
  }

  /** Ends what began and takes no part. */
  close(taken: readonly Part[]): void {
    this.#isClosed = true;
    for (const part of this.#parts.values()) if (!taken.includes(part)) this.#rollBack(part);
  }

  #question(peer: PeerId, withDescriptor: boolean): Promise<BeginAnswer> {
    const { key, descriptor, writer } = this.#subject;
    const scope = { record: key.id, asking: this.#components.peers.table.self, answering: peer };
    const question: BeginQuestion = {
      type: 'begin',
      record: key.id,
      descriptor: withDescriptor ? descriptor : undefined,
      wantDescriptor: false,
      proof: writer && createProof(scope, writer),
    };
    return this.#components.peers.ask(peer, question);
  }

  #rollBack({ peer, transaction }: Part): void {
    const record = this.#subject.key.id;
    const command = { kind: 'rollback' } as const;
    this.#components.peers
      .ask(peer, { type: 'command', record, transaction, command })
      .catch(() => undefined);
  }
}
