/**
 * Asks the peers nearest a record which numbers its subkeys have. Numbers are hints: no signature is on
 * them, and a get decides.
 *
 * Invariants
 * 1. A subkey is agreed once `count` peers name one number for it; or if as many say that it was never
 *    written, and nobody names a number. Of several that are agreed the highest is told, of none that
 *    is, the highest anybody named.
 * 2. It is over when the descriptor is known and of all subkeys the highest that anybody named is agreed,
 *    or when everybody near was asked: one that names too high a number hides none, and costs time.
 */
import { HoldfastError } from '@holdfast/core';
import { type PeerId, recordCoordinate } from '../coordinate.ts';
import { fanoutRules, type FanoutOutcome } from '../fanout/fanout-rules.ts';
import { type FanoutAnswer, runFanout } from '../fanout/run-fanout.ts';
import type { InspectAnswer } from '../messages.ts';
import { verifyDescriptor, type VerifiedDescriptor } from '../record-descriptor.ts';
import type { RecordId } from '../record-key.ts';
import { subkeyCount } from '../schema.ts';
import { compareSequences, type Sequence } from '../sequence.ts';
import type { SubkeySet } from '../subkey-set.ts';
import type { RecordNetwork } from './record-network.ts';

export interface RecordToSurvey {
  readonly record: RecordId;
  /** Cut to those of the record. */
  readonly subkeys: SubkeySet;
  readonly descriptor: VerifiedDescriptor | undefined;
  readonly count: number;
  readonly seeds?: readonly PeerId[] | undefined;
}

export interface SurveyedSubkey {
  readonly subkey: number;
  /** I1 */
  readonly sequence: Sequence | undefined;
  /** Those that said exactly that. */
  readonly peers: number;
  /** The highest that anybody named: one peer is enough to make it wrong. */
  readonly highest: Sequence | undefined;
}

export interface Survey {
  readonly outcome: FanoutOutcome;
  /** `undefined`: nobody who was asked knows the record. */
  readonly descriptor: VerifiedDescriptor | undefined;
  /** Rising; none where the descriptor is unknown. */
  readonly subkeys: readonly SurveyedSubkey[];
  readonly agreed: boolean;
  readonly degraded: boolean;
}

export async function surveyRecord(
  network: RecordNetwork,
  wanted: RecordToSurvey,
  signal?: AbortSignal,
): Promise<Survey> {
  const { width } = network.counts;
  const target = recordCoordinate(wanted.record);
  const rules = fanoutRules(target, Infinity, { width, throttled: false });
  const tally = new Tally(network, wanted);
  const outcome = await runFanout(
    network,
    rules,
    (peer, callSignal) => tally.of(peer, callSignal),
    { signal, seeds: wanted.seeds, check: () => (tally.isSettled(wanted.count) ? 'done' : 'open') },
  );
  const need = Math.max(1, Math.min(wanted.count, outcome.there));
  return {
    outcome,
    descriptor: tally.descriptor,
    subkeys: tally.subkeys(need),
    agreed: tally.isAgreed(need),
    degraded: outcome.there < wanted.count,
  };
}

type Said = Map<Sequence | undefined, number>;
type HeldAnswer = Extract<InspectAnswer, { readonly status: 'held' }>;

class Tally {
  descriptor: VerifiedDescriptor | undefined;
  readonly #network: RecordNetwork;
  readonly #wanted: RecordToSurvey;
  readonly #said = new Map<number, Said>();
  /** Peers that know no such record: they say of each subkey that it was never written. */
  #unknown = 0;

  constructor(network: RecordNetwork, wanted: RecordToSurvey) {
    this.#network = network;
    this.#wanted = wanted;
    this.descriptor = wanted.descriptor;
  }

  async of(peer: PeerId, signal: AbortSignal): Promise<FanoutAnswer> {
    const { record, subkeys } = this.#wanted;
    const wantDescriptor = this.descriptor === undefined;
    const question = { type: 'inspect', record, subkeys, wantDescriptor } as const;
    const answer = await this.#network.peers.ask(peer, question, { signal });
    const { peers } = answer;
    if (answer.status === 'far') return { disposition: 'declined', peers };
    this.#count(peer, answer);
    return { disposition: 'accepted', peers };
  }

  /** I2 */
  isSettled(count: number): boolean {
    return (
      this.descriptor !== undefined &&
      [...this.#inRecord()].every((subkey) => (this.#numbers(subkey)[0]?.[1] ?? 0) >= count)
    );
  }

  isAgreed(count: number): boolean {
    return (
      this.descriptor !== undefined &&
      [...this.#inRecord()].every((subkey) => this.#agreed(subkey, count) !== undefined)
    );
  }

  subkeys(count: number): SurveyedSubkey[] {
    return [...this.#inRecord()].map((subkey) => {
      const numbers = this.#numbers(subkey);
      const [highest] = numbers[0] ?? [undefined];
      const told = this.#agreed(subkey, count) ?? numbers[0] ?? [undefined, 0];
      return { subkey, sequence: told[0], peers: told[1], highest };
    });
  }

  #inRecord(): Iterable<number> {
    const { descriptor } = this;
    return descriptor === undefined
      ? []
      : this.#wanted.subkeys.within(subkeyCount(descriptor.schema));
  }

  /** I1 */
  #agreed(subkey: number, count: number): readonly [Sequence | undefined, number] | undefined {
    const numbers = this.#numbers(subkey);
    const found = numbers.find(([, peers]) => peers >= count);
    return found?.[0] === undefined && numbers.length > 1 ? undefined : found;
  }

  /** With how many said so, highest first. */
  #numbers(subkey: number): [Sequence | undefined, number][] {
    const said: Said = new Map(this.#said.get(subkey));
    if (this.#unknown > 0) said.set(undefined, (said.get(undefined) ?? 0) + this.#unknown);
    return [...said].sort(([a], [b]) => compareSequences(b, a));
  }

  #count(peer: PeerId, { sequences, descriptor }: HeldAnswer): void {
    const { record, subkeys } = this.#wanted;
    if (descriptor !== undefined) this.descriptor ??= verifyDescriptor(descriptor, record);
    if (sequences === undefined) {
      this.#unknown++;
      return;
    }
    if (this.descriptor === undefined) throw invalid(`no descriptor peer=${peer}`);
    const asked = subkeys.within(subkeyCount(this.descriptor.schema));
    if (sequences.length !== asked.size) {
      throw invalid(`numbers=${sequences.length} asked=${asked.size} peer=${peer}`);
    }
    this.#network.descriptors.add(record, peer);
    let at = 0;
    for (const subkey of asked) {
      const said = this.#said.get(subkey) ?? new Map<Sequence | undefined, number>();
      this.#said.set(subkey, said.set(sequences[at], (said.get(sequences[at]) ?? 0) + 1));
      at++;
    }
  }
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('PEER_MESSAGE_INVALID', `an inspection makes no sense: ${what}`);
}
