import { expect, test } from 'vitest';
import { Turns } from './turns.ts';

test('work runs one after the other, in order, and a failure is its own', async () => {
  const turns = new Turns();
  const heard: string[] = [];
  let free = (): void => undefined;
  const first = turns.run(async () => {
    heard.push('first begins');
    await new Promise<void>((resolve) => (free = resolve));
    heard.push('first ends');
    return 1;
  });
  const second = turns.run(async () => {
    heard.push('second');
    throw new Error('of the second');
  });
  const third = turns.run(async () => heard.push('third'));
  const idle = turns.idle().then(() => heard.push('idle'));
  await Promise.resolve();
  await Promise.resolve();
  expect(heard).toEqual(['first begins']);
  free();
  await expect(first).resolves.toBe(1);
  await expect(second).rejects.toThrow('of the second');
  await third;
  await idle;
  expect(heard).toEqual(['first begins', 'first ends', 'second', 'third', 'idle']);
});
