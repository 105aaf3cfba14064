/** What the subscription engine is made of, put together: who hears of what. */
import type { Clock, Logger, Random } from '@holdfast/core';
import type { EngineHost } from '@holdfast/database';
import type { StreamStore } from '../stream-store.ts';
import type { ApplyingSubscriptions } from './apply-subscription.ts';
import { Creations } from './creations.ts';
import { DeadLetters } from './dead-letters.ts';
import { DeliverySlots } from './delivery-slots.ts';
import { LinkBook } from './link-book.ts';
import type { Membership } from './membership-plans.ts';
import { MutationQueue } from './mutation-queue.ts';
import { SigningKeys } from './signing-keys.ts';
import type { ObservableStreams, ObservedStreams } from './stream-observer.ts';
import { SubscriptionDirectory } from './subscription-directory.ts';
import type { SubscriptionSettings } from './subscription-settings.ts';
import type { SubscriptionEndpoints, WakeContext } from './wake-context.ts';
import { WakeRunners } from './wake-runners.ts';
import type { WebhookSender } from './webhook-sender.ts';

export interface SubscriptionComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Of the same database. */
  readonly streams: StreamStore & ObservableStreams;
  readonly sender: WebhookSender;
  readonly endpoints: SubscriptionEndpoints;
}

export interface SubscriptionParts {
  readonly directory: SubscriptionDirectory;
  readonly queue: MutationQueue;
  readonly keys: SigningKeys;
  readonly book: LinkBook;
  readonly creations: Creations;
  readonly runners: WakeRunners;
  readonly context: WakeContext;
  readonly membership: Membership;
}

export function subscriptionParts(
  components: SubscriptionComponents,
  settings: SubscriptionSettings,
  host: () => EngineHost,
): SubscriptionParts {
  const { clock, random, logger, streams } = components;
  const directory = new SubscriptionDirectory();
  const queue = new MutationQueue(host, settings.maxSubscriptionQueue);
  const stored = directory.keys;
  const keys = new SigningKeys({ clock, random, logger, host, queue, stored }, settings);
  const wakeStreamReplaced = (path: string): void => {
    for (const subscription of directory.byWakeStream(path)) {
      runners.wakeStreamReplaced(subscription);
    }
  };
  const streamsThere = streams.observe({
    observes: (path) => book.isLinked(path),
    created: (info) => {
      book.created(info);
      wakeStreamReplaced(info.path);
    },
    changed: (info) => book.changed(info),
    removed: (info) => {
      book.removed(info);
      wakeStreamReplaced(info.path);
    },
  });
  const observed = (): ObservedStreams => streamsThere;
  const book = new LinkBook(observed, settings, logger, (moved) => runners.poke(moved));
  const context: WakeContext = {
    ...components,
    observed,
    settings,
    queue,
    keys,
    slots: new DeliverySlots(settings),
    deadLetters: new DeadLetters(streams),
  };
  const runners = new WakeRunners(context);
  const creations = new Creations(book);
  const membership = { context, directory, book, host };
  return { directory, queue, keys, book, creations, runners, context, membership };
}

/** @param isOpen while there is more to load or replay, only what is durable is kept. */
export function applyingTo(parts: SubscriptionParts, isOpen: () => boolean): ApplyingSubscriptions {
  const { directory, book, runners, creations, keys } = parts;
  return {
    directory,
    created: (subscription) => {
      if (!isOpen()) return;
      book.activate(subscription, creations.created(subscription.incarnation));
      runners.start(subscription);
    },
    changed: (subscription, paths) => {
      if (!isOpen()) return;
      for (const path of paths) book.bind(subscription, path);
      runners.poke(subscription);
    },
    removed: (subscription) => {
      runners.stop(subscription);
      book.drop(subscription);
    },
    keysChanged: () => {
      if (isOpen()) keys.changed();
    },
  };
}
