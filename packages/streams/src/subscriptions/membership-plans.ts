/** Plans of what changes a subscription's existence and links. Each runs within one turn. */
import { HoldfastError, LIMITS } from '@holdfast/core';
import type { EngineHost } from '@holdfast/database';
import { START } from '../position.ts';
import type { LinkBook } from './link-book.ts';
import type { Mutation } from './mutation-queue.ts';
import { PathPattern } from './path-pattern.ts';
import { checkLinkedPath, checkWakeStream, isSameConfig } from './subscription-check.ts';
import type { SubscriptionDirectory } from './subscription-directory.ts';
import {
  type LinkRow,
  type PutOperation,
  SUBSCRIPTION_RECORDS,
} from './subscription-operations.ts';
import { identityOfSubscription } from './subscription-rows.ts';
import type { SubscriptionConfig, SubscriptionInfo } from './subscription-store.ts';
import { rowOf, type Subscription } from './subscription.ts';
import type { WakeContext } from './wake-context.ts';
import { ended } from './wake-transitions.ts';

/** Of a link in a record, besides its path. */
const LINK_BYTES = 40;
/** Room for everything in a record that is not a link. */
const HEAD_BYTES = 1024 * 1024;
const INCARNATION_BYTES = 12;

export interface Membership {
  readonly context: WakeContext;
  readonly directory: SubscriptionDirectory;
  readonly book: LinkBook;
  readonly host: () => EngineHost;
}

interface PutResult {
  readonly created: boolean;
  readonly info: SubscriptionInfo;
}

/** The same configuration again: wakes it when it was parked. Absent when there is none. */
export function planConfirm(
  { directory }: Membership,
  id: string,
  config: SubscriptionConfig,
): Mutation<PutResult> | undefined {
  const subscription = directory.get(id);
  if (subscription === undefined) return undefined;
  if (!isSameConfig(subscription.config, config)) {
    throw new HoldfastError(
      'SUBSCRIPTION_EXISTS',
      'there is a subscription of this name with another configuration',
    );
  }
  const { state } = subscription;
  const operations = state.parked ? [subscription.update(ended(state))] : [];
  return { operations, result: () => ({ created: false, info: subscription.info() }) };
}

/** @param creating how many others are on their way. */
export function planCreate(
  membership: Membership,
  id: string,
  config: SubscriptionConfig,
  creating: number,
): { readonly operation: PutOperation; readonly mutation: Mutation<PutResult> } {
  const { context, directory, host } = membership;
  const { settings, clock, random, observed } = context;
  if (config.wakeStream !== undefined) checkWakeStream(context, config.wakeStream);
  if (directory.size + creating >= settings.maxSubscriptions) {
    throw quota(`there are as many subscriptions as there may be`, settings.maxSubscriptions);
  }
  const links = backFill(membership, config);
  checkRoom(membership, undefined, links);
  const operation: PutOperation = {
    type: SUBSCRIPTION_RECORDS.put,
    shard: host().shardOf(identityOfSubscription(id)),
    id,
    incarnation: random.bytes(INCARNATION_BYTES).toString('hex'),
    createdAtMs: clock.now(),
    firstStreamId: observed().highestId + 1,
    config,
    links,
  };
  const result = (): PutResult => {
    const info = directory.get(id)?.info();
    if (info === undefined) throw new HoldfastError('SUBSCRIPTION_NOT_FOUND', 'it is gone again');
    return { created: true, info };
  };
  return { operation, mutation: { operations: [operation], result } };
}

/** Explicit streams, and the matching ones there are, at their tails. */
function backFill({ context }: Membership, config: SubscriptionConfig): LinkRow[] {
  const { observed } = context;
  const rows = new Map<string, LinkRow>();
  for (const path of config.streams) rows.set(path, explicitRow(context, path));
  if (config.pattern !== undefined) {
    const pattern = PathPattern.parse(config.pattern);
    const { literalPrefix } = pattern;
    for (const path of observed().paths()) {
      if (!path.startsWith(literalPrefix) || rows.has(path) || path === config.wakeStream) continue;
      const info = pattern.matches(path) ? observed().get(path) : undefined;
      if (info === undefined) continue;
      rows.set(path, { path, explicit: false, streamId: info.id, acked: info.tail });
    }
  }
  return [...rows.values()];
}

function explicitRow({ observed }: WakeContext, path: string): LinkRow {
  const info = observed().get(path);
  return { path, explicit: true, streamId: info?.id ?? 0, acked: info?.tail ?? START };
}

export function planLink(
  membership: Membership,
  subscription: Subscription,
  paths: readonly string[],
): Mutation<void> {
  const rows = new Map<string, LinkRow>();
  for (const path of paths) {
    checkLinkedPath(path, subscription.config.wakeStream);
    const link = subscription.links.get(path);
    if (link?.explicit === true) continue;
    const row = link === undefined ? explicitRow(membership.context, path) : rowOf(link);
    rows.set(path, { ...row, explicit: true });
  }
  const links = [...rows.values()];
  checkRoom(membership, subscription, links);
  const operations = links.length === 0 ? [] : [subscription.update(subscription.state, links)];
  return { operations, result: () => undefined };
}

/** A link by pattern stays, with its cursor. */
export function planUnlink(subscription: Subscription, path: string): Mutation<void> {
  const link = subscription.links.get(path);
  const operations =
    link?.explicit !== true
      ? []
      : link.streamId !== 0 && subscription.matches(path)
        ? [subscription.update(subscription.state, [{ ...rowOf(link), explicit: false }])]
        : [subscription.update(subscription.state, [], [path])];
  return { operations, options: { reclaims: true }, result: () => undefined };
}

export function planRemove(subscription: Subscription): Mutation<void> {
  const { shard, id, incarnation } = subscription;
  const { remove: type } = SUBSCRIPTION_RECORDS;
  return {
    operations: [{ type, shard, id, incarnation }],
    options: { reclaims: true },
    result: () => undefined,
  };
}

/** Throws `QUOTA_EXCEEDED`. */
function checkRoom(
  { context, book }: Membership,
  subscription: Subscription | undefined,
  links: readonly LinkRow[],
): void {
  const { maxLinksPerSubscription, maxSubscriptionLinks } = context.settings;
  const added = links.filter(({ path }) => subscription?.links.has(path) !== true).length;
  if ((subscription?.links.size ?? 0) + added > maxLinksPerSubscription) {
    throw quota('too many streams would be linked to one subscription', maxLinksPerSubscription);
  }
  if (book.count + added > maxSubscriptionLinks) {
    throw quota('too many streams would be linked to all subscriptions', maxSubscriptionLinks);
  }
  let bytes = HEAD_BYTES;
  for (const { path } of links) bytes += Buffer.byteLength(path) + LINK_BYTES;
  if (bytes > LIMITS.maxRecordBytes) {
    throw quota('the links of one request are too large', LIMITS.maxRecordBytes);
  }
}

function quota(message: string, limit: number): HoldfastError {
  return new HoldfastError('QUOTA_EXCEEDED', `${message} limit=${limit}`);
}
