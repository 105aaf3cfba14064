/**
 * What rests of subscriptions: rows of any checkpoint with the records behind it give the same
 * state as having been there, also when records come twice; and every row finds its shard again.
 */
import { type ShardId, SILENT } from '@holdfast/core';
import { openDatabase, rebalanceDatabase } from '@holdfast/database';
import { SeededRandom } from '@holdfast/testkit';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createStreamEngine } from '../src/stream-engine.ts';
import { applySubscription } from '../src/subscriptions/apply-subscription.ts';
import {
  collectSubscriptions,
  loadSubscriptions,
} from '../src/subscriptions/subscription-checkpoint.ts';
import { SubscriptionDirectory } from '../src/subscriptions/subscription-directory.ts';
import { createSubscriptionEngine } from '../src/subscriptions/subscription-engine.ts';
import {
  decodeSubscriptionOperation,
  encodeSubscriptionOperation,
} from '../src/subscriptions/subscription-operation-codec.ts';
import {
  SUBSCRIPTION_RECORDS,
  type SubscriptionOperation,
} from '../src/subscriptions/subscription-operations.ts';
import { FakeShard } from './fake-host.ts';
import {
  DATABASE_SETTINGS,
  done,
  FakeReceiver,
  PULL,
  SubscriptionFixture,
  WEBHOOK,
} from './subscription-fixture.ts';

const shard = 0 as ShardId;
const { put, update, remove, putKey, removeKey } = SUBSCRIPTION_RECORDS;
const id = fc.constantFrom('a', 'b');
const incarnation = fc.constantFrom('1', '2', '3');
const path = fc.constantFrom('p', 'q', 'r');
const link = fc.record({
  path,
  explicit: fc.boolean(),
  streamId: fc.nat(3),
  acked: fc.record({ messages: fc.nat(9), bytes: fc.nat(99) }),
});
const links = fc.uniqueArray(link, { maxLength: 3, selector: (one) => one.path });
const at = fc.constant(shard);
const state = fc.record({
  generation: fc.nat(9),
  failedAttempts: fc.nat(3),
  parked: fc.boolean(),
});
const name = fc.constantFrom('token', 'ds_1');
const key = fc.record({
  name,
  secret: fc.constantFrom(Buffer.alloc(32, 1), Buffer.alloc(32, 2)),
  createdAtMs: fc.nat(9),
  signsFromMs: fc.nat(9),
});
const operation: fc.Arbitrary<SubscriptionOperation> = fc.oneof(
  fc.record({
    type: fc.constant(put),
    shard: at,
    id,
    incarnation,
    createdAtMs: fc.nat(9),
    firstStreamId: fc.nat(9),
    config: fc.constantFrom(WEBHOOK, PULL),
    links,
  }),
  fc.record({
    type: fc.constant(update),
    shard: at,
    id,
    incarnation,
    state,
    links,
    unlinked: fc.uniqueArray(path, { maxLength: 2 }),
  }),
  fc.record({ type: fc.constant(remove), shard: at, id, incarnation }),
  fc.record({ type: fc.constant(putKey), shard: at, key }),
  fc.record({ type: fc.constant(removeKey), shard: at, name }),
);

function applyTo(directory: SubscriptionDirectory, given: SubscriptionOperation): void {
  const nothing = (): void => {};
  applySubscription(
    { directory, created: nothing, changed: nothing, removed: nothing, keysChanged: nothing },
    given,
  );
}

function shown(directory: SubscriptionDirectory): unknown {
  const subscriptions = [...directory.all()].map((one) => ({
    id: one.id,
    incarnation: one.incarnation,
    config: one.config,
    firstStreamId: one.firstStreamId,
    createdAtMs: one.createdAtMs,
    state: one.state,
    rows: [...one.rows.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
  }));
  subscriptions.sort((a, b) => (a.id < b.id ? -1 : 1));
  return {
    subscriptions,
    keys: [...directory.keys.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

it('rows of any checkpoint and the records behind it are the state, also applied twice', async () => {
  const steps = fc.array(fc.oneof(operation, fc.constant('checkpoint' as const)), {
    maxLength: 30,
  });
  await fc.assert(
    fc.asyncProperty(steps, fc.nat(), async (all, twice) => {
      const rows = new FakeShard(shard, new Map(), new Map(), () => 1);
      const live = new SubscriptionDirectory();
      let behind: SubscriptionOperation[] = [];
      for (const step of all) {
        if (step === 'checkpoint') {
          collectSubscriptions(rows, live);
          behind = [];
          continue;
        }
        applyTo(live, step);
        behind.push(step);
      }
      const loaded = new SubscriptionDirectory();
      await loadSubscriptions(rows, loaded);
      for (const [i, one] of behind.entries()) {
        const payload = encodeSubscriptionOperation(one);
        applyTo(loaded, decodeSubscriptionOperation(one.type, shard, payload));
        if (i % 7 === twice % 7) applyTo(loaded, one);
      }
      expect(shown(loaded)).toEqual(shown(live));
      collectSubscriptions(rows, loaded);
      const again = new SubscriptionDirectory();
      await loadSubscriptions(rows, again);
      expect(shown(again)).toEqual(shown(live));
    }),
    { numRuns: 400 },
  );
});

function infos(node: SubscriptionFixture): unknown[] {
  return node.engine.list({ limit: 100 }).map(({ id: of }) => node.engine.get(of));
}

it('a database with streams and subscriptions gets another number of shards', async () => {
  let node = await SubscriptionFixture.open();
  node.receiver.receive = done;
  await node.create('wake/pool');
  for (let i = 0; i < 12; i++) {
    await node.put(`hook-${i}`, { ...WEBHOOK, webhookUrl: `https://h${i}.example/` });
    await node.put(`pull-${i}`, { ...PULL, streams: [`explicit/${i}`] });
    await node.create(`events/${i}`);
  }
  await node.append('events/3');
  await node.settle(500);
  node.engine.drain();
  await node.append('events/4'); // work that a rebalance leaves alone
  const before = infos(node);
  const keys = node.engine.publicKeys();
  await node.close();
  const { clock, random, fs } = node;
  for (const shardCount of [8, 1]) {
    const components = { clock: clock.nextIncarnation(), random, logger: SILENT, fileSystem: fs };
    const streams = createStreamEngine(components);
    const parts = { sender: new FakeReceiver(), endpoints: { callbackUrl: () => undefined } };
    const engine = createSubscriptionEngine({ ...components, ...parts, streams });
    const settings = { ...DATABASE_SETTINGS, shardCount };
    engine.drain(); // an offline tool wakes nobody
    const moved = await components.clock.run(
      rebalanceDatabase(components, settings, [streams, engine]),
    );
    expect(moved.to).toBe(shardCount);
    streams.close();
  }
  node = await SubscriptionFixture.open({ fs, random, shardCount: 1 });
  expect(infos(node)).toEqual(before);
  expect(node.engine.publicKeys()).toEqual(keys);
  await node.close();
});

it('one seed is one history', async () => {
  const hashes: string[] = [];
  for (let run = 0; run < 2; run++) {
    const node = await SubscriptionFixture.open({ seed: 5, random: new SeededRandom(9) });
    await node.put('sub', WEBHOOK);
    await node.create('events/a');
    await node.append('events/a');
    await node.settle(40_000);
    hashes.push(node.clock.traceHash());
    await node.close();
  }
  expect(hashes[0]).toBe(hashes[1]);
});

it('a record that names no engine is refused by a release without subscriptions', async () => {
  const node = await SubscriptionFixture.open();
  await node.put('sub', WEBHOOK);
  const fileSystem = node.fs.kill();
  const clock = node.clock.nextIncarnation();
  const components = { clock, random: node.random, logger: SILENT, fileSystem };
  const opening = openDatabase(components, DATABASE_SETTINGS, [createStreamEngine(components)]);
  await expect(clock.run(opening)).rejects.toMatchObject({ code: 'UNKNOWN_RECORD_TYPE' });
});
