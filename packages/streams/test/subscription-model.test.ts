/**
 * A pull-wake subscription against a model of PROTOCOL 7.2 and 7.3: any sequence of work, claims,
 * acks, heartbeats, releases, late calls, waiting and kills has to give the answers the model gives.
 */
import { isHoldfastError } from '@holdfast/core';
import fc from 'fast-check';
import { it } from 'vitest';
import type { Position } from '../src/position.ts';
import type { Wake } from '../src/subscriptions/subscription-store.ts';
import { PULL, SubscriptionFixture } from './subscription-fixture.ts';

const PATHS = ['events/a', 'events/b'];
/** Bytes of one message. */
const SIZE = 2;
const LEASE_MS = PULL.leaseTtlMs;

class Model {
  /** Messages of each stream, and how many of them are done. */
  readonly tails = PATHS.map(() => 0);
  readonly acked = PATHS.map(() => 0);
  generation = 0;
  /** There is a wake that nobody has claimed. */
  issued = false;
  lease: { readonly wake: Wake; readonly worker: string; untilMs: number } | undefined;
  readonly given: Wake[] = [];

  get pending(): boolean {
    return this.tails.some((tail, i) => tail > (this.acked[i] as number));
  }

  /** Pending work without a wake or a lease wakes. */
  wake(): void {
    if (!this.pending || this.issued || this.lease !== undefined) return;
    this.generation++;
    this.issued = true;
  }
}

class World {
  node: SubscriptionFixture;
  readonly model = new Model();

  constructor(node: SubscriptionFixture) {
    this.node = node;
  }

  /** The code of the refusal, or the answer. */
  async outcome(call: Promise<unknown>): Promise<unknown> {
    try {
      return await this.node.run(call);
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      return error.code;
    }
  }

  /** What happens by itself has happened, on both sides, and both show the same. */
  async settle(ms: number): Promise<void> {
    const { model } = this;
    await this.node.settle(ms);
    const now = this.node.clock.monotonicMs();
    if (model.lease !== undefined && now >= model.lease.untilMs) model.lease = undefined;
    model.wake();
    await this.node.settle(20);
    const info = this.node.engine.get('pull');
    same('generation', info.generation, model.generation);
    same('holder', info.holder, model.lease?.worker);
    const acked = PATHS.map(
      (path) => info.links.find((link) => link.path === path)?.acked.messages,
    );
    same('cursors', acked, model.acked);
    const events = (await this.node.read('wake/pool')) as { generation: number }[];
    const generations = events.map(({ generation }) => generation);
    same('events once each', new Set(generations).size, generations.length);
    if (model.issued) same('the wake is announced', generations.at(-1), model.generation);
  }
}

type Step = (world: World) => Promise<void>;

const append = fc.nat(1).map((i): Step => async ({ node, model }) => {
  await node.append(PATHS[i] as string);
  (model.tails[i] as number) += 1;
});

const claim = fc.constantFrom('w1', 'w2').map((worker): Step => async (world) => {
  const { node, model } = world;
  const result = await world.outcome(node.engine.claim('pull', worker));
  if (model.lease !== undefined) return same('claim', result, 'ALREADY_CLAIMED');
  if (!model.pending) return same('claim', result, 'NO_PENDING_WORK');
  if (!model.issued) model.generation++;
  model.issued = false;
  const wake = result as Wake;
  same('generation of the claim', wake.generation, model.generation);
  const tails = PATHS.map((path) => wake.streams.find((one) => one.path === path)?.tail.messages);
  same('snapshot', tails, model.tails);
  model.lease = { wake, worker, untilMs: node.clock.monotonicMs() + LEASE_MS };
  model.given.push(wake);
});

/** @param back which of the wakes that were given, from the newest. */
function use(
  { node, model }: World,
  back: number,
):
  | { readonly wake: Wake; readonly isCurrent: boolean; readonly node: SubscriptionFixture }
  | undefined {
  const wake = model.given.at(-1 - back);
  return wake === undefined ? undefined : { wake, isCurrent: wake === model.lease?.wake, node };
}

const ack = fc
  .record({
    back: fc.constantFrom(0, 0, 0, 1, 2),
    done: fc.boolean(),
    counts: fc.tuple(fc.integer({ min: -1, max: 4 }), fc.integer({ min: -1, max: 4 })),
  })
  .map(({ back, done, counts }): Step => async (world) => {
    const used = use(world, back);
    if (used === undefined) return;
    const { wake, isCurrent, node } = used;
    const { model } = world;
    const acks: { path: string; offset: Position }[] = [];
    for (const [i, count] of counts.entries()) {
      const offset = { messages: count, bytes: count * SIZE };
      if (count >= 0) acks.push({ path: PATHS[i] as string, offset });
    }
    const { token, wakeId, generation } = wake;
    const request = {
      id: 'pull',
      type: 'pull-wake',
      token,
      wakeId,
      generation,
      acks,
      done,
    } as const;
    const result = await world.outcome(node.engine.ack(request));
    if (!isCurrent) return same('a late ack', result, 'FENCED');
    const isPast = counts.some((count, i) => count > (model.tails[i] as number));
    if (isPast) return same('an ack past the tail', result, 'INVALID_OFFSET');
    for (const [i, count] of counts.entries()) {
      model.acked[i] = Math.max(model.acked[i] as number, count);
    }
    same('answer', result, { nextWake: done && model.pending });
    if (done) model.lease = undefined;
    else if (model.lease !== undefined) model.lease.untilMs = node.clock.monotonicMs() + LEASE_MS;
  });

const release = fc.constantFrom(0, 0, 1).map((back): Step => async (world) => {
  const used = use(world, back);
  if (used === undefined) return;
  const { wake, isCurrent, node } = used;
  const { token, wakeId, generation } = wake;
  const result = await world.outcome(
    node.engine.release({ id: 'pull', token, wakeId, generation }),
  );
  if (!isCurrent) return same('a late release', result, 'FENCED');
  same('release', result, undefined);
  world.model.lease = undefined;
});

const wait = fc.constantFrom(100, LEASE_MS / 2, LEASE_MS * 0.9, LEASE_MS + 100).map(
  (ms): Step =>
    (world) =>
      world.settle(ms),
);

const kill = fc.boolean().map((cleanly): Step => async (world) => {
  world.node = cleanly ? await world.node.reopen() : await world.node.crash();
});

function same(what: string, found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: found ${a}, expected ${b}`);
}

it('a pull-wake subscription answers as the model does, whatever comes in whatever order', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: append },
    { weight: 4, arbitrary: claim },
    { weight: 5, arbitrary: ack },
    { weight: 1, arbitrary: release },
    { weight: 2, arbitrary: wait },
    { weight: 1, arbitrary: kill },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { size: 'max', maxLength: 24 }), async (steps) => {
      const world = new World(await SubscriptionFixture.open());
      await world.node.create('wake/pool');
      await world.node.put('pull', PULL);
      for (const path of PATHS) await world.node.create(path);
      for (const one of steps) {
        await one(world);
        await world.settle(20);
      }
      await world.node.close();
    }),
    { numRuns: 60 },
  );
}, 120_000);
