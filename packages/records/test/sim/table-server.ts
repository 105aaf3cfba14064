/**
 * The least server that follows the decision table of a set, for the tests of those who ask. It keeps
 * neither watches nor transactions.
 */
import { isHoldfastError, RECORD_LIMITS } from '@holdfast/core';
import {
  type Answer,
  type GetQuestion,
  type InspectQuestion,
  type InvalidAnswer,
  type Neighbourhood,
  type PeerId,
  type PeerInfo,
  type Question,
  recordCoordinate,
  type RecordId,
  type RecordStore,
  type RpcService,
  type Sequence,
  type SetAnswer,
  type SetQuestion,
  subkeyCount,
  verifyDescriptor,
  verifyValue,
} from '../../src/index.ts';

const INVALID: InvalidAnswer = { type: 'invalid' };

export class TableServer implements RpcService {
  readonly #near: Neighbourhood;
  readonly #store: RecordStore;
  readonly locked = new Set<RecordId>();
  /** As if so high a number had been here once. */
  usedUpTo: Sequence | undefined;

  constructor(near: Neighbourhood, store: RecordStore) {
    this.#near = near;
    this.#store = store;
  }

  async answer(from: PeerId, question: Question): Promise<Answer | InvalidAnswer> {
    try {
      return await this.#answer(from, question);
    } catch (error) {
      if (isHoldfastError(error) && error.kind !== 'internal') return INVALID;
      throw error;
    }
  }

  hear(): void {}

  async #answer(from: PeerId, question: Question): Promise<Answer | InvalidAnswer> {
    switch (question.type) {
      case 'ping':
        return { type: 'ping' };
      case 'find':
        return { type: 'find', peers: this.#nearer(question.target) };
      case 'get':
        return this.#get(question);
      case 'inspect':
        return this.#inspect(question);
      case 'set':
        return this.#set(from, question);
      default:
        return INVALID;
    }
  }

  #nearer(target: ReturnType<typeof recordCoordinate>): readonly PeerInfo[] {
    return this.#near.nearerThanSelf(target, RECORD_LIMITS.maxPeersInAnswer);
  }

  async #get({ record, subkey, wantDescriptor }: GetQuestion): Promise<Answer> {
    const peers = this.#nearer(recordCoordinate(record));
    if (peers.length >= RECORD_LIMITS.consensusWidth) return { type: 'get', status: 'far', peers };
    const head = await this.#store.head(record);
    const value = head === undefined ? undefined : await this.#store.value(record, subkey);
    const descriptor = wantDescriptor ? head?.descriptor : undefined;
    return { type: 'get', status: 'held', value, descriptor, peers };
  }

  async #inspect({ record, subkeys, wantDescriptor }: InspectQuestion): Promise<Answer> {
    const type = 'inspect';
    const peers = this.#nearer(recordCoordinate(record));
    if (peers.length >= RECORD_LIMITS.consensusWidth) return { type, status: 'far', peers };
    const head = await this.#store.head(record);
    const asked = head === undefined ? [] : subkeys.within(subkeyCount(head.descriptor.schema));
    const sequences = head && [...asked].map((subkey) => head.subkeys[subkey]?.sequence);
    const descriptor = wantDescriptor ? head?.descriptor : undefined;
    return { type, status: 'held', sequences, descriptor, peers };
  }

  async #set(from: PeerId, question: SetQuestion): Promise<SetAnswer | InvalidAnswer> {
    const { record, subkey, value } = question;
    const type = 'set';
    const peers = this.#nearer(recordCoordinate(record));
    if (peers.length >= RECORD_LIMITS.consensusWidth) return { type, status: 'far', peers };
    const head = await this.#store.head(record);
    const given = head?.descriptor ?? question.descriptor;
    if (given === undefined) return { type, status: 'descriptor-wanted', peers };
    const there = head && (await this.#store.value(record, subkey));
    if (there !== undefined && value.sequence < there.sequence) {
      return { type, status: 'superseded', value: there, peers };
    }
    const descriptor = head?.descriptor ?? verifyDescriptor(given, record);
    const verified = verifyValue(value, descriptor, subkey);
    if (this.usedUpTo !== undefined && verified.sequence <= this.usedUpTo) {
      return { type, status: 'outdated', floor: this.usedUpTo, peers };
    }
    if (this.locked.has(record)) return { type, status: 'locked', peers };
    const report = await this.#store.write(descriptor, [verified], { origin: from });
    if (report.status === 'full') return { type, status: 'full', peers };
    const [outcome] = report.outcomes;
    if (outcome?.status === 'superseded') {
      return { type, status: 'superseded', value: outcome.value, peers };
    }
    if (outcome?.status === 'outdated') {
      return { type, status: 'outdated', floor: outcome.floor.sequence, peers };
    }
    return { type, status: 'stored', peers };
  }
}
