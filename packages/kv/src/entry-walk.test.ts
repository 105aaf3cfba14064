import { expect, test } from 'vitest';
import { EntryWalk } from './entry-walk.ts';

interface Source {
  readonly batches: AsyncGenerator<readonly number[], void, undefined>;
  readonly closed: () => boolean;
  readonly begun: () => boolean;
}

function sourceOf(all: readonly (readonly number[])[], failure?: Error): Source {
  let [begun, closed] = [false, false];
  async function* batches(): AsyncGenerator<readonly number[], void, undefined> {
    begun = true;
    try {
      for (const batch of all) yield batch;
      if (failure !== undefined) throw failure;
    } finally {
      closed = true;
    }
  }
  return { batches: batches(), closed: () => closed, begun: () => begun };
}

function walkOver(
  { batches }: Source,
  rules: { limit?: number; check?: () => void; wants?: (entry: number) => boolean } = {},
): EntryWalk<number, string> {
  return new EntryWalk<number, string>({
    open: () => batches,
    check: rules.check ?? ((): void => undefined),
    wants: rules.wants ?? ((): boolean => true),
    pick: String,
    limit: rules.limit ?? Infinity,
  });
}

test('steps that nobody waited for are answered in order, over batches and their ends', async () => {
  const walk = walkOver(sourceOf([[1, 2], [], [3], [4, 5, 6]]));
  const steps = Array.from({ length: 8 }, () => walk.next());
  const given = await Promise.all(steps);
  expect(given.map(({ value }) => value)).toEqual([
    '1',
    '2',
    '3',
    '4',
    '5',
    '6',
    undefined,
    undefined,
  ]);
  expect(given.map(({ done }) => done)).toEqual([...Array<boolean>(6).fill(false), true, true]);
});

test('nothing begins before the first step, and who has enough gives the source back', async () => {
  const source = sourceOf([[1, 2, 3, 4]]);
  const walk = walkOver(source, { limit: 2, wants: (entry) => entry !== 2 });
  expect(source.begun()).toBe(false);
  const given: string[] = [];
  for await (const each of walk) given.push(each);
  expect(given).toEqual(['1', '3']);
  expect(source.closed()).toBe(true);
});

test('who leaves while a step hangs is let go, and the step is over', async () => {
  let give: (step: IteratorResult<readonly number[], void>) => void = () => undefined;
  let returned = false;
  const walk = new EntryWalk<number, number>({
    open: () => ({
      next: () => new Promise((resolve) => (give = resolve)),
      return: async () => {
        returned = true;
        return { done: true, value: undefined };
      },
    }),
    check: () => undefined,
    wants: () => true,
    pick: (entry) => entry,
    limit: Infinity,
  });
  const step = walk.next();
  expect(await walk.return()).toEqual({ done: true, value: undefined });
  expect(returned).toBe(true);
  give({ done: false, value: [1] });
  expect(await step).toEqual({ done: true, value: undefined });
});

test('an error of the source or of the check is told once; then it is over', async () => {
  const failing = walkOver(sourceOf([[1]], new Error('broken')));
  expect(await failing.next()).toEqual({ done: false, value: '1' });
  await expect(failing.next()).rejects.toThrow('broken');
  expect(await failing.next()).toEqual({ done: true, value: undefined });

  let ended = false;
  const source = sourceOf([[1, 2]]);
  const checked = walkOver(source, {
    check: () => {
      if (ended) throw new Error('ended');
    },
  });
  expect((await checked.next()).value).toBe('1');
  ended = true;
  await expect(checked.next()).rejects.toThrow('ended');
  expect(await checked.next()).toEqual({ done: true, value: undefined });
  expect(source.closed()).toBe(true);
});
