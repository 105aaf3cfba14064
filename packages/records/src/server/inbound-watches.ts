/**
 * Watches that other peers have on records kept here: which there are, what changed for each, and when
 * it is told. In memory only: after a restart there are none, and their owners find out when they
 * renew them.
 *
 * Invariants
 * 1. What is bounded is counted where it changes: watches of a record's public and of each of its
 *    members, of a peer, and of all. A peer has one watch on a record, and one more for each member
 *    that it proved to be: a newer one takes the place of the older and what that one has to tell.
 * 2. A watch is live until `endsAtMs`, at most `maxWatchMs` from its last renewal, or until its count
 *    is used up. One that is not live tells nothing and is not given out.
 * 3. Whatever changes, a watch holds one set of changed subkeys, within its own, and sends one message
 *    in `watchIntervalMs` at most; each message counts.
 * 4. Changes are told to the peer that watches, over its own connection: where there is none they are
 *    kept, uncounted, until it connects again or the watch ends. Who made a change is not told of it.
 *
 * Owner: the server of records.
 */
import { type Clock, RECORD_LIMITS, type Random, type Timer } from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import type { PublicKey } from '../key-pair.ts';
import type { Statement, WatchId, WatchQuestion } from '../messages.ts';
import type { RecordId } from '../record-key.ts';
import type { SignedValue } from '../signed-value.ts';
import { NO_SUBKEYS, type SubkeySet } from '../subkey-set.ts';

export interface InboundWatchesComponents {
  readonly clock: Clock;
  readonly random: Random;
  /** False: there is no connection. */
  readonly tell: (peer: PeerId, statement: Statement) => boolean;
  /** For messages: `undefined` where it cannot be had. */
  readonly valueOf: (record: RecordId, subkey: number) => Promise<SignedValue | undefined>;
}

/** Who watches. */
export interface Watcher {
  readonly from: PeerId;
  /** Owner or member of the record, as was proved; `undefined`: the public. */
  readonly member: PublicKey | undefined;
}

export type WatchReply =
  | { readonly status: 'active'; readonly watch: WatchId; readonly durationMs: number }
  | { readonly status: 'refused' | 'ended' };

interface Watch extends Watcher {
  readonly id: WatchId;
  readonly record: RecordId;
  subkeys: SubkeySet;
  count: number | undefined;
  endsAtMs: number;
  changed: SubkeySet;
}

const REFUSED: WatchReply = { status: 'refused' };
const ENDED: WatchReply = { status: 'ended' };
const NO_ID = '0'.repeat(16);

export class InboundWatches {
  readonly #components: InboundWatchesComponents;
  readonly #byId = new Map<WatchId, Watch>();
  readonly #byRecord = new Map<RecordId, Set<Watch>>();
  readonly #byPeer = new Map<PeerId, Set<Watch>>();
  /** With something to tell at the next beat. */
  #due = new Set<Watch>();
  #beat: Timer | undefined;
  #sweep: Timer | undefined;
  #closed = false;

  constructor(components: InboundWatchesComponents) {
    this.#components = components;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Of a question with an id: changes the watch, renews it, or ends it. */
  change(watcher: Watcher, question: WatchQuestion, subkeys: SubkeySet): WatchReply {
    const watch = this.#live(question.watch);
    const isTheirs =
      watch?.from === watcher.from &&
      watch.member === watcher.member &&
      watch.record === question.record;
    if (!isTheirs) return ENDED;
    const durationMs = granted(question.durationMs);
    if (question.count === 0 || durationMs === undefined || subkeys.isEmpty) {
      this.#drop(watch);
      return ENDED;
    }
    watch.subkeys = subkeys;
    watch.changed = watch.changed.intersection(subkeys);
    return this.#renew(watch, question.count, durationMs);
  }

  /** Ends one without a look at the record: by the peer that has it. */
  cancel(from: PeerId, id: WatchId): void {
    const watch = this.#live(id);
    if (watch?.from === from) this.#drop(watch);
  }

  /** @param subkeys those of the record among the ones that were asked for. */
  open(watcher: Watcher, question: WatchQuestion, subkeys: SubkeySet): WatchReply {
    const durationMs = granted(question.durationMs);
    if (this.#closed || durationMs === undefined || subkeys.isEmpty) return REFUSED;
    const { record, count } = question;
    const older = this.#find(record, watcher);
    if (older === undefined && !this.#hasRoomFor(record, watcher)) return REFUSED;
    const changed = older?.changed.intersection(subkeys) ?? NO_SUBKEYS;
    if (older !== undefined) this.#drop(older);
    const facts = { id: this.#newId(), record, subkeys, count, endsAtMs: 0, changed };
    const watch: Watch = { ...watcher, ...facts };
    this.#byId.set(watch.id, watch);
    addTo(this.#byRecord, record, watch);
    addTo(this.#byPeer, watch.from, watch);
    if (!changed.isEmpty) this.#make(watch);
    return this.#renew(watch, count, durationMs);
  }

  /** @param by who changed them, and knows. */
  changed(record: RecordId, subkeys: SubkeySet, by: PeerId | undefined): void {
    for (const watch of this.#byRecord.get(record) ?? []) {
      if (watch.from === by || !this.#isLive(watch)) continue;
      const seen = watch.subkeys.intersection(subkeys);
      if (seen.isEmpty) continue;
      watch.changed = watch.changed.union(seen);
      this.#make(watch);
    }
  }

  /** What could not be told before can be told now. */
  connected(peer: PeerId): void {
    for (const watch of this.#byPeer.get(peer) ?? []) {
      if (!watch.changed.isEmpty) this.#make(watch);
    }
  }

  /** Whoever watches hears that it is over. */
  close(): void {
    this.#closed = true;
    for (const watch of [...this.#byId.values()]) {
      this.#drop(watch);
      const { record, id, from } = watch;
      const over = { type: 'changed', record, watch: id, subkeys: NO_SUBKEYS } as const;
      this.#components.tell(from, { ...over, count: 0, value: undefined });
    }
    this.#beat?.cancel();
    this.#sweep?.cancel();
  }

  // -- which there are -------------------------------------------------------------------------

  #live(id: WatchId | undefined): Watch | undefined {
    const watch = id === undefined ? undefined : this.#byId.get(id);
    return watch !== undefined && this.#isLive(watch) ? watch : undefined;
  }

  /** Drops it if it is not. */
  #isLive(watch: Watch): boolean {
    if (!this.#byId.has(watch.id)) return false;
    if (this.#components.clock.monotonicMs() < watch.endsAtMs) return true;
    this.#drop(watch);
    return false;
  }

  #find(record: RecordId, { from, member }: Watcher): Watch | undefined {
    for (const watch of this.#byRecord.get(record) ?? []) {
      if (watch.from === from && watch.member === member && this.#isLive(watch)) return watch;
    }
    return undefined;
  }

  /** I1 */
  #hasRoomFor(record: RecordId, { from, member }: Watcher): boolean {
    const { maxWatches, maxWatchesOfPeer, maxMemberWatches, maxPublicWatches } = RECORD_LIMITS;
    const beside = [...(this.#byRecord.get(record) ?? [])].filter(
      (watch) => watch.member === member && this.#isLive(watch),
    );
    const most = member === undefined ? maxPublicWatches : maxMemberWatches;
    if (beside.length >= most) return false;
    const full = (): boolean =>
      this.#byId.size >= maxWatches || (this.#byPeer.get(from)?.size ?? 0) >= maxWatchesOfPeer;
    if (full()) this.#dropExpired();
    return !full();
  }

  #renew(watch: Watch, count: number | undefined, durationMs: number): WatchReply {
    watch.count = count;
    watch.endsAtMs = this.#components.clock.monotonicMs() + durationMs;
    this.#armSweep();
    return { status: 'active', watch: watch.id, durationMs };
  }

  #drop(watch: Watch): void {
    this.#byId.delete(watch.id);
    this.#due.delete(watch);
    removeFrom(this.#byRecord, watch.record, watch);
    removeFrom(this.#byPeer, watch.from, watch);
  }

  #dropExpired(): void {
    for (const watch of [...this.#byId.values()]) this.#isLive(watch);
  }

  /** Watches that end while nothing asks for them take no room for ever. */
  #armSweep(): void {
    this.#sweep ??= this.#components.clock.after(RECORD_LIMITS.watchRenewalMs, () => {
      this.#sweep = undefined;
      this.#dropExpired();
      if (this.#byId.size > 0) this.#armSweep();
    });
  }

  // -- telling ---------------------------------------------------------------------------------

  #make(watch: Watch): void {
    this.#due.add(watch);
    this.#beat ??= this.#components.clock.after(RECORD_LIMITS.watchIntervalMs, () => {
      this.#beat = undefined;
      const due = this.#due;
      this.#due = new Set();
      for (const one of due) void this.#tell(one);
    });
  }

  /** Never rejects. */
  async #tell(watch: Watch): Promise<void> {
    const { record, id, from, changed: subkeys } = watch;
    if (subkeys.first === undefined || !this.#isLive(watch)) return;
    watch.changed = NO_SUBKEYS;
    const { tell, valueOf } = this.#components;
    const value = await valueOf(record, subkeys.first).catch(() => undefined);
    if (!this.#isLive(watch)) return;
    const count = watch.count === undefined ? undefined : watch.count - 1;
    if (!tell(from, { type: 'changed', record, watch: id, subkeys, count, value })) {
      watch.changed = watch.changed.union(subkeys).intersection(watch.subkeys); // I4
      return;
    }
    watch.count = count;
    if (count === 0) this.#drop(watch);
  }

  #newId(): WatchId {
    for (;;) {
      const id = this.#components.random.bytes(8).toString('hex') as WatchId;
      if (id !== NO_ID && !this.#byId.has(id)) return id;
    }
  }
}

/** How long a watch lives that asks for so long; `undefined`: that is too short. */
function granted(durationMs: number): number | undefined {
  const { minWatchMs, maxWatchMs } = RECORD_LIMITS;
  if (durationMs === 0) return maxWatchMs;
  return durationMs < minWatchMs ? undefined : Math.min(durationMs, maxWatchMs);
}

function addTo<Key>(sets: Map<Key, Set<Watch>>, key: Key, watch: Watch): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([watch]));
  else set.add(watch);
}

function removeFrom<Key>(sets: Map<Key, Set<Watch>>, key: Key, watch: Watch): void {
  const set = sets.get(key);
  set?.delete(watch);
  if (set?.size === 0) sets.delete(key);
}
