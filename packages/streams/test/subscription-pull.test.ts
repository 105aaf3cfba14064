import { expect, it } from 'vitest';
import { type Position, START } from '../src/position.ts';
import { DEAD_LETTERS_PATH } from '../src/subscriptions/dead-letters.ts';
import type { Wake } from '../src/subscriptions/subscription-store.ts';
import { type FixtureOptions, PULL, SubscriptionFixture, WEBHOOK } from './subscription-fixture.ts';

async function opened(options: FixtureOptions = {}): Promise<SubscriptionFixture> {
  const node = await SubscriptionFixture.open(options);
  await node.create('wake/pool');
  await node.put('pull', PULL);
  await node.create('events/a');
  return node;
}

const code = (name: string): unknown => expect.objectContaining({ code: name });

interface Ack {
  readonly path: string;
  readonly offset: Position;
}

function ack(
  node: SubscriptionFixture,
  wake: Wake,
  done: boolean,
  acks: readonly Ack[] = wake.streams.map(({ path, tail }) => ({ path, offset: tail })),
): Promise<{ readonly nextWake: boolean }> {
  const { token, wakeId, generation } = wake;
  return node.run(
    node.engine.ack({ id: 'pull', type: 'pull-wake', token, wakeId, generation, acks, done }),
  );
}

function release(node: SubscriptionFixture, { token, wakeId, generation }: Wake): Promise<void> {
  return node.run(node.engine.release({ id: 'pull', token, wakeId, generation }));
}

function claim(node: SubscriptionFixture, worker = 'w1'): Promise<Wake> {
  return node.run(node.engine.claim('pull', worker));
}

async function generations(node: SubscriptionFixture): Promise<number[]> {
  const events = (await node.read('wake/pool')) as { generation: number }[];
  return events.map(({ generation }) => generation);
}

it('writes one event, with exactly the members of the protocol, for each wake', async () => {
  const node = await opened();
  await node.append('events/a');
  await node.append('events/a');
  await node.settle(60_000);
  expect(await node.read('wake/pool')).toEqual([
    {
      type: 'wake',
      subscription_id: 'pull',
      stream: 'events/a',
      generation: 1,
      ts: expect.any(Number) as number,
    },
  ]);
  await node.close();
});

it('a claim takes the wake in flight, an ack moves the cursor and keeps or ends the lease', async () => {
  const node = await opened();
  const first = await node.append('events/a');
  await node.settle(10);
  const wake = await claim(node);
  expect(wake).toMatchObject({ generation: 1, leaseTtlMs: 30_000 });
  expect(wake.streams).toEqual([
    { path: 'events/a', linkType: 'glob', acked: START, tail: first, pending: true },
  ]);
  await expect(claim(node, 'w2')).rejects.toMatchObject({
    code: 'ALREADY_CLAIMED',
    details: { currentHolder: 'w1', generation: 1 },
  });
  for (let i = 0; i < 3; i++) {
    await node.settle(20_000);
    expect(await ack(node, wake, false, [])).toEqual({ nextWake: false });
  }
  expect(node.engine.get('pull')).toMatchObject({ holder: 'w1', generation: 1 });
  expect(await ack(node, wake, true)).toEqual({ nextWake: false });
  expect(node.acked('pull', 'events/a')).toEqual(first);
  await expect(ack(node, wake, true)).rejects.toEqual(code('FENCED'));
  await expect(claim(node)).rejects.toEqual(code('NO_PENDING_WORK'));
  expect(await generations(node)).toEqual([1]);
  await node.close();
});

it('work that remained is announced again, after an ack and after a release', async () => {
  const node = await opened();
  await node.append('events/a');
  await node.settle(10);
  const first = await claim(node);
  await node.append('events/a');
  expect(await ack(node, first, true)).toEqual({ nextWake: true });
  await node.settle(10);
  const second = await claim(node);
  await release(node, second);
  await node.settle(10);
  expect(await generations(node)).toEqual([1, 2, 3]);
  await expect(release(node, second)).rejects.toEqual(code('FENCED'));
  await node.close();
});

it('a claim without a wake in flight makes one when there is work', async () => {
  const node = await opened();
  await node.append('events/a');
  const wake = await claim(node);
  expect(wake.generation).toBe(1);
  await node.settle(20_000);
  await ack(node, wake, true);
  const again = node.streams.append({
    path: 'events/a',
    close: false,
    messages: () => ({ bytes: Buffer.from('2,'), lengths: [2] }),
  });
  await node.run(again);
  expect((await claim(node)).generation).toBe(2);
  await node.close();
});

it('a lease that runs out frees the work for the next, and fences the worker', async () => {
  const node = await opened();
  await node.append('events/a');
  await node.settle(10);
  const lost = await claim(node);
  await node.settle(30_100);
  expect(node.engine.get('pull').holder).toBeUndefined();
  expect(await generations(node)).toEqual([1, 2]);
  await expect(ack(node, lost, true)).rejects.toEqual(code('FENCED'));
  expect(node.acked('pull', 'events/a')).toEqual(START);
  expect((await claim(node, 'w2')).generation).toBe(2);
  await node.close();
});

it('a claim and its lease survive a kill, with what remained of it', async () => {
  let node = await opened();
  await node.append('events/a');
  await node.settle(10);
  const wake = await claim(node);
  await node.settle(20_000);
  node = await node.crash();
  await expect(claim(node, 'w2')).rejects.toEqual(code('ALREADY_CLAIMED'));
  await node.settle(9_000);
  expect(node.engine.get('pull').holder).toBe('w1');
  expect(await ack(node, wake, false)).toEqual({ nextWake: false });
  node = await node.crash();
  expect(node.acked('pull', 'events/a')).toEqual({ messages: 1, bytes: 2 });
  await node.settle(31_000);
  expect(node.engine.get('pull').holder).toBeUndefined();
  await node.close();
});

it.each([
  ['forward', 3_600_000],
  ['back', -3_600_000],
])(
  'a wall clock that jumps %s ends no lease early, and none later than a lease',
  async (_to, by) => {
    let node = await opened();
    await node.append('events/a');
    await node.settle(10);
    await claim(node);
    node.clock.jumpWallClock(by);
    await node.settle(29_000);
    expect(node.engine.get('pull').holder).toBe('w1');
    node = await node.crash();
    await node.settle(30_100);
    expect(node.engine.get('pull').holder).toBeUndefined();
    await node.close();
  },
);

it('an event is there once over a kill, and again in a wake stream made anew', async () => {
  let node = await opened();
  await node.append('events/a');
  await node.settle(100);
  for (let i = 0; i < 3; i++) {
    node = await node.crash();
    await node.settle(100);
  }
  expect(await generations(node)).toEqual([1]);
  await node.run(node.streams.delete('wake/pool'));
  await node.create('wake/pool');
  await node.settle(5_000);
  expect(await generations(node)).toEqual([1]);
  await node.close();
});

it('a wake stream that takes no events is tried again, then given up', async () => {
  const node = await opened({ settings: { maxWebhookAttempts: 4 } });
  await node.run(node.streams.append({ path: 'wake/pool', close: true }));
  await node.append('events/a');
  await node.settle(500);
  expect(node.engine.get('pull')).toMatchObject({ status: 'failed', failedAttempts: 1 });
  await node.settle(60_000);
  expect(node.engine.get('pull')).toMatchObject({ parked: true, failedAttempts: 4 });
  expect(await node.read(DEAD_LETTERS_PATH)).toMatchObject([
    { subscription_id: 'pull', generation: 1, reason: 'the wake stream takes no events' },
  ]);
  expect((await claim(node)).generation).toBe(2);
  expect(node.engine.get('pull')).toMatchObject({ parked: false, status: 'active' });
  await node.close();
});

it('a wake whose work went away is over, and the next work has its own event', async () => {
  const node = await opened();
  await node.append('events/a');
  await node.settle(10);
  await node.run(node.streams.delete('events/a'));
  await node.settle(10);
  await expect(claim(node)).rejects.toEqual(code('NO_PENDING_WORK'));
  await node.create('events/b');
  await node.append('events/b');
  await node.settle(10);
  expect(await generations(node)).toEqual([1, 2]);
  await node.close();
});

it('its own wake stream never wakes a subscription', async () => {
  const node = await SubscriptionFixture.open();
  await node.create('wake/pool');
  await node.put('pull', { ...PULL, pattern: '**' });
  await node.create('events/a');
  await node.append('events/a');
  await node.settle(1_000);
  await ack(node, await claim(node), true);
  await node.settle(60_000);
  expect(await generations(node)).toEqual([1]);
  const self = { ...PULL, streams: ['wake/pool'] };
  await expect(node.put('self', self)).rejects.toEqual(code('INVALID_SUBSCRIPTION'));
  const linked = node.run(node.engine.link('pull', ['wake/pool']));
  await expect(linked).rejects.toEqual(code('INVALID_SUBSCRIPTION'));
  await node.close();
});

it('the wake stream has to be there, open, and of json', async () => {
  const node = await SubscriptionFixture.open();
  await expect(node.put('pull', PULL)).rejects.toEqual(code('WAKE_STREAM_NOT_FOUND'));
  await node.create('wake/text', false);
  await node.create('wake/closed', true, true);
  for (const wakeStream of ['wake/text', 'wake/closed']) {
    const refused = node.put('pull', { ...PULL, wakeStream });
    await expect(refused).rejects.toEqual(code('INVALID_SUBSCRIPTION'));
  }
  await node.close();
});

it('each type has its own way to acknowledge', async () => {
  const node = await opened();
  await node.append('events/a');
  await node.settle(10);
  const { token, wakeId, generation } = await claim(node);
  const wrong = { id: 'pull', token, wakeId, generation, acks: [], done: true };
  await expect(node.run(node.engine.ack({ ...wrong, type: 'webhook' }))).rejects.toEqual(
    code('INVALID_SUBSCRIPTION'),
  );
  await node.put('hook', WEBHOOK);
  await expect(node.run(node.engine.claim('hook', 'w'))).rejects.toEqual(
    code('INVALID_SUBSCRIPTION'),
  );
  await node.close();
});

it('an ack meant for a stream that is gone moves nothing of the one that took its path', async () => {
  let node = await opened();
  for (let i = 0; i < 3; i++) await node.append('events/a');
  await node.settle(10);
  const wake = await claim(node);
  await node.run(node.streams.delete('events/a'));
  expect(await ack(node, wake, false)).toEqual({ nextWake: false });
  await node.create('events/a');
  for (let i = 0; i < 5; i++) await node.append('events/a');
  node = await node.crash();
  expect(await ack(node, wake, true)).toEqual({ nextWake: true });
  expect(node.acked('pull', 'events/a')).toEqual(START);
  await node.settle(10);
  const next = await claim(node);
  expect(next.streams).toMatchObject([{ acked: START, tail: { messages: 5 }, pending: true }]);
  expect(await ack(node, next, true)).toEqual({ nextWake: false });
  await node.close();
});

it('a wake stream that has seen as many producers as it may still takes the events of new ones', async () => {
  const node = await opened({ streamSettings: { maxProducersPerStream: 1 } });
  await node.put('later', PULL);
  await node.append('events/a');
  await node.settle(60_000);
  const events = (await node.read('wake/pool')) as { subscription_id: string }[];
  expect(events.map((event) => event.subscription_id).sort()).toEqual(['later', 'pull']);
  expect(node.engine.get('later')).toMatchObject({ status: 'active', failedAttempts: 0 });
  await node.close();
});
