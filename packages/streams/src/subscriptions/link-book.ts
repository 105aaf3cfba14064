/**
 * All links of all subscriptions, by path: what an append looks into.
 *
 * Invariants
 * 1. A link is a function of its subscription's row for the path and the stream that is there now
 *    (`bind`): the same before and after a restart, whatever order things were heard in.
 * 2. Without a row, a matching stream is linked at its start if its id is at or above the
 *    subscription's `firstStreamId`: creating a stream writes nothing here. What came before has
 *    a row, from the back-fill.
 * 3. A cursor belongs to one stream. Another stream at the path is linked at its start, which in
 *    a fork is its base: what it inherits is not new work.
 * 4. Rows always get their link; other links end at the bounds, counted and told.
 */
import type { Logger } from '@holdfast/core';
import { comparePositions, type Position, START } from '../position.ts';
import type { StreamInfo } from '../stream-store.ts';
import type { PathPattern } from './path-pattern.ts';
import { PatternIndex } from './pattern-index.ts';
import type { ObservedStreams } from './stream-observer.ts';
import type { SubscriptionSettings } from './subscription-settings.ts';
import { isPending, type Link, type Subscription } from './subscription.ts';

/** Collects the streams created while a subscription is on its way. */
export interface Expectation {
  readonly pattern: PathPattern;
  readonly created: string[];
}

export class LinkBook {
  readonly #streams: () => ObservedStreams;
  readonly #settings: SubscriptionSettings;
  readonly #logger: Logger;
  /** There may be something to do for it. */
  readonly #moved: (subscription: Subscription) => void;
  readonly #byPath = new Map<string, Link>();
  readonly #patterns = new PatternIndex<Subscription>();
  readonly #expectations = new Set<Expectation>();
  #count = 0;
  #told = false;

  constructor(
    streams: () => ObservedStreams,
    settings: SubscriptionSettings,
    logger: Logger,
    moved: (subscription: Subscription) => void,
  ) {
    this.#streams = streams;
    this.#settings = settings;
    this.#logger = logger;
    this.#moved = moved;
  }

  get count(): number {
    return this.#count;
  }

  /** From now on it hears of streams. @param paths of streams that may match, besides its rows. */
  activate(subscription: Subscription, paths: Iterable<string>): void {
    if (subscription.pattern !== undefined) {
      this.#patterns.add(subscription.pattern, subscription);
    }
    for (const path of subscription.rows.keys()) this.bind(subscription, path);
    for (const path of paths) this.bind(subscription, path);
  }

  /** The same for all subscriptions there are, in one pass over the streams. */
  activateAll(subscriptions: Iterable<Subscription>): void {
    let patterns = 0;
    for (const subscription of subscriptions) {
      this.activate(subscription, []);
      if (subscription.pattern !== undefined) patterns++;
    }
    if (patterns === 0) return;
    for (const path of this.#streams().paths()) {
      for (const subscription of this.#patterns.match(path)) {
        if (!subscription.links.has(path)) this.bind(subscription, path);
      }
    }
  }

  expect(pattern: PathPattern): Expectation {
    const expectation = { pattern, created: [] };
    this.#expectations.add(expectation);
    return expectation;
  }

  endExpectation(expectation: Expectation): void {
    this.#expectations.delete(expectation);
  }

  /** It was removed. */
  drop(subscription: Subscription): void {
    if (subscription.pattern !== undefined) {
      this.#patterns.delete(subscription.pattern, subscription);
    }
    for (const link of subscription.links.values()) this.#unindex(link);
    this.#count -= subscription.links.size;
    subscription.links.clear();
    subscription.pending.clear();
  }

  created(info: StreamInfo): void {
    for (const subscription of this.#subscriptionsAt(info.path)) this.bind(subscription, info.path);
    for (const subscription of this.#patterns.match(info.path)) this.bind(subscription, info.path);
    for (const { pattern, created } of this.#expectations) {
      if (pattern.matches(info.path)) created.push(info.path);
    }
  }

  /** On the path of every append: one look-up, and nothing more for streams without links. */
  isLinked(path: string): boolean {
    return this.#byPath.has(path);
  }

  changed(info: StreamInfo): void {
    let link = this.#byPath.get(info.path);
    for (; link !== undefined; link = link.nextAtPath) {
      if (link.streamId === info.id) this.#tail(link, info.tail);
    }
  }

  removed(info: StreamInfo): void {
    for (const subscription of this.#subscriptionsAt(info.path)) this.bind(subscription, info.path);
  }

  /** Makes the link what row and stream say. I1. */
  bind(subscription: Subscription, path: string): void {
    const info = this.#streams().get(path);
    const row = subscription.rows.get(path);
    const explicit = row?.explicit ?? false;
    const implied = info !== undefined && info.id >= subscription.firstStreamId; // I2
    const glob = info !== undefined && (row !== undefined || implied) && subscription.matches(path);
    let link = subscription.links.get(path);
    if (!explicit && !glob) {
      if (link !== undefined) this.#remove(link);
      if (row !== undefined) subscription.staleRows.add(path);
      return;
    }
    subscription.staleRows.delete(path);
    if (link === undefined) {
      if (row === undefined && this.#isFull(subscription)) return this.#leaveOut(subscription);
      link = this.#add(subscription, path);
    }
    if (link.streamId !== (info?.id ?? 0)) link.tail = START;
    link.explicit = explicit;
    link.streamId = info?.id ?? 0;
    link.acked = row !== undefined && row.streamId === link.streamId ? row.acked : startOf(info); // I3
    this.#tail(link, info?.tail ?? START);
  }

  /** More of what is pending anyway changes nothing for a subscription that is not parked. */
  #tail(link: Link, tail: Position): void {
    const { subscription } = link;
    const before = subscription.pending.size;
    if (comparePositions(tail, link.tail) > 0) subscription.work++;
    link.tail = tail;
    if (isPending(link)) subscription.pending.add(link);
    else subscription.pending.delete(link);
    const isNews = subscription.pending.size !== before || subscription.state.parked;
    if (isNews) this.#moved(subscription);
  }

  #add(subscription: Subscription, path: string): Link {
    const nextAtPath = this.#byPath.get(path);
    const link: Link = {
      subscription,
      path,
      explicit: false,
      streamId: 0,
      acked: START,
      tail: START,
      nextAtPath,
    };
    this.#byPath.set(path, link);
    subscription.links.set(path, link);
    this.#count++;
    return link;
  }

  #remove(link: Link): void {
    const { subscription } = link;
    this.#unindex(link);
    subscription.links.delete(link.path);
    subscription.pending.delete(link);
    this.#count--;
    this.#moved(subscription);
  }

  #unindex(link: Link): void {
    const first = this.#byPath.get(link.path);
    if (first === link) {
      if (link.nextAtPath === undefined) this.#byPath.delete(link.path);
      else this.#byPath.set(link.path, link.nextAtPath);
      return;
    }
    let before = first;
    while (before !== undefined && before.nextAtPath !== link) before = before.nextAtPath;
    if (before !== undefined) before.nextAtPath = link.nextAtPath;
  }

  #subscriptionsAt(path: string): Subscription[] {
    const found: Subscription[] = [];
    let link = this.#byPath.get(path);
    for (; link !== undefined; link = link.nextAtPath) found.push(link.subscription);
    return found;
  }

  #isFull(subscription: Subscription): boolean {
    const { maxLinksPerSubscription, maxSubscriptionLinks } = this.#settings;
    return (
      subscription.links.size >= maxLinksPerSubscription || this.#count >= maxSubscriptionLinks
    );
  }

  #leaveOut(subscription: Subscription): void {
    subscription.unlinkedStreams++;
    if (this.#told) return;
    this.#told = true;
    const { maxLinksPerSubscription, maxSubscriptionLinks } = this.#settings;
    this.#logger.warn('subscriptions.streams_not_linked', {
      maxLinksPerSubscription,
      maxSubscriptionLinks,
    });
  }
}

function startOf(info: StreamInfo | undefined): Position {
  return info?.forkedAt ?? START;
}
