import { expect, it } from 'vitest';
import { closeInOrder } from './close-in-order.ts';

it('runs every step after the one before it, and fails with the first failure at the end', async () => {
  const seen: string[] = [];
  const closing = closeInOrder([
    async () => {
      await new Promise((resolve) => setImmediate(resolve));
      seen.push('first');
    },
    () => {
      throw new Error('second');
    },
    () => Promise.reject(new Error('third')),
    () => seen.push('last'),
  ]);
  await expect(closing).rejects.toThrow('second');
  expect(seen).toEqual(['first', 'last']);
});

it('a step may fail with nothing', async () => {
  await expect(closeInOrder([() => Promise.reject()])).rejects.toBeUndefined();
});
