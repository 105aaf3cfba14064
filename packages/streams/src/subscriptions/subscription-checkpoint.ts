/** The subscriptions of one shard to rows, and from them. */
import { HoldfastError } from '@holdfast/core';
import { type CollectingShard, prefixRange, type Shard } from '@holdfast/database';
import type { SubscriptionDirectory } from './subscription-directory.ts';
import {
  decodeKeyRow,
  decodeLinkRow,
  decodeSubscriptionRow,
  encodeKeyRow,
  encodeLinkRow,
  encodeSubscriptionRow,
  KEY_ROWS,
  keyRowKey,
  LINK_ROWS,
  linkRowKey,
  SUBSCRIPTION_ROWS,
  subscriptionRowKey,
} from './subscription-rows.ts';
import { Subscription } from './subscription.ts';

/** What is gone first: another subscription may have its name by now. */
export function collectSubscriptions(
  shard: CollectingShard,
  directory: SubscriptionDirectory,
): void {
  const changes = directory.changesOf(shard.id);
  for (const [id, paths] of changes.gone) {
    shard.delete(subscriptionRowKey(id));
    for (const path of paths) shard.delete(linkRowKey(id, path));
  }
  changes.gone.clear();
  for (const [subscription, paths] of changes.rows) {
    const { id } = subscription;
    shard.put(subscriptionRowKey(id), encodeSubscriptionRow(subscription));
    for (const path of paths) {
      const link = subscription.rows.get(path);
      if (link === undefined) shard.delete(linkRowKey(id, path));
      else shard.put(linkRowKey(id, path), encodeLinkRow(link));
    }
  }
  changes.rows.clear();
  for (const name of changes.keys) {
    const key = directory.keys.get(name);
    if (key === undefined) shard.delete(keyRowKey(name));
    else shard.put(keyRowKey(name), encodeKeyRow(key));
  }
  changes.keys.clear();
}

export async function loadSubscriptions(
  shard: Shard,
  directory: SubscriptionDirectory,
): Promise<void> {
  for await (const { key, value } of shard.scan(prefixRange(SUBSCRIPTION_ROWS))) {
    const row = decodeSubscriptionRow(key, value);
    const subscription = new Subscription(row, shard.id);
    subscription.state = row.state;
    directory.add(subscription);
  }
  for await (const { key, value } of shard.scan(prefixRange(LINK_ROWS))) {
    const { id, link } = decodeLinkRow(key, value);
    const subscription = directory.get(id);
    if (subscription === undefined) {
      throw new HoldfastError(
        'FORMAT_INVALID',
        `link row without a subscription shard=${shard.id}`,
      );
    }
    subscription.rows.set(link.path, link);
  }
  for await (const { key, value } of shard.scan(prefixRange(KEY_ROWS))) {
    const stored = decodeKeyRow(key, value);
    directory.keys.set(stored.name, stored);
  }
}
