import { sleep } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { SeededRandom } from './seeded-random.ts';
import { SimClock } from './sim-clock.ts';

function newClock(seed = 1): SimClock {
  return new SimClock(new SeededRandom(seed));
}

describe('SimClock', () => {
  it('waits in virtual time only: a year takes no time', async () => {
    const clock = newClock();
    const startMs = clock.now();
    await clock.run(sleep(clock, 365 * 86_400_000));
    expect(clock.monotonicMs()).toBe(365 * 86_400_000);
    expect(clock.now() - startMs).toBe(365 * 86_400_000);
  });

  it('runs timers by due time, then in the order they were asked for', async () => {
    const clock = newClock();
    const ran: string[] = [];
    for (const [name, delayMs] of [
      ['c', 30],
      ['a', 10],
      ['d', 30],
      ['b', 20],
    ] as const) {
      clock.after(delayMs, () => ran.push(`${name}@${clock.monotonicMs()}`));
    }
    await clock.advance(100);
    expect(ran).toEqual(['a@10', 'b@20', 'c@30', 'd@30']);
    expect(clock.monotonicMs()).toBe(100);
  });

  it('never runs a cancelled timer, and cancel is idempotent', async () => {
    const clock = newClock();
    const ran: number[] = [];
    const timers = [1, 2, 3].map((n) => clock.after(n, () => ran.push(n)));
    timers[1]?.cancel();
    timers[1]?.cancel();
    await clock.advance(10);
    timers[0]?.cancel();
    expect(ran).toEqual([1, 3]);
  });

  it('a timer with no delay runs later, not at once', async () => {
    const clock = newClock();
    let ran = false;
    clock.after(0, () => {
      ran = true;
    });
    await clock.runUntilIdle();
    expect(ran).toBe(false);
    await clock.advance(1);
    expect(ran).toBe(true);
  });

  it('immediates keep their order; all microtasks run between two events', async () => {
    const clock = newClock();
    const ran: string[] = [];
    const chain = async (name: string): Promise<void> => {
      for (let i = 0; i < 50; i++) await Promise.resolve();
      await new Promise<void>((resolve) => {
        process.nextTick(resolve);
      });
      ran.push(`${name} done`);
    };
    for (const name of ['a', 'b', 'c']) {
      clock.immediate(() => {
        ran.push(name);
        void chain(name);
      });
    }
    await clock.runUntilIdle();
    expect(ran).toEqual(['a', 'a done', 'b', 'b done', 'c', 'c done']);
  });

  it('the seed decides between what is ready, and decides the same twice', async () => {
    const order = async (seed: number): Promise<string> => {
      const clock = newClock(seed);
      const ran: string[] = [];
      for (const name of ['x', 'y', 'z']) void clock.yieldPoint().then(() => ran.push(name));
      clock.immediate(() => ran.push('i'));
      await clock.runUntilIdle();
      return ran.join('');
    };
    const orders = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const first = await order(seed);
      expect(await order(seed)).toBe(first);
      orders.add(first);
    }
    expect(orders.size).toBe(24);
  });

  it('the wall clock jumps alone: timers and durations do not notice', async () => {
    const clock = newClock();
    const before = clock.now();
    const woken = sleep(clock, 50);
    clock.jumpWallClock(-60_000);
    expect(clock.now()).toBe(before - 60_000);
    await clock.run(woken);
    expect(clock.monotonicMs()).toBe(50);
  });

  it('says that nothing can ever settle a promise', async () => {
    const clock = newClock();
    await expect(clock.run(new Promise(() => undefined))).rejects.toThrow(/deadlock/);
  });

  it('passes results and errors through', async () => {
    const clock = newClock();
    await expect(clock.run(sleep(clock, 1).then(() => 7))).resolves.toBe(7);
    await expect(clock.run(Promise.reject(new Error('mine')))).rejects.toThrow('mine');
  });

  it('a new incarnation hears nothing of the old one, which never wakes again', async () => {
    const old = newClock();
    const ran: string[] = [];
    old.after(10, () => ran.push('old timer'));
    old.immediate(() => ran.push('old immediate'));
    void old.yieldPoint().then(() => ran.push('old yield'));
    await old.advance(5);
    ran.length = 0;
    void old.yieldPoint().then(() => ran.push('old yield'));
    const next = old.nextIncarnation();
    old.after(1, () => ran.push('zombie timer'));
    old.immediate(() => ran.push('zombie immediate'));
    next.after(20, () => ran.push('next timer'));
    await next.advance(100);
    expect(ran).toEqual(['next timer']);
    expect(next.monotonicMs()).toBe(105);
    expect(old.alive).toBe(false);
  });

  it('abort wakes a sleeper with the reason', async () => {
    const clock = newClock();
    const controller = new AbortController();
    const slept = sleep(clock, 1_000, controller.signal);
    clock.after(10, () => controller.abort(new Error('enough')));
    await expect(clock.run(slept)).rejects.toThrow('enough');
    expect(clock.monotonicMs()).toBe(10);
    await expect(sleep(clock, 1, controller.signal)).rejects.toThrow('enough');
  });
});

it('gives a sibling the same time and a life of its own', async () => {
  const world = new SimClock(new SeededRandom(1));
  const server = world.sibling();
  const seen: string[] = [];
  server.after(5, () => seen.push('of the dead'));
  world.after(7, () => seen.push(`world at ${server.nextIncarnation().monotonicMs()}`));
  world.after(3, () => server.nextIncarnation());
  await world.advance(10);
  expect(seen).toEqual(['world at 7']);
  expect([world.alive, server.alive]).toEqual([true, false]);
});
