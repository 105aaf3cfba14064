import { LIMITS, sleep } from '@holdfast/core';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { RecentlySwept } from './recently-swept.ts';

const SETTLING = LIMITS.repositoryLeaseMs + LIMITS.repositoryLeaseGraceMs;

describe('parts that were swept a moment ago', () => {
  it('are put again only when their delete cannot land any more', async () => {
    const clock = new SimClock(new SeededRandom(1));
    const swept = new RecentlySwept(clock);
    const never = new AbortController().signal;
    await clock.run(
      (async () => {
        swept.add('one');
        await sleep(clock, 10_000);
        swept.add('two');
        const start = clock.monotonicMs();
        await swept.settled('another', never);
        expect(clock.monotonicMs()).toBe(start);
        await swept.settled('one', never);
        expect(clock.monotonicMs() - start).toBe(SETTLING - 10_000);
        await swept.settled('two', never);
        expect(clock.monotonicMs() - start).toBe(SETTLING);
        await swept.settled('two', never); // once is enough
        expect(clock.monotonicMs() - start).toBe(SETTLING);
      })(),
    );
  });

  it('are waited for no longer than the caller wants', async () => {
    const clock = new SimClock(new SeededRandom(1));
    const swept = new RecentlySwept(clock);
    const abort = new AbortController();
    swept.add('one');
    const waiting = swept.settled('one', abort.signal);
    abort.abort(new Error('enough'));
    await expect(clock.run(waiting)).rejects.toThrow('enough');
  });
});
