/**
 * Finds the newest value of a subkey among the peers nearest its record.
 *
 * Invariants
 * 1. `value` of the result is the winner of what was known and everything that was given; it was verified.
 *    One below the floor is not among them.
 * 2. `accepted` peers gave exactly it; `stale` ones nothing, or something that loses against it.
 * 3. Nothing is agreed by peers that have nothing: that there is no value is known when everybody near
 *    was asked.
 */
import { HoldfastError } from '@holdfast/core';
import { type PeerId, recordCoordinate } from '../coordinate.ts';
import { fanoutRules, type FanoutOutcome } from '../fanout/fanout-rules.ts';
import { type FanoutAnswer, runFanout } from '../fanout/run-fanout.ts';
import type { GetAnswer } from '../messages.ts';
import { verifyDescriptor, type VerifiedDescriptor } from '../record-descriptor.ts';
import type { RecordId } from '../record-key.ts';
import type { SequenceFloor } from '../record-store.ts';
import { compareValues, verifyValue, type VerifiedValue } from '../signed-value.ts';
import type { RecordNetwork } from './record-network.ts';

export interface ValueToFetch {
  readonly record: RecordId;
  readonly subkey: number;
  readonly descriptor: VerifiedDescriptor | undefined;
  /** What is known already. */
  readonly known: VerifiedValue | undefined;
  /** What a value has to win over, or be. */
  readonly floor: SequenceFloor | undefined;
  readonly seeds?: readonly PeerId[] | undefined;
}

export interface FetchedValue {
  readonly outcome: FanoutOutcome;
  readonly descriptor: VerifiedDescriptor | undefined;
  readonly value: VerifiedValue | undefined;
  /** Two values of one number were met: somebody signed both. */
  readonly conflict: boolean;
}

export async function fetchValue(
  network: RecordNetwork,
  wanted: ValueToFetch,
  signal?: AbortSignal,
): Promise<FetchedValue> {
  const { get: count, width } = network.counts;
  const rules = fanoutRules(recordCoordinate(wanted.record), count, { width });
  const fetch = new Fetch(network, wanted);
  const outcome = await runFanout(
    network,
    rules,
    (peer, callSignal) => fetch.from(peer, callSignal),
    { signal, seeds: wanted.seeds },
  );
  const { descriptor, newest: value, conflict } = fetch;
  return { outcome, descriptor, value, conflict };
}

type HeldAnswer = Extract<GetAnswer, { readonly status: 'held' }>;

class Fetch {
  descriptor: VerifiedDescriptor | undefined;
  newest: VerifiedValue | undefined;
  conflict = false;
  readonly #network: RecordNetwork;
  readonly #wanted: ValueToFetch;

  constructor(network: RecordNetwork, wanted: ValueToFetch) {
    this.#network = network;
    this.#wanted = wanted;
    this.descriptor = wanted.descriptor;
    this.newest = wanted.known;
  }

  async from(peer: PeerId, signal: AbortSignal): Promise<FanoutAnswer> {
    const { record, subkey } = this.#wanted;
    const wantDescriptor = this.descriptor === undefined;
    const question = { type: 'get', record, subkey, wantDescriptor } as const;
    const answer = await this.#network.peers.ask(peer, question, { signal });
    const { peers } = answer;
    if (answer.status === 'far') return { disposition: 'declined', peers };
    const value = this.#verified(peer, answer);
    if (value === undefined) return { disposition: 'stale', peers };
    this.#network.descriptors.add(record, peer);
    return { disposition: this.#compare(value), peers };
  }

  #verified(peer: PeerId, answer: HeldAnswer): VerifiedValue | undefined {
    const { record, subkey } = this.#wanted;
    if (answer.descriptor !== undefined) {
      this.descriptor ??= verifyDescriptor(answer.descriptor, record);
    }
    if (answer.value === undefined) return undefined;
    if (this.descriptor === undefined) {
      const message = `a peer gave a value without its descriptor peer=${peer}`;
      throw new HoldfastError('PEER_MESSAGE_INVALID', message);
    }
    return verifyValue(answer.value, this.descriptor, subkey);
  }

  #compare(value: VerifiedValue): FanoutAnswer['disposition'] {
    const { floor } = this.#wanted;
    if (floor !== undefined && compareValues(value, floor) < 0) return 'stale'; // I1
    if (this.newest === undefined) {
      this.newest = value;
      return 'accepted';
    }
    const order = compareValues(value, this.newest);
    if (order === 0) return 'accepted';
    if (value.sequence === this.newest.sequence) this.conflict = true;
    if (order < 0) return 'stale';
    this.newest = value;
    return 'accepted-newer';
  }
}
