/**
 * Operations into applied state. A deterministic function of operation and state: replay and
 * live commits go through here alike, and applying one twice changes nothing.
 */
import type { SubscriptionDirectory } from './subscription-directory.ts';
import {
  type PutOperation,
  SUBSCRIPTION_RECORDS,
  type SubscriptionOperation,
  type UpdateOperation,
} from './subscription-operations.ts';
import { Subscription } from './subscription.ts';

export interface ApplyingSubscriptions {
  readonly directory: SubscriptionDirectory;
  created(subscription: Subscription): void;
  /** @param paths whose rows changed. */
  changed(subscription: Subscription, paths: readonly string[]): void;
  removed(subscription: Subscription): void;
  keysChanged(): void;
}

export function applySubscription(
  state: ApplyingSubscriptions,
  operation: SubscriptionOperation,
): void {
  const { directory } = state;
  switch (operation.type) {
    case SUBSCRIPTION_RECORDS.put:
      return applyPut(state, operation);
    case SUBSCRIPTION_RECORDS.update:
      return applyUpdate(state, operation);
    case SUBSCRIPTION_RECORDS.remove: {
      const subscription = directory.get(operation.id);
      if (subscription?.incarnation === operation.incarnation) applyRemove(state, subscription);
      return;
    }
    case SUBSCRIPTION_RECORDS.putKey:
      directory.keys.set(operation.key.name, operation.key);
      directory.changesOf(operation.shard).keys.add(operation.key.name);
      return state.keysChanged();
    case SUBSCRIPTION_RECORDS.removeKey:
      directory.keys.delete(operation.name);
      directory.changesOf(operation.shard).keys.add(operation.name);
      return state.keysChanged();
  }
}

function applyPut(state: ApplyingSubscriptions, operation: PutOperation): void {
  const { directory } = state;
  const before = directory.get(operation.id);
  if (before?.incarnation === operation.incarnation) return;
  if (before !== undefined) applyRemove(state, before);
  const subscription = new Subscription(operation, operation.shard);
  const dirty = directory.changesOf(operation.shard).pathsOf(subscription);
  for (const link of operation.links) {
    subscription.rows.set(link.path, link);
    dirty.add(link.path);
  }
  directory.add(subscription);
  state.created(subscription);
}

function applyUpdate(state: ApplyingSubscriptions, operation: UpdateOperation): void {
  const subscription = state.directory.get(operation.id);
  if (subscription?.incarnation !== operation.incarnation) return;
  const dirty = state.directory.changesOf(subscription.shard).pathsOf(subscription);
  subscription.state = operation.state;
  const paths: string[] = [];
  for (const link of operation.links) {
    subscription.rows.set(link.path, link);
    paths.push(link.path);
  }
  for (const path of operation.unlinked) {
    subscription.rows.delete(path);
    subscription.staleRows.delete(path);
    paths.push(path);
  }
  for (const path of paths) dirty.add(path);
  state.changed(subscription, paths);
}

function applyRemove(state: ApplyingSubscriptions, subscription: Subscription): void {
  const changes = state.directory.changesOf(subscription.shard);
  const gone = changes.goneOf(subscription.id);
  for (const path of subscription.rows.keys()) gone.add(path);
  for (const path of changes.rows.get(subscription) ?? []) gone.add(path);
  changes.rows.delete(subscription);
  subscription.removed = true;
  state.directory.remove(subscription);
  state.removed(subscription);
}
