/**
 * Gets, sets, erases and inspects records that are in the local store: between the application, that
 * store, and the peers nearest a record. Who may call, and what is open, is the business of `Records`.
 *
 * Invariants
 * 1. A value that this peer signs is durable in the local store before any peer sees it: no number is
 *    used for two values, whenever this process ends.
 * 2. What the network has of a value that wins over the local one comes into the local store, and stays:
 *    that store decides which one wins, in one step with the write.
 * 3. Sets of one subkey happen one after the other. The next one has a higher number than everything
 *    that was ever seen of its subkey here.
 * 4. With `allowOffline` a subkey is in `pending` before its value is written, and until enough peers
 *    hold it, or something that wins over it.
 * 5. The same data by the same writer is the same value: the stored bytes are sent again.
 *
 * Owner: `Records`. `close` ends read repairs; calls under way are ended by the network and the store.
 */
import { type Clock, HoldfastError, type Random, RECORD_LIMITS, Turns } from '@holdfast/core';
import type { KeyPair } from '../key-pair.ts';
import type { AskedPeers } from '../peers/asked-peers.ts';
import type { VerifiedDescriptor } from '../record-descriptor.ts';
import type { RecordId, RecordKey } from '../record-key.ts';
import type { RecordHead, RecordStore } from '../record-store.ts';
import type {
  GetOptions,
  GetResult,
  InspectOptions,
  InspectReport,
  RecordCallOptions,
  SetResult,
} from '../records.ts';
import { compareSequences, nextSequence, type Sequence } from '../sequence.ts';
import { compareValues, type VerifiedValue } from '../signed-value.ts';
import { SubkeySet } from '../subkey-set.ts';
import { DescriptorsKnown } from './descriptors-known.ts';
import { fetchValue, type FetchedValue } from './fetch-value.ts';
import { inspectRecord } from './inspect-record.ts';
import type { PendingWrites } from './pending-writes.ts';
import { pushValue, type PushedValue } from './push-value.ts';
import { ReadRepair } from './read-repair.ts';
import { type AgreementCounts, DEFAULT_COUNTS, type RecordNetwork } from './record-network.ts';
import { getResult, secretOf, setResult } from './results.ts';
import { surveyRecord } from './survey-record.ts';
import { isSameWrite, type RecordWrite, signWrite } from './sign-write.ts';

export interface RecordEngineComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly peers: AskedPeers;
  /** Of the records that were created or opened here. */
  readonly local: RecordStore;
  readonly pending: PendingWrites;
  readonly descriptors?: DescriptorsKnown | undefined;
  /** Told when one writer is found to have signed two values of one number. */
  readonly onConflict?:
    ((record: RecordId, subkey: number, sequence: Sequence) => void) | undefined;
}

export interface EngineSetOptions extends RecordCallOptions {
  readonly writer: KeyPair;
  /** Default true. */
  readonly allowOffline?: boolean | undefined;
}

export class RecordEngine {
  readonly #components: RecordEngineComponents;
  readonly #network: RecordNetwork;
  readonly #repairs: ReadRepair;
  /** By record and subkey, while a set of it is under way. */
  readonly #turns = new Map<string, { readonly turns: Turns; users: number }>();

  constructor(components: RecordEngineComponents, counts: AgreementCounts = DEFAULT_COUNTS) {
    this.#components = components;
    const { clock, peers, descriptors = new DescriptorsKnown() } = components;
    this.#network = { clock, peers, descriptors, counts };
    this.#repairs = new ReadRepair(this.#network);
  }

  async get(key: RecordKey, subkey: number, options: GetOptions = {}): Promise<GetResult> {
    const secret = secretOf(key);
    const { local } = this.#components;
    const { descriptor } = await this.#head(key.id);
    const known = await local.value(key.id, subkey);
    const isRecent = compareSequences(known?.sequence, options.minimumSequence) >= 0;
    if (known !== undefined && isRecent && options.forceRefresh !== true) {
      return getResult(known, secret, 'local', { peers: [], degraded: false });
    }
    const floor = await local.floor(key.id, subkey);
    const wanted = { record: key.id, subkey, descriptor, known, floor };
    const fetched = await fetchValue(this.#network, wanted, options.signal);
    const { value, outcome } = fetched;
    if (fetched.conflict && value !== undefined) this.#tellConflict(value);
    if (value !== undefined && value !== known) await this.#keep(descriptor, value);
    if (!isAnswered(fetched, options.minimumSequence, this.#network.counts.get)) {
      const message = `too few peers answered answered=${outcome.answered}`;
      throw new HoldfastError('PEERS_UNAVAILABLE', message);
    }
    const degraded = outcome.degraded || outcome.there < this.#network.counts.get;
    if (value === undefined) return { status: 'absent', peers: outcome.stale, degraded };
    this.#repairs.repair({ descriptor, value }, outcome.stale);
    return getResult(value, secret, 'network', { peers: outcome.accepted, degraded });
  }

  set(
    key: RecordKey,
    subkey: number,
    data: Uint8Array,
    options: EngineSetOptions,
  ): Promise<SetResult> {
    return this.#inTurn(key.id, subkey, () => this.#write(key, { subkey, data }, options));
  }

  erase(key: RecordKey, subkey: number, options: EngineSetOptions): Promise<SetResult> {
    const write = { subkey, data: undefined };
    return this.#inTurn(key.id, subkey, () => this.#write(key, write, options));
  }

  /**
   * Brings what is stored here to the peers, as the queue and upkeep do; `undefined` where there is
   * nothing.
   */
  push(
    record: RecordId,
    subkey: number,
    options: RecordCallOptions = {},
  ): Promise<PushedValue | undefined> {
    return this.#inTurn(record, subkey, async () => {
      const head = await this.#components.local.peek(record);
      const value = await this.#components.local.value(record, subkey);
      if (head === undefined || value === undefined) return undefined;
      return this.#push(head.descriptor, value, options.signal);
    });
  }

  inspect(key: RecordKey, options: InspectOptions = {}): Promise<InspectReport> {
    const { local, pending } = this.#components;
    return inspectRecord({ network: this.#network, local, pending }, key.id, options);
  }

  /** Of a record that is not in the local store; `undefined`: nobody near knows it. */
  async findDescriptor(
    record: RecordId,
    options: RecordCallOptions = {},
  ): Promise<VerifiedDescriptor | undefined> {
    const { get: count } = this.#network.counts;
    const wanted = { record, subkeys: SubkeySet.of(0), descriptor: undefined, count };
    const survey = await surveyRecord(this.#network, wanted, options.signal);
    if (survey.descriptor === undefined && survey.outcome.answered === 0) {
      throw new HoldfastError('PEERS_UNAVAILABLE', 'no peer near the record answered');
    }
    return survey.descriptor;
  }

  /** Resolves once no read repair is under way. */
  idle(): Promise<void> {
    return this.#repairs.idle();
  }

  async close(): Promise<void> {
    await this.#repairs.close();
  }

  async #write(key: RecordKey, write: RecordWrite, options: EngineSetOptions): Promise<SetResult> {
    const { allowOffline = true, signal } = options;
    const secret = secretOf(key);
    const { descriptor } = await this.#head(key.id);
    let value = await this.#signed(descriptor, secret, write, options.writer);
    if (!allowOffline && !this.#knowsAnybody()) {
      throw new HoldfastError('PEERS_UNAVAILABLE', 'no peer is known that could be asked');
    }
    for (let raises = 0; ; raises++) {
      if (allowOffline) await this.#components.pending.add(key.id, write.subkey); // I4
      const winner = await this.#store(descriptor, value); // I1
      const pushed = await this.#push(descriptor, winner, signal);
      const isRaised = raises < RECORD_LIMITS.maxSequenceRaises && this.#isUsed(pushed, value);
      if (!isRaised) return this.#resultOf(value, pushed, secret, allowOffline);
      value = signWrite({
        descriptor,
        secret,
        write,
        writer: options.writer,
        sequence: nextSequence(pushed.floor),
        random: this.#components.random,
      });
    }
  }

  /** I3, I5 */
  async #signed(
    descriptor: VerifiedDescriptor,
    secret: Buffer,
    write: RecordWrite,
    writer: KeyPair,
  ): Promise<VerifiedValue> {
    const { local, random } = this.#components;
    const known = await local.value(descriptor.id, write.subkey);
    if (known !== undefined && isSameWrite(known, secret, write, writer)) return known;
    const floor = await local.floor(descriptor.id, write.subkey);
    const last = compareSequences(known?.sequence, floor?.sequence) > 0 ? known : floor;
    const sequence = nextSequence(last?.sequence);
    return signWrite({ descriptor, secret, write, writer, sequence, random });
  }

  /** @returns the winner: what somebody else wrote may have come in meanwhile. */
  async #store(descriptor: VerifiedDescriptor, value: VerifiedValue): Promise<VerifiedValue> {
    const { local } = this.#components;
    const report = await local.write(descriptor, [value], { origin: undefined });
    const outcome = report.status === 'done' ? report.outcomes[0] : undefined;
    return outcome?.status === 'superseded' ? outcome.value : value;
  }

  async #push(
    descriptor: VerifiedDescriptor,
    value: VerifiedValue,
    signal: AbortSignal | undefined,
  ): Promise<PushedValue> {
    const pushed = await pushValue(this.#network, { descriptor, value }, { signal });
    if (pushed.conflict) this.#tellConflict(pushed.value);
    if (pushed.value !== value) await this.#keep(descriptor, pushed.value);
    if (pushed.outcome.kind === 'consensus') {
      await this.#components.pending.remove(descriptor.id, value.subkey); // I4
    }
    return pushed;
  }

  /** Its number was used before, as enough peers know, and nothing else is in the way. */
  #isUsed({ outcome, floor, value }: PushedValue, sent: VerifiedValue): boolean {
    const isOurs = compareValues(value, sent) === 0;
    return isOurs && outcome.kind !== 'consensus' && compareSequences(floor, sent.sequence) >= 0;
  }

  async #resultOf(
    sent: VerifiedValue,
    pushed: PushedValue,
    secret: Buffer,
    allowOffline: boolean,
  ): Promise<SetResult> {
    const { outcome, value, locked } = pushed;
    const isLost = compareValues(value, sent) !== 0;
    if (isLost || outcome.kind === 'consensus' || allowOffline) {
      return setResult(sent, pushed, secret);
    }
    const code = locked > 0 ? 'RECORD_LOCKED' : 'PEERS_UNAVAILABLE';
    const message = `too few peers took the value accepted=${outcome.accepted.length}`;
    throw new HoldfastError(code, message, { effect: 'unknown' });
  }

  /** I2: while the record is here. */
  async #keep(descriptor: VerifiedDescriptor, value: VerifiedValue): Promise<void> {
    const { local } = this.#components;
    if ((await local.peek(descriptor.id)) === undefined) throw notFound(descriptor.id);
    await local.write(descriptor, [value], { origin: undefined });
  }

  async #head(record: RecordId): Promise<RecordHead> {
    const head = await this.#components.local.head(record);
    if (head === undefined) throw notFound(record);
    return head;
  }

  #knowsAnybody(): boolean {
    return this.#network.peers.table.size > 0;
  }

  #tellConflict({ record, subkey, sequence }: VerifiedValue): void {
    this.#components.onConflict?.(record, subkey, sequence);
  }

  /** I3 */
  async #inTurn<Result>(
    record: RecordId,
    subkey: number,
    work: () => Promise<Result>,
  ): Promise<Result> {
    const place = `${record} ${subkey}`;
    const turn = this.#turns.get(place) ?? { turns: new Turns(), users: 0 };
    this.#turns.set(place, turn);
    turn.users++;
    try {
      return await turn.turns.run(work);
    } finally {
      if (--turn.users === 0) this.#turns.delete(place);
    }
  }
}

/** Is what was found an answer to a get? Silence is not: it would make an old value of a newer one. */
function isAnswered(
  { outcome, value }: FetchedValue,
  minimum: Sequence | undefined,
  count: number,
): boolean {
  if (outcome.answered === 0) return false;
  if (value !== undefined) return compareSequences(value.sequence, minimum) >= 0;
  if (minimum !== undefined) return false;
  return outcome.kind === 'exhausted' && outcome.stale.length >= Math.min(count, outcome.there);
}

function notFound(record: RecordId): HoldfastError {
  return new HoldfastError('RECORD_NOT_FOUND', `the record is not here record=${record}`);
}
