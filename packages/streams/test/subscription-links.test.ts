import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { START } from '../src/position.ts';
import type { SubscriptionConfig } from '../src/subscriptions/subscription-store.ts';
import { done, SubscriptionFixture, WEBHOOK } from './subscription-fixture.ts';

const code = (name: string): unknown => expect.objectContaining({ code: name });
const EXPLICIT: SubscriptionConfig = {
  type: 'webhook',
  streams: ['manual/a', 'events/x'],
  webhookUrl: WEBHOOK.webhookUrl as string,
  leaseTtlMs: 30_000,
};

function links(node: SubscriptionFixture, id = 'sub'): unknown[] {
  return node.engine
    .get(id)
    .links.map(({ path, linkType, acked }) => [path, linkType, acked.messages]);
}

it('links what is there at its tail, and what comes later at its start', async () => {
  let node = await SubscriptionFixture.open();
  await node.create('events/old');
  await node.append('events/old');
  await node.create('other/old');
  await node.put('sub', WEBHOOK);
  await node.create('events/new');
  await node.create('other/new');
  await node.append('events/new');
  const expected = [
    ['events/new', 'glob', 0],
    ['events/old', 'glob', 1],
  ];
  expect(links(node)).toEqual(expected);
  node = await node.crash();
  expect(links(node)).toEqual(expected);
  node = await node.reopen();
  expect(links(node)).toEqual(expected);
  await node.close();
});

it('misses no stream whose creation was in flight with the subscription', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    let node = await SubscriptionFixture.open({ seed });
    node.receiver.receive = done;
    const creating = (path: string): Promise<unknown> =>
      node.streams.create({
        path,
        contentType: 'text/plain',
        closed: false,
        initial: () => ({ bytes: Buffer.from('x'), lengths: [1] }),
      });
    const before = creating('events/before');
    const put = node.engine.put('sub', WEBHOOK);
    await Promise.resolve();
    const after: Promise<unknown>[] = [];
    for (let i = 0; i < seed % 7; i++) {
      after.push(creating(`events/${i}`));
      await node.settle(0);
    }
    await node.run(Promise.all([before, put, ...after]));
    await node.run(creating('events/last'));
    await node.settle(100);
    const wanted = ['before', 'last', ...after.keys()].map((name) => `events/${name}`).sort();
    expect(node.engine.get('sub').links.map(({ path }) => path)).toEqual(wanted);
    const before2 = links(node);
    node = await node.crash();
    expect(links(node)).toEqual(before2);
    await node.close();
  }
});

it('misses no stream that becomes durable between the plan of a subscription and its commit', async () => {
  const clock = new SimClock(new SeededRandom(3));
  const fs = new SimFs({ yieldPoint: () => clock.yieldPoint() });
  const node = await SubscriptionFixture.open({ clock, fs });
  await node.put('warm', WEBHOOK); // its keys are there: nothing is waited for before the plan
  for (let n = 0; n < 40; n++) {
    const path = `events/${n}`;
    const created = node.streams.create({ path, contentType: 'text/plain', closed: false });
    const later = new Promise<void>((resolve) => clock.immediate(resolve));
    const put = later.then(() => node.engine.put(`sub-${n}`, WEBHOOK));
    await node.run(Promise.all([created, put]));
    expect(node.engine.get(`sub-${n}`).links.map((link) => link.path)).toContain(path);
  }
  await node.close();
});

it('adds and removes explicit links; one by pattern stays, with its cursor', async () => {
  let node = await SubscriptionFixture.open();
  await node.put('sub', WEBHOOK);
  await node.create('events/a');
  await node.create('manual/b');
  await node.append('manual/b');
  await node.run(node.engine.link('sub', ['events/a', 'manual/b', 'manual/none']));
  const both = [
    ['events/a', 'explicit', 0],
    ['manual/b', 'explicit', 1],
    ['manual/none', 'explicit', 0],
  ];
  expect(links(node)).toEqual(both);
  await node.run(node.engine.link('sub', ['manual/b']));
  expect(links(node)).toEqual(both);
  node = await node.crash();
  expect(links(node)).toEqual(both);
  for (const path of ['events/a', 'manual/b', 'never/was']) {
    await node.run(node.engine.unlink('sub', path));
  }
  const left = [
    ['events/a', 'glob', 0],
    ['manual/none', 'explicit', 0],
  ];
  expect(links(node)).toEqual(left);
  node = await node.reopen();
  expect(links(node)).toEqual(left);
  await node.close();
});

it('waits for explicit streams that do not exist, and wakes with their first data', async () => {
  const node = await SubscriptionFixture.open();
  node.receiver.receive = done;
  await node.put('sub', EXPLICIT);
  await node.create('manual/a');
  await node.settle(100);
  expect(node.receiver.bodies).toHaveLength(0);
  const tail = await node.append('manual/a');
  await node.settle(100);
  expect(node.receiver.bodies[0]?.streams).toHaveLength(2);
  expect(node.acked('sub', 'manual/a')).toEqual(tail);
  await node.close();
});

it('another stream at the path begins at its start, by pattern and explicitly', async () => {
  let node = await SubscriptionFixture.open();
  node.receiver.receive = done;
  await node.put('glob', WEBHOOK);
  await node.put('explicit', { ...EXPLICIT, streams: ['events/a'] });
  await node.create('events/a');
  for (let i = 0; i < 3; i++) await node.append('events/a');
  await node.settle(100);
  await node.run(node.streams.delete('events/a'));
  await node.settle(100);
  expect(links(node, 'glob')).toEqual([]);
  expect(links(node, 'explicit')).toEqual([['events/a', 'explicit', 0]]);
  node = await node.crash();
  expect(links(node, 'glob')).toEqual([]);
  const before = node.receiver.bodies.length;
  await node.create('events/a');
  const tail = await node.append('events/a');
  await node.settle(100);
  expect(node.receiver.bodies.slice(before).map(({ streams }) => streams)).toMatchObject([
    [{ path: 'events/a', acked_offset: '0000000000000000_0000000000000000', has_pending: true }],
    [{ path: 'events/a', acked_offset: '0000000000000000_0000000000000000', has_pending: true }],
  ]);
  expect(node.acked('glob', 'events/a')).toEqual(tail);
  expect(node.acked('explicit', 'events/a')).toEqual(tail);
  await node.close();
});

it('a fork begins where its own data begins', async () => {
  const node = await SubscriptionFixture.open();
  node.receiver.receive = done;
  await node.create('source');
  for (let i = 0; i < 3; i++) await node.append('source');
  await node.put('sub', WEBHOOK);
  const fork = { source: 'source', subOffset: 0 };
  await node.run(node.streams.create({ path: 'events/fork', closed: false, fork }));
  await node.settle(100);
  expect(node.receiver.bodies).toHaveLength(0);
  expect(links(node)).toEqual([['events/fork', 'glob', 3]]);
  await node.append('events/fork');
  await node.settle(100);
  expect(node.receiver.bodies).toHaveLength(1);
  await node.close();
});

it('the same configuration again is confirmed, another one is a conflict', async () => {
  const node = await SubscriptionFixture.open();
  expect(await node.put('sub', EXPLICIT)).toMatchObject({ created: true });
  const shuffled = { ...EXPLICIT, streams: ['events/x', 'manual/a', 'manual/a'] };
  expect(await node.put('sub', shuffled)).toMatchObject({ created: false });
  const all: Partial<SubscriptionConfig>[] = [
    { pattern: 'events/*' },
    { streams: ['manual/a'] },
    { webhookUrl: 'https://other.example/' },
    { leaseTtlMs: 31_000 },
    { description: 'x' },
  ];
  for (const change of all) {
    await expect(node.put('sub', { ...EXPLICIT, ...change })).rejects.toEqual(
      code('SUBSCRIPTION_EXISTS'),
    );
  }
  expect(await node.put('sub', EXPLICIT)).toMatchObject({ created: false });
  await node.close();
});

const REFUSED: [what: string, change: Partial<SubscriptionConfig>, expected: string][] = [
  ['no streams at all', { streams: [] }, 'INVALID_SUBSCRIPTION'],
  ['a reserved stream', { streams: ['__ds/x'] }, 'INVALID_SUBSCRIPTION'],
  ['a bad pattern', { pattern: 'a*' }, 'INVALID_SUBSCRIPTION'],
  ['a short lease', { leaseTtlMs: 999 }, 'INVALID_SUBSCRIPTION'],
  ['a long lease', { leaseTtlMs: 600_001 }, 'INVALID_SUBSCRIPTION'],
  ['half a lease', { leaseTtlMs: 1_000.5 }, 'INVALID_SUBSCRIPTION'],
  ['a url that is not allowed', { webhookUrl: 'http://10.0.0.1/' }, 'WEBHOOK_URL_REJECTED'],
  ['two ways to deliver', { wakeStream: 'wake' }, 'INVALID_SUBSCRIPTION'],
  ['a long description', { description: 'x'.repeat(4097) }, 'INVALID_SUBSCRIPTION'],
  ['half a character', { description: '\ud800' }, 'INVALID_SUBSCRIPTION'],
];

it.each(REFUSED)('refuses %s', async (_what, change, expected) => {
  const node = await SubscriptionFixture.open();
  await expect(node.put('sub', { ...EXPLICIT, ...change })).rejects.toEqual(code(expected));
  expect(node.engine.list({ limit: 10 })).toEqual([]);
  await node.close();
});

it.each(['', '.', '..', 'a/b', 'a\\b', 'a\nb', '\ud800', 'x'.repeat(257)])(
  'refuses %j as a name: no receiver could call back to it',
  async (id) => {
    const node = await SubscriptionFixture.open();
    await expect(node.put(id, EXPLICIT)).rejects.toEqual(code('INVALID_SUBSCRIPTION'));
    await node.close();
  },
);

it('is bounded: subscriptions, links of one, links of all; what finds no place is counted', async () => {
  let node = await SubscriptionFixture.open({
    settings: { maxSubscriptions: 3, maxLinksPerSubscription: 2, maxSubscriptionLinks: 5 },
  });
  await node.create('events/0');
  await node.put('a', WEBHOOK);
  for (let i = 1; i <= 3; i++) await node.create(`events/${i}`);
  expect(node.engine.get('a')).toMatchObject({ unlinkedStreams: 2 });
  expect(links(node, 'a')).toHaveLength(2);
  await expect(node.put('b', WEBHOOK)).rejects.toEqual(code('QUOTA_EXCEEDED'));
  await node.put('b', { ...EXPLICIT, streams: ['x', 'y'] });
  await expect(node.put('c', { ...EXPLICIT, streams: ['x', 'y'] })).rejects.toEqual(
    code('QUOTA_EXCEEDED'),
  );
  await node.put('c', { ...EXPLICIT, streams: ['x'] });
  await expect(node.put('d', { ...EXPLICIT, streams: ['x'] })).rejects.toEqual(
    code('QUOTA_EXCEEDED'),
  );
  await expect(node.run(node.engine.link('b', ['z']))).rejects.toEqual(code('QUOTA_EXCEEDED'));
  node = await node.reopen();
  expect(node.engine.list({ limit: 10 }).map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  expect(node.engine.list({ after: 'a', limit: 1 }).map(({ id }) => id)).toEqual(['b']);
  expect(links(node, 'a')).toHaveLength(2);
  await node.close();
});

it('a wake names at most so many streams, pending ones first, the others with the next wake', async () => {
  const node = await SubscriptionFixture.open({ settings: { maxWakeStreams: 3 } });
  node.receiver.receive = done;
  await node.put('sub', WEBHOOK);
  for (let i = 0; i < 9; i++) await node.create(`events/${i}`);
  await node.run(Promise.all([4, 5, 6, 7, 8].map((i) => node.append(`events/${i}`))));
  await node.settle(500);
  for (const { streams } of node.receiver.bodies) {
    expect(streams.length).toBeLessThanOrEqual(3);
    expect(streams.every(({ has_pending: pending }) => pending)).toBe(true);
  }
  expect(links(node).filter((link) => (link as unknown[])[2] === 1)).toHaveLength(5);
  await node.close();
});

it('appends to streams nobody links, and closing, wake nobody', async () => {
  const node = await SubscriptionFixture.open();
  await node.put('sub', WEBHOOK);
  await node.create('elsewhere');
  await node.append('elsewhere');
  await node.create('events/a');
  await node.run(node.streams.append({ path: 'events/a', close: true }));
  await node.settle(1_000);
  expect(node.receiver.bodies).toHaveLength(0);
  expect(node.acked('sub', 'events/a')).toEqual(START);
  await node.close();
});
