/**
 * `SIGKILL` at random moments under subscriptions that work: every event is processed at least
 * once, generations never repeat, nothing of an older wake is let in, and every signature is right
 * by keys that stay the same.
 */
import { SeededRandom } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { expectStatus, JSON_TYPE } from './http-request.ts';
import { ServerProcess } from './server-process.ts';
import { eventually } from './subscription-client.ts';
import {
  HOOK,
  LEASE_MS,
  PULL,
  STREAMS,
  SubscriptionWorkload,
  WAKE_STREAM,
} from './subscription-workload.ts';
import { WebhookReceiver } from './webhook-receiver.ts';

const CYCLES = Number(process.env['HOLDFAST_CRASH_CYCLES'] ?? 25);
const SEED = Number(process.env['HOLDFAST_CRASH_SEED'] ?? 1);
const LEAST_MS = 50;
const MOST_MS = 1_200;

it(`${CYCLES} kills (seed ${SEED}): every event is processed, and no older wake is let in`, async () => {
  await using server = await ServerProcess.start({
    // A kill makes a failure of every delivery under way: none of it shall be given up here.
    args: ['--allow-loopback-webhooks', '--open-claims', '--max-webhook-attempts', '1000'],
  });
  const random = new SeededRandom(SEED);
  const workload = new SubscriptionWorkload(server, random);
  const { client } = workload;
  await using hooks = await WebhookReceiver.open(
    () => client.url('jwks.json'),
    (delivery) => workload.receive(delivery),
  );
  for (const name of [...STREAMS, WAKE_STREAM]) {
    await expectStatus(201, 'PUT', server.stream(name), { headers: JSON_TYPE });
  }
  const common = { pattern: 'events/*', lease_ttl_ms: LEASE_MS };
  await client.put(HOOK, { ...common, type: 'webhook', webhook: { url: hooks.url } });
  await client.put(PULL, { ...common, type: 'pull-wake', wake_stream: WAKE_STREAM });
  const { webhook, created_at: createdAt } = await client.show(HOOK);
  const writing = workload.write();
  const working = workload.work();

  let generation = 0;
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    await new Promise((resolve) => setTimeout(resolve, random.between(LEAST_MS, MOST_MS)));
    const before = await client.show(HOOK);
    await server.kill();
    await server.restart();
    const after = await client.show(HOOK);
    expect(after.webhook).toEqual(webhook);
    expect(after.created_at).toBe(createdAt);
    expect(after.generation).toBeGreaterThanOrEqual(Math.max(generation, before.generation));
    ({ generation } = after);
    for (const { path, acked_offset: acked } of before.streams) {
      const now = after.streams.find((stream) => stream.path === path)?.acked_offset ?? '';
      expect([path, now >= acked]).toEqual([path, true]); // a cursor only rises
    }
  }

  workload.stopWriting();
  await writing;
  const { events } = workload;
  for (const id of [HOOK, PULL] as const) {
    await eventually(`${id} has processed everything`, () =>
      Promise.resolve(events.every((event) => workload.seen[id].has(event)) ? true : undefined),
    );
    await eventually(`the cursors of ${id} are at the tails`, async () => {
      const { streams } = await client.show(id);
      for (const { path, acked_offset: acked } of streams) {
        const head = await expectStatus(200, 'HEAD', server.stream(path));
        if (head.nextOffset !== acked) return undefined;
      }
      return true;
    });
  }
  workload.stopWorking();
  await working;
  const generations = hooks.deliveries.map(({ body }) => body.generation);
  expect(generations).toEqual([...new Set(generations)].sort((a, b) => a - b));
  expect(workload.claims).toEqual([...new Set(workload.claims)].sort((a, b) => a - b));
  expect([...new Set(hooks.deliveries.map(({ kid }) => kid))]).toEqual([webhook?.signing.kid]);
  expect(hooks.refused).toEqual([]);
  expect(workload.wrong).toEqual([]);
  expect(workload.fenced).toBeGreaterThan(0);
  console.log(
    `subscriptions: ${CYCLES} kills, ${events.length} events, ${generations.length} webhooks, ` +
      `${workload.claims.length} claims, ${workload.repeated} events seen again, ` +
      `${workload.fenced} old wakes refused, seed ${SEED}`,
  );
}, 600_000);
