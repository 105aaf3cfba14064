import { LIMITS } from '@holdfast/core';
import { SeededRandom } from '@holdfast/testkit';
import { expect, test } from 'vitest';
import { Deadline } from './deadline.ts';
import { retryDelayMs } from './retry-schedule.ts';

test('retries double from one second to a minute, a fifth up or down, never above a minute', () => {
  const random = new SeededRandom(7);
  for (let failures = 1; failures <= 40; failures++) {
    const plain = Math.min(1000 * 2 ** (failures - 1), 60_000);
    const delays = Array.from({ length: 200 }, () => retryDelayMs(random, LIMITS, failures));
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(Math.round(plain * 0.8));
    expect(Math.max(...delays)).toBeLessThanOrEqual(Math.min(Math.round(plain * 1.2), 60_000));
    expect(new Set(delays).size).toBeGreaterThan(20);
  }
});

test('a deadline waits on the monotonic clock and is never further away than it may be', () => {
  const times = { wall: 1_000_000, monotonic: 50 };
  const clock = {
    now: () => times.wall,
    monotonicMs: () => times.monotonic,
    after: () => ({ cancel: () => undefined }),
    immediate: () => undefined,
  };
  const deadline = new Deadline(clock);
  expect(deadline.remainingMs(1_005_000, 10_000)).toBe(5_000);
  times.wall += 1_000_000;
  expect(deadline.remainingMs(1_005_000, 10_000)).toBe(5_000);
  times.monotonic += 2_000;
  expect(deadline.remainingMs(1_005_000, 10_000)).toBe(3_000);
  times.monotonic += 4_000;
  expect(deadline.remainingMs(1_005_000, 10_000)).toBe(0);
  times.wall = 0;
  expect(new Deadline(clock).remainingMs(1_005_000, 10_000)).toBe(10_000);
  times.wall = 2_000_000;
  expect(new Deadline(clock).remainingMs(1_005_000, 10_000)).toBe(0);
});
