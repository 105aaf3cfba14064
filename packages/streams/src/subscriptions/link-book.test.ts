import { type ShardId, SILENT } from '@holdfast/core';
import { expect, it } from 'vitest';
import { type Position, START } from '../position.ts';
import type { StreamInfo } from '../stream-store.ts';
import { LinkBook } from './link-book.ts';
import type { ObservedStreams } from './stream-observer.ts';
import { subscriptionSettings } from './subscription-settings.ts';
import { Subscription } from './subscription.ts';

it('tells a subscription of the first pending work, and of more only while it is parked', () => {
  let info: StreamInfo | undefined;
  const streams: ObservedStreams = {
    highestId: 1,
    get: () => info,
    paths: () => [],
  };
  let told = 0;
  const book = new LinkBook(
    () => streams,
    subscriptionSettings(),
    SILENT,
    () => void told++,
  );
  const config = { type: 'pull-wake', pattern: 'a/*', streams: [], leaseTtlMs: 1_000 } as const;
  const origin = { id: 's', incarnation: 'i', createdAtMs: 0, firstStreamId: 1, config };
  const subscription = new Subscription(origin, 0 as ShardId);
  book.activate(subscription, []);
  const grow = (tail: Position): number => {
    told = 0;
    info = { path: 'a/1', id: 1, tail } as StreamInfo;
    if (subscription.links.size === 0) book.created(info);
    else book.changed(info);
    return told;
  };
  expect(grow(START)).toBe(0);
  expect(grow({ messages: 1, bytes: 1 })).toBe(1);
  // On the path of every append, for as many subscriptions as there are links.
  expect(grow({ messages: 2, bytes: 2 })).toBe(0);
  subscription.state = { generation: 1, failedAttempts: 1, parked: true };
  expect(grow({ messages: 3, bytes: 3 })).toBe(1);
  expect(subscription.hasNewWork).toBe(true);
});
