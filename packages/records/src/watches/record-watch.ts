/**
 * One watch of this peer on one record: what is wanted, and the peers where it is.
 *
 * Invariants
 * 1. It is wanted at the `getCount` peers nearest the record. One that was lost (its connection broke,
 *    it ended the watch) is made up for after `watchRetryMs`; all are renewed `watchRenewalMs`
 *    before the first of them ends.
 * 2. A change is told once, whoever tells it and however often: it has a higher number than everything
 *    that was told of its subkey, or was here before, or was written here.
 * 3. A statement counts if it is of the peer and the watch that it was made with. Its value is verified,
 *    and stored before it is told. What comes without a value is looked up.
 * 4. What no statement told is found by looking: after every change of the peers, when the network is
 *    back, and every `watchInspectMs`. Numbers that peers name are hints: with the secret of the
 *    record a change is told once its value was got; without it, when enough peers name the number.
 * 5. One piece of work is under way at a time; what comes meanwhile is done afterwards.
 *
 * Owner: `ClientWatches`.
 */
import { type Clock, HoldfastError, type Logger, RECORD_LIMITS, type Timer } from '@holdfast/core';
import { type PeerId, recordCoordinate } from '../coordinate.ts';
import type { FanoutAnswer } from '../fanout/run-fanout.ts';
import { runFanout } from '../fanout/run-fanout.ts';
import { fanoutRules } from '../fanout/fanout-rules.ts';
import type { KeyPair } from '../key-pair.ts';
import { createProof, type MemberProof } from '../member-proof.ts';
import type { ChangeStatement, WatchAnswer, WatchId } from '../messages.ts';
import type { WantedWatch } from '../metadata/metadata-rows.ts';
import type { AskedPeers } from '../peers/asked-peers.ts';
import type { VerifiedDescriptor } from '../record-descriptor.ts';
import type { RecordKey } from '../record-key.ts';
import type { GetResult, InspectReport, RecordValue } from '../records.ts';
import { sharedAbort } from '../rpc/shared-abort.ts';
import { isParticipant } from '../schema.ts';
import { compareSequences, type Sequence } from '../sequence.ts';
import { type VerifiedValue, verifyValue } from '../signed-value.ts';
import { NO_SUBKEYS, type SubkeySet } from '../subkey-set.ts';

/** What a watch needs of the records it belongs to. */
export interface WatchComponents {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly peers: AskedPeers;
  /** Stores what a peer told, if the record is still here. */
  readonly keep: (descriptor: VerifiedDescriptor, value: VerifiedValue) => Promise<void>;
  readonly get: (key: RecordKey, subkey: number) => Promise<GetResult>;
  readonly inspect: (key: RecordKey, subkeys: SubkeySet) => Promise<InspectReport>;
}

export interface WatchSubject {
  readonly key: RecordKey;
  readonly descriptor: VerifiedDescriptor;
  readonly writer: KeyPair | undefined;
}

/** A change, before it is one for the application. */
export interface SeenChange {
  readonly subkey: number;
  readonly sequence: Sequence;
  /** As a peer told it. */
  readonly signed?: VerifiedValue | undefined;
  /** As it was got; `undefined`: it was erased, or cannot be read. */
  readonly value?: RecordValue | undefined;
}

interface Place {
  readonly watch: WatchId;
  readonly endsAtMs: number;
}

export class RecordWatch {
  readonly subject: WatchSubject;
  readonly #components: WatchComponents;
  readonly #wanted: () => WantedWatch;
  readonly #onChange: (change: SeenChange) => void;
  readonly #places = new Map<PeerId, Place>();
  /** I2 */
  readonly #told: Map<number, Sequence>;
  readonly #abort = sharedAbort();
  /** To look at, once there is time. */
  #doubtful = NO_SUBKEYS;
  #isPlacing = false;
  #working: Promise<void> | undefined;
  #placeTimer: Timer | undefined;
  #lookTimer: Timer | undefined;

  /** @param known what is here, or was told, already; by subkey. */
  constructor(
    components: WatchComponents,
    subject: WatchSubject,
    wanted: () => WantedWatch,
    known: ReadonlyMap<number, Sequence>,
    onChange: (change: SeenChange) => void,
  ) {
    this.#components = components;
    this.subject = subject;
    this.#wanted = wanted;
    this.#onChange = onChange;
    this.#told = new Map(known);
    this.place();
  }

  /** Peers where it is now. */
  get peers(): readonly PeerId[] {
    return [...this.#places.keys()];
  }

  /** I2 */
  get told(): ReadonlyMap<number, Sequence> {
    return this.#told;
  }

  /** Asks the peers nearest the record, and looks for what was missed. */
  place(): void {
    this.#isPlacing = true;
    this.#doubtful = this.#subkeys;
    this.#work();
  }

  look(): void {
    this.#doubtful = this.#subkeys;
    this.#work();
  }

  lost(peer: PeerId): void {
    if (this.#places.delete(peer)) this.#placeIn(RECORD_LIMITS.watchRetryMs);
  }

  /** It was written here, or got and told. */
  known(subkey: number, sequence: Sequence): void {
    if (this.#isNew(subkey, sequence)) this.#told.set(subkey, sequence);
  }

  /** I3 */
  hear(from: PeerId, statement: ChangeStatement): void {
    if (this.#places.get(from)?.watch !== statement.watch) return;
    if (statement.subkeys.isEmpty) {
      this.lost(from);
      return;
    }
    const subkeys = statement.subkeys.intersection(this.#subkeys);
    const { first } = statement.subkeys;
    let unknown = subkeys;
    if (statement.value !== undefined && first !== undefined && subkeys.has(first)) {
      try {
        const { descriptor } = this.subject;
        void this.#heard(verifyValue(statement.value, descriptor, first));
        unknown = subkeys.without(first);
      } catch (error) {
        this.#failed('records.watch-value-refused', error);
      }
    }
    this.#doubtful = this.#doubtful.union(unknown);
    this.#work();
  }

  /** Ends it at the peers, too, as far as they can be reached. */
  async end(): Promise<void> {
    this.#abort.abort();
    this.#placeTimer?.cancel();
    this.#lookTimer?.cancel();
    await this.#working;
    const places = [...this.#places];
    this.#places.clear();
    await Promise.allSettled(places.map(([peer, { watch }]) => this.#ask(peer, watch, 0)));
  }

  get #subkeys(): SubkeySet {
    return this.#wanted().subkeys;
  }

  get #isOver(): boolean {
    return this.#abort.signal.aborted;
  }

  /** I5 */
  #work(): void {
    if (this.#isOver) return;
    this.#working ??= this.#workOff().finally(() => (this.#working = undefined));
  }

  /** Never rejects. */
  async #workOff(): Promise<void> {
    await Promise.resolve();
    while (!this.#isOver && (this.#isPlacing || !this.#doubtful.isEmpty)) {
      try {
        if (this.#isPlacing) {
          this.#isPlacing = false;
          await this.#placeAll();
        } else {
          const subkeys = this.#doubtful;
          this.#doubtful = NO_SUBKEYS;
          await this.#inspect(subkeys);
        }
      } catch (error) {
        if (this.#isOver) return;
        this.#failed('records.watch-failed', error);
      }
    }
    this.#lookTimer?.cancel();
    if (this.#isOver) return;
    const { clock } = this.#components;
    this.#lookTimer = clock.after(RECORD_LIMITS.watchInspectMs, () => this.look()); // I4
  }

  /** I1 */
  async #placeAll(): Promise<void> {
    const { getCount, watchRetryMs, watchRenewalMs } = RECORD_LIMITS;
    this.#placeIn(watchRetryMs);
    const { clock } = this.#components;
    const rules = fanoutRules(recordCoordinate(this.subject.key.id), getCount);
    const outcome = await runFanout(this.#components, rules, (peer) => this.#placeAt(peer), {
      signal: this.#abort.signal,
    });
    const now = clock.monotonicMs();
    for (const [peer, { endsAtMs }] of this.#places) {
      if (endsAtMs <= now) this.#places.delete(peer);
    }
    if (outcome.kind !== 'consensus') return;
    const first = Math.min(...[...this.#places.values()].map(({ endsAtMs }) => endsAtMs));
    this.#placeIn(Math.max(watchRetryMs, first - now - watchRenewalMs));
  }

  async #placeAt(peer: PeerId): Promise<FanoutAnswer> {
    const known = this.#places.get(peer)?.watch;
    let answer = await this.#ask(peer, known);
    if (known !== undefined && answer.status === 'ended') answer = await this.#ask(peer, undefined);
    const { peers } = answer;
    if (answer.status !== 'active') {
      this.#places.delete(peer);
      return { disposition: 'declined', peers };
    }
    const endsAtMs = this.#components.clock.monotonicMs() + answer.durationMs;
    if (this.#isOver) void this.#ask(peer, answer.watch, 0).catch(() => undefined);
    else this.#places.set(peer, { watch: answer.watch, endsAtMs });
    return { disposition: 'accepted', peers };
  }

  /** Without a signal: a watch that was made all the same must be known, to be ended. */
  #ask(peer: PeerId, watch: WatchId | undefined, count?: 0): Promise<WatchAnswer> {
    const { key } = this.subject;
    const subkeys = this.#subkeys;
    const question = { type: 'watch', record: key.id, subkeys, durationMs: 0, watch } as const;
    const proof = this.#proof(peer);
    return this.#components.peers.ask(peer, { ...question, count, proof });
  }

  /** Members have more room. */
  #proof(answering: PeerId): MemberProof | undefined {
    const { key, descriptor, writer } = this.subject;
    if (writer === undefined) return undefined;
    if (!isParticipant(descriptor.schema, descriptor.owner, writer.publicKey)) return undefined;
    const asking = this.#components.peers.table.self;
    return createProof({ record: key.id, asking, answering }, writer);
  }

  #placeIn(delayMs: number): void {
    if (this.#isOver) return;
    this.#placeTimer?.cancel();
    this.#placeTimer = this.#components.clock.after(delayMs, () => this.place());
  }

  async #heard(value: VerifiedValue): Promise<void> {
    const { subkey, sequence } = value;
    if (!this.#isNew(subkey, sequence)) return;
    try {
      await this.#components.keep(this.subject.descriptor, value);
      this.#tell({ subkey, sequence, signed: value });
    } catch (error) {
      this.#failed('records.watch-failed', error);
    }
  }

  /** I4 */
  async #inspect(subkeys: SubkeySet): Promise<void> {
    const { key } = this.subject;
    const { inspect, get } = this.#components;
    const { states } = await inspect(key, subkeys);
    for (const { subkey, network, peers } of states) {
      if (this.#isOver || network === undefined || !this.#isNew(subkey, network)) continue;
      if (key.secret === undefined) {
        const need = Math.min(RECORD_LIMITS.getCount, this.#components.peers.table.size);
        if (peers >= need) this.#tell({ subkey, sequence: network });
        continue;
      }
      const got = await get(key, subkey);
      if (got.status === 'absent') continue;
      const { sequence } = got;
      const value =
        got.status === 'value' ? { data: got.data, sequence, writer: got.writer } : undefined;
      this.#tell({ subkey, sequence, value });
    }
  }

  /** I2 */
  #tell(change: SeenChange): void {
    const { subkey, sequence } = change;
    if (this.#isOver || !this.#subkeys.has(subkey) || !this.#isNew(subkey, sequence)) return;
    this.#told.set(subkey, sequence);
    this.#onChange(change);
  }

  #isNew(subkey: number, sequence: Sequence): boolean {
    return compareSequences(sequence, this.#told.get(subkey)) > 0;
  }

  #failed(event: string, error: unknown): void {
    const code = error instanceof HoldfastError ? error.code : String(error);
    this.#components.logger.warn(event, { record: this.subject.key.id, code });
  }
}
