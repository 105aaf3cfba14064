import { describe, expect, it } from 'vitest';
import { sleep } from './clock.ts';
import { NodeClock } from './node-clock.ts';
import { NodeRandom } from './node-random.ts';

describe('NodeClock', () => {
  const clock = new NodeClock();

  it('monotonic time never goes back while a sleeper sleeps', async () => {
    const before = clock.monotonicMs();
    await Promise.all([sleep(clock, 2), new Promise((resolve) => setTimeout(resolve, 5))]);
    expect(clock.monotonicMs()).toBeGreaterThan(before);
  });

  it('a cancelled timer does not run', async () => {
    let ran = false;
    const timer = clock.after(1, () => {
      ran = true;
    });
    timer.cancel();
    timer.cancel();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(ran).toBe(false);
  });

  it('an immediate runs after the microtasks of this turn', async () => {
    const ran: string[] = [];
    const done = new Promise<void>((resolve) => {
      clock.immediate(() => {
        ran.push('immediate');
        resolve();
      });
    });
    void Promise.resolve().then(() => ran.push('microtask'));
    await done;
    expect(ran).toEqual(['microtask', 'immediate']);
  });
});

describe('NodeRandom', () => {
  it('gives as many bytes as asked, and integers below the bound', () => {
    const random = new NodeRandom();
    expect(random.bytes(33).length).toBe(33);
    for (let i = 0; i < 100; i++) expect(random.integer(3)).toBeLessThan(3);
    expect(random.integer(2 ** 32)).toBeLessThan(2 ** 32);
  });
});
