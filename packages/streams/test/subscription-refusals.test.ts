/** Storage that has no room or has failed, a node nobody can reach yet, a kill at every cut point. */
import { onCut } from '@holdfast/core';
import { type PlannedFault, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { DEAD_LETTERS_PATH } from '../src/subscriptions/dead-letters.ts';
import {
  SUBSCRIPTIONS_CUT_POINTS,
  type SubscriptionsCutPoint,
} from '../src/subscriptions/subscriptions-cut-points.ts';
import {
  answer,
  done,
  PULL,
  SubscriptionFixture,
  WEBHOOK,
  type WakeBody,
} from './subscription-fixture.ts';

it('a full disk holds back what the receiver said, and nothing is sent twice for it', async () => {
  const node = await SubscriptionFixture.open({ fs: new SimFs({ capacityBytes: 64e6 }) });
  await node.put('sub', WEBHOOK);
  await node.create('events/a');
  await node.create('other', false);
  node.receiver.receive = async () => {
    const { disk } = node.fs;
    disk.capacityBytes -= disk.freeBytes();
    for (let refused = false; !refused;) {
      const messages = () => ({ bytes: Buffer.alloc(1_000, 'x'), lengths: [1_000] });
      const appended = node.streams.append({ path: 'other', messages, close: false });
      refused = await appended.then(
        () => false,
        () => true,
      );
    }
    return done();
  };
  const tail = await node.append('events/a');
  await node.settle(20_000);
  expect(node.receiver.bodies).toHaveLength(1);
  expect(node.database.state).toBe('full');
  expect(node.acked('sub', 'events/a')).toEqual({ messages: 0, bytes: 0 });
  const [body] = node.receiver.bodies as [WakeBody];
  await expect(node.callback(body, true)).rejects.toMatchObject({ code: 'DISK_FULL' });
  node.fs.disk.capacityBytes += 1e9;
  await node.settle(5_000);
  expect(node.acked('sub', 'events/a')).toEqual(tail);
  expect(node.receiver.bodies).toHaveLength(1);
  expect(node.engine.get('sub')).toMatchObject({ status: 'active', failedAttempts: 0 });
  await node.close();
});

it('when storage has failed nothing is delivered any more, and a start goes on', async () => {
  let node = await SubscriptionFixture.open();
  await node.put('sub', WEBHOOK);
  await node.create('events/a');
  const faults: PlannedFault[] = [];
  node.receiver.receive = () => {
    faults.push(node.fs.disk.faults.plan({ effect: 'EIO', times: Infinity }));
    return done();
  };
  const tail = await node.append('events/a');
  await node.settle(120_000);
  expect(node.database.state).toBe('failed');
  expect(node.receiver.bodies).toHaveLength(1);
  faults[0]?.remove();
  node = await node.crash();
  node.receiver.receive = done;
  await node.settle(100);
  // What the failed sync was about may be there or not; it is delivered again unless it is.
  expect(node.acked('sub', 'events/a')).toEqual(tail);
  expect(node.engine.get('sub').generation).toBe(node.receiver.bodies.length);
  await node.close();
});

it('webhooks wait while receivers could not reach this node', async () => {
  const reached: { at?: string } = {};
  let node = await SubscriptionFixture.open();
  await node.put('sub', WEBHOOK);
  await node.create('events/a');
  node = await node.crash({ callbackUrl: () => reached.at });
  node.receiver.receive = done;
  await node.append('events/a');
  await node.settle(60_000);
  expect(node.receiver.bodies).toHaveLength(0);
  expect(node.engine.get('sub')).toMatchObject({ generation: 0, status: 'active' });
  reached.at = 'https://late.example/callback';
  node.engine.reachable();
  await node.settle(10);
  expect(node.receiver.bodies).toMatchObject([{ callback_url: reached.at }]);
  await node.close();
});

it.each(SUBSCRIPTIONS_CUT_POINTS)('a kill at %s loses nothing', async (point) => {
  let node = await SubscriptionFixture.open({ settings: { maxWebhookAttempts: 1 } });
  let reached = 0;
  const off = onCut((name) => {
    if (name !== (point satisfies SubscriptionsCutPoint) || reached++ > 0) return;
    return new Promise<void>(() => undefined); // the process stands still here until it dies
  });
  try {
    await node.create('wake/pool');
    const removed = { ...WEBHOOK, pattern: 'none' };
    const first = Promise.race([
      (async () => {
        await node.engine.put('sub', WEBHOOK);
        await node.engine.put('pull', PULL);
        await node.engine.put('removed', removed);
        await node.engine.delete('removed');
      })(),
      new Promise<void>((resolve) => node.clock.after(500, resolve)),
    ]);
    await node.run(first);
    await node.create('events/a');
    node.receiver.receive = () => answer(500);
    await node.append('events/a');
    await node.settle(5_000);
    expect(reached).toBeGreaterThan(0);
  } finally {
    off();
  }
  node = await node.crash();
  expect(node.engine.get('sub')).toBeDefined();
  await node.put('sub', WEBHOOK);
  await node.put('pull', PULL);
  node.receiver.receive = done;
  const tail = await node.append('events/a');
  await node.settle(40_000);
  const generations = node.receiver.bodies.map(({ generation }) => generation);
  expect(new Set(generations).size).toBe(generations.length);
  expect(node.acked('sub', 'events/a')).toEqual(tail);
  const events = (await node.read('wake/pool')) as { generation: number }[];
  expect(new Set(events.map(({ generation }) => generation)).size).toBe(events.length);
  expect(events.length).toBeGreaterThan(0);
  expect(node.engine.list({ limit: 9 }).map(({ id }) => id)).not.toContain('removed');
  if (point === 'subscriptions.deadLetterAppended') {
    expect(await node.read(DEAD_LETTERS_PATH)).toHaveLength(1);
  }
  await node.close();
});
