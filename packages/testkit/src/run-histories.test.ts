import { expect, it } from 'vitest';
import { runHistories } from './run-histories.ts';

it('runs each seed once, and names the one that fails with its replay and its cause', async () => {
  const seen: number[] = [];
  await runHistories({ seed: 5, count: 3 }, 'replay', async (seed) => {
    seen.push(seed);
  });
  expect(seen).toEqual([5, 6, 7]);
  const broken = new Error('lost');
  const failing = runHistories({ seed: 1, count: 9 }, 'replay --seed', async (seed) => {
    if (seed === 4) throw broken;
  });
  await expect(failing).rejects.toMatchObject({
    message: 'history failed, replay with: replay --seed 4: Error: lost',
    cause: broken,
  });
});
