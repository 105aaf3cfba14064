/**
 * The watches that applications of this peer want. What is wanted is durable; where it is, and what was
 * told, is in memory (`RecordWatch`).
 *
 * Invariants
 * 1. A record has one watch; a newer one takes its place and ends its feed. No call waits for the
 *    network.
 * 2. It ends when its time is over, its count is used up, by `end`, or by its reader. Then, and only then, it
 *    is forgotten: where the process ends it goes on once its record is opened again (`resume`),
 *    told by events.
 * 3. Each change counts once, whatever number of peers told it.
 * 4. What the network has and this peer has not is told as a change when the watch begins.
 *
 * Owner: `PeerRecords`.
 */
import type { Timer } from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import type { Statement } from '../messages.ts';
import type { DurableItems } from '../metadata/durable-items.ts';
import type { WantedWatch } from '../metadata/metadata-rows.ts';
import type { RecordId, RecordKey } from '../record-key.ts';
import type { RecordChange, RecordValue } from '../records.ts';
import type { Sequence } from '../sequence.ts';
import type { VerifiedValue } from '../signed-value.ts';
import { SubkeySet } from '../subkey-set.ts';
import { ChangeFeed } from './change-feed.ts';
import {
  RecordWatch,
  type SeenChange,
  type WatchComponents,
  type WatchSubject,
} from './record-watch.ts';

export interface ClientWatchesComponents extends WatchComponents {
  readonly items: DurableItems<WantedWatch>;
  /** Numbers of what is here. */
  readonly numbersOf: (record: RecordId) => Promise<ReadonlyMap<number, Sequence>>;
  /** `undefined` where this key does not open it. */
  readonly shown: (value: VerifiedValue, key: RecordKey) => RecordValue | undefined;
  readonly onChange: (change: RecordChange) => void;
  readonly onEnded: (subject: WatchSubject) => void;
}

interface ClientWatch {
  readonly subject: WatchSubject;
  wanted: WantedWatch;
  readonly feed: ChangeFeed | undefined;
  /** `undefined`: it is about to begin. */
  placed: RecordWatch | undefined;
  timer: Timer | undefined;
}

/** Timers of the platform go no further. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class ClientWatches {
  readonly #components: ClientWatchesComponents;
  readonly #watches = new Map<RecordId, ClientWatch>();
  readonly #ending = new Set<Promise<void>>();

  constructor(components: ClientWatchesComponents) {
    this.#components = components;
  }

  watch(subject: WatchSubject, wanted: WantedWatch): ChangeFeed {
    const { id } = subject.key;
    const feed: ChangeFeed = new ChangeFeed(() => {
      if (this.#watches.get(id)?.feed === feed) this.end(id);
    });
    this.#begin(subject, wanted, feed);
    return feed;
  }

  /** Goes on with what was wanted before the process ended. */
  resume(subject: WatchSubject): void {
    const wanted = this.#components.items.get(subject.key.id);
    if (wanted === undefined || this.#watches.has(subject.key.id)) return;
    this.#begin(subject, wanted, undefined);
  }

  wanted(record: RecordId): WantedWatch | undefined {
    return this.#watches.get(record)?.wanted;
  }

  /** Takes these subkeys from the watch. */
  lessen(record: RecordId, subkeys: SubkeySet): void {
    const watch = this.#watches.get(record);
    if (watch === undefined) return;
    const left = watch.wanted.subkeys.difference(subkeys);
    if (left.isEmpty) {
      this.end(record);
      return;
    }
    this.#want(watch, { ...watch.wanted, subkeys: left });
    watch.placed?.place();
  }

  end(record: RecordId): void {
    const watch = this.#watches.get(record);
    if (watch === undefined) return;
    this.#stop(watch);
    this.#components.items.drop(record);
    this.#components.onEnded(watch.subject);
  }

  hear(from: PeerId, statement: Statement): void {
    this.#watches.get(statement.record)?.placed?.hear(from, statement);
  }

  lost(peer: PeerId): void {
    for (const { placed } of this.#watches.values()) placed?.lost(peer);
  }

  /** The network is back: of one record, or all. */
  look(record?: RecordId): void {
    for (const [id, { placed }] of this.#watches) {
      if (record === undefined || id === record) placed?.look();
    }
  }

  /** It was written here. */
  known(record: RecordId, subkey: number, sequence: Sequence): void {
    this.#watches.get(record)?.placed?.known(subkey, sequence);
  }

  /** Ends feeds, and watches at peers; keeps what is wanted. */
  async close(): Promise<void> {
    for (const watch of [...this.#watches.values()]) this.#stop(watch);
    while (this.#ending.size > 0) await Promise.all(this.#ending);
  }

  #begin(subject: WatchSubject, wanted: WantedWatch, feed: ChangeFeed | undefined): void {
    const { id } = subject.key;
    const before = this.#watches.get(id);
    if (before !== undefined) this.#stop(before);
    const watch: ClientWatch = { subject, wanted, feed, placed: undefined, timer: undefined };
    this.#watches.set(id, watch);
    this.#want(watch, wanted);
    this.#armEnd(watch);
    void this.#place(watch, before?.placed?.told);
  }

  /** Never rejects. */
  async #place(watch: ClientWatch, told: ReadonlyMap<number, Sequence> = new Map()): Promise<void> {
    const { subject } = watch;
    const { logger, numbersOf } = this.#components;
    const here = await numbersOf(subject.key.id).catch((error: unknown) => {
      logger.warn('records.watch-failed', { record: subject.key.id, code: String(error) });
      return new Map<number, Sequence>();
    });
    if (this.#watches.get(subject.key.id) !== watch) return;
    watch.placed = new RecordWatch(
      this.#components,
      subject,
      () => watch.wanted,
      new Map([...here, ...told]),
      (change) => this.#changed(watch, change),
    );
  }

  #want(watch: ClientWatch, wanted: WantedWatch): void {
    watch.wanted = wanted;
    this.#components.items.lessen(watch.subject.key.id, wanted);
  }

  /** I3 */
  #changed(watch: ClientWatch, seen: SeenChange): void {
    const count = watch.wanted.count === undefined ? undefined : watch.wanted.count - 1;
    if (count !== undefined) this.#want(watch, { ...watch.wanted, count });
    const { key } = watch.subject;
    const value = seen.signed === undefined ? seen.value : this.#components.shown(seen.signed, key);
    const change = { key, subkeys: SubkeySet.of(seen.subkey), value, count };
    watch.feed?.add(change);
    this.#components.onChange(change);
    if (count === 0) this.end(watch.subject.key.id);
  }

  #armEnd(watch: ClientWatch): void {
    const { expiresAtMs } = watch.wanted;
    if (expiresAtMs === undefined) return;
    const { clock } = this.#components;
    const leftMs = Math.max(0, expiresAtMs - clock.now());
    watch.timer = clock.after(Math.min(leftMs, MAX_TIMER_MS), () => {
      if (clock.now() >= expiresAtMs) this.end(watch.subject.key.id);
      else this.#armEnd(watch);
    });
  }

  #stop(watch: ClientWatch): void {
    const { id } = watch.subject.key;
    if (this.#watches.get(id) === watch) this.#watches.delete(id);
    watch.timer?.cancel();
    watch.feed?.end();
    const ending = (watch.placed?.end() ?? Promise.resolve()).finally(() =>
      this.#ending.delete(ending),
    );
    this.#ending.add(ending);
  }
}
