/**
 * Brings a value of a subkey to the peers nearest its record. Where it meets one that wins over it, it
 * takes that one and brings it to all of them: so whoever pushes, the peers come to hold the value that
 * wins, and writers that race come to know the same one.
 *
 * Invariants
 * 1. `value` of the result is the winner of everything that was sent and met; it was verified.
 * 2. `accepted` peers said that they hold exactly it.
 * 3. A peer that answers with a value that does not win over what it was sent, lies.
 * 4. Numbers without values (`outdated`) are believed only as far as enough peers say so.
 */
import { HoldfastError } from '@holdfast/core';
import { type PeerId, recordCoordinate } from '../coordinate.ts';
import { fanoutRules, type FanoutOutcome } from '../fanout/fanout-rules.ts';
import { type FanoutAnswer, runFanout } from '../fanout/run-fanout.ts';
import { compareSequences, type Sequence } from '../sequence.ts';
import { compareValues, verifyValue, type VerifiedValue } from '../signed-value.ts';
import type { RecordNetwork } from './record-network.ts';
import { sendValue, type ValueToSend } from './send-value.ts';

export interface PushedValue {
  readonly outcome: FanoutOutcome;
  /** I1 */
  readonly value: VerifiedValue;
  /** What the push began with. */
  readonly sent: VerifiedValue;
  /** Two values of one number were met: somebody signed both. */
  readonly conflict: boolean;
  /** I4: a number that was used before, where no value with it is left. */
  readonly floor: Sequence | undefined;
  /** Peers where a transaction is about to commit. */
  readonly locked: number;
}

export interface PushOptions {
  readonly seeds?: readonly PeerId[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export async function pushValue(
  network: RecordNetwork,
  given: ValueToSend,
  options: PushOptions = {},
): Promise<PushedValue> {
  const { set: count, width } = network.counts;
  const rules = fanoutRules(recordCoordinate(given.descriptor.id), count, { width });
  const push = new Push(network, given);
  const outcome = await runFanout(network, rules, (peer, signal) => push.to(peer, signal), options);
  return {
    outcome,
    value: push.winner,
    sent: given.value,
    conflict: push.conflict,
    floor: agreedFloor(push.floors, Math.max(1, Math.min(count, outcome.there))),
    locked: push.locked,
  };
}

class Push {
  winner: VerifiedValue;
  conflict = false;
  locked = 0;
  readonly floors: Sequence[] = [];
  readonly #network: RecordNetwork;
  readonly #given: ValueToSend;

  constructor(network: RecordNetwork, given: ValueToSend) {
    this.#network = network;
    this.#given = given;
    this.winner = given.value;
  }

  async to(peer: PeerId, signal: AbortSignal): Promise<FanoutAnswer> {
    const sent = this.winner;
    const { descriptor } = this.#given;
    const answer = await sendValue(this.#network, peer, { descriptor, value: sent }, signal);
    const { peers } = answer;
    switch (answer.status) {
      case 'stored':
        return { disposition: sent === this.winner ? 'accepted' : 'stale', peers };
      case 'superseded': {
        const met = verifyValue(answer.value, descriptor, sent.subkey);
        return { disposition: this.#meet(met, sent, peer), peers };
      }
      case 'outdated':
        if (compareSequences(answer.floor, sent.sequence) < 0) throw lied(peer); // I3
        this.floors.push(answer.floor);
        return { disposition: 'declined', peers };
      case 'locked':
        this.locked++;
        return { disposition: 'declined', peers };
      case 'full':
      case 'far':
        return { disposition: 'declined', peers };
    }
  }

  #meet(met: VerifiedValue, sent: VerifiedValue, peer: PeerId): FanoutAnswer['disposition'] {
    if (compareValues(met, sent) <= 0) throw lied(peer); // I3
    const order = compareValues(met, this.winner);
    if (met.sequence === this.winner.sequence && order !== 0) this.conflict = true;
    if (order === 0) return 'accepted';
    if (order < 0) return 'stale';
    this.winner = met;
    return 'accepted-newer-restart';
  }
}

/** I4: at least so many peers name this number, or a higher one. */
function agreedFloor(floors: readonly Sequence[], count: number): Sequence | undefined {
  return [...floors].sort((a, b) => b - a)[count - 1];
}

function lied(peer: PeerId): HoldfastError {
  const message = `a peer prefers a value that does not win peer=${peer}`;
  return new HoldfastError('PEER_MESSAGE_INVALID', message);
}
