import { expect, test } from 'vitest';
import { CommitQueue } from './commit-queue.ts';
import type { CommitSink } from './log.ts';

const SINK: CommitSink = { durable: () => undefined, failed: () => undefined };

function records(
  count: number,
  bytes: number,
): { type: number; shard: number; tenant: number; parts: Buffer[] }[] {
  return Array.from({ length: count }, () => ({
    type: 1,
    shard: 0,
    tenant: 0,
    parts: [Buffer.alloc(bytes, 1)],
  }));
}

test('records of one submission share a batch; a full batch is followed by another', () => {
  const queue = new CommitQueue({ maxBatchBytes: 1_000, maxQueuedBytes: 100_000 }, 1);
  queue.add(records(3, 288), SINK, false);
  queue.add(records(2, 288), SINK, false);
  queue.add(records(1, 5_000), SINK, false);
  queue.add(records(1, 10), SINK, false);
  const batches = [queue.take(), queue.take(), queue.take(), queue.take(), queue.take()];
  expect(batches.map((batch) => batch?.recordCount)).toEqual([3, 2, 1, 1, undefined]);
  expect(batches.map((batch) => batch?.firstLsn)).toEqual([1, 4, 6, 7, undefined]);
});

test('what is beyond the bound is refused, and taken again once there is room', () => {
  const queue = new CommitQueue({ maxBatchBytes: 1_000, maxQueuedBytes: 1_000 }, 1);
  queue.add(records(1, 900), SINK, false);
  expect(() => queue.add(records(1, 100), SINK, false)).toThrow(
    expect.objectContaining({ code: 'COMMIT_QUEUE_FULL', effect: 'none' }),
  );
  expect(() => queue.add(records(1, 1_000), SINK, false)).toThrow(
    expect.objectContaining({ code: 'RECORD_TOO_LARGE' }),
  );
  const batch = queue.take();
  if (batch === undefined) throw new Error('no batch');
  queue.release(batch);
  queue.add(records(1, 100), SINK, false);
  expect(queue.nextLsn).toBe(3);
});

test('one record above the limit is refused', () => {
  const queue = new CommitQueue({ maxBatchBytes: 1_000, maxQueuedBytes: 1 << 30 }, 1);
  expect(() => queue.add(records(1, 32 * 1024 * 1024 + 1), SINK, false)).toThrow(
    expect.objectContaining({ code: 'RECORD_TOO_LARGE' }),
  );
  expect(queue.isEmpty).toBe(true);
});

test('giving LSNs back empties the queue', () => {
  const queue = new CommitQueue({ maxBatchBytes: 100, maxQueuedBytes: 100_000 }, 7);
  queue.add(records(1, 90), SINK, false);
  queue.add(records(1, 90), SINK, true);
  expect(queue.reclaims).toBe(true);
  expect(queue.takeAll(7)).toHaveLength(2);
  expect(queue.isEmpty).toBe(true);
  expect(queue.nextLsn).toBe(7);
});
