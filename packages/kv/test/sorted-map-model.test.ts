/** Any calls on a store leave what they leave in a sorted map; a failure shrinks to the fewest calls. */
import { MemoryFileSystem, NodeClock, NodeRandom } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KvRange, type KvStore, openMemoryKvStore } from '../src/index.ts';
import { EngineLife } from './engine-life.ts';

const seams = { clock: new NodeClock(), random: new NodeRandom() };
const key = fc.stringMatching(/^[ab/é😀]{1,3}$/u);
const value = fc.oneof(fc.string({ maxLength: 5 }), fc.constant('x'.repeat(5_000)));
const bound = fc.option(key, { nil: undefined });
const range: fc.Arbitrary<KvRange> = fc.record({
  gt: bound,
  gte: bound,
  lt: bound,
  lte: bound,
  prefix: fc.option(fc.constantFrom('a', 'b/', 'é', '😀'), { nil: undefined }),
  reverse: fc.boolean(),
  limit: fc.option(fc.nat(5), { nil: undefined }),
});

type Call =
  | { readonly type: 'put' | 'create'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string }
  | { readonly type: 'batch'; readonly changes: readonly [string, string | undefined][] }
  | { readonly type: 'clear'; readonly range: KvRange }
  | { readonly type: 'checkpoint' };

const change = fc.tuple(key, fc.option(value, { nil: undefined }));
const call: fc.Arbitrary<Call> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ type: fc.constantFrom('put', 'create'), key, value }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('del'), key }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('batch'),
      changes: fc.array(change, { maxLength: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('clear'), range }) },
  { weight: 1, arbitrary: fc.constant({ type: 'checkpoint' as const }) },
) as fc.Arbitrary<Call>;
const calls = fc.array(call, { maxLength: 40, size: 'max' });

function above(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function within(key_: string, { gt, gte, lt, lte, prefix = '' }: KvRange): boolean {
  const low = gte === undefined ? gt === undefined || above(key_, gt) > 0 : above(key_, gte) >= 0;
  const high = lte === undefined ? lt === undefined || above(key_, lt) < 0 : above(key_, lte) <= 0;
  return low && high && key_.startsWith(prefix);
}

function rangeOf(model: ReadonlyMap<string, string>, wanted: KvRange): string[] {
  const keys = [...model.keys()].filter((each) => within(each, wanted)).toSorted(above);
  if (wanted.reverse === true) keys.reverse();
  return keys.slice(0, wanted.limit);
}

async function play(
  store: KvStore,
  all: readonly Call[],
  looks: readonly KvRange[],
  checkpoint: () => Promise<void>,
): Promise<void> {
  const model = new Map<string, string>();
  for (const each of all) {
    if (each.type === 'put') {
      await store.put(each.key, Buffer.from(each.value));
      model.set(each.key, each.value);
    } else if (each.type === 'create') {
      const put = store.put(each.key, Buffer.from(each.value), { ifAbsent: true });
      if (model.has(each.key))
        await expect(put).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' });
      else {
        await put;
        model.set(each.key, each.value);
      }
    } else if (each.type === 'del') {
      expect((await store.del(each.key)).changed).toBe(model.delete(each.key));
    } else if (each.type === 'batch') {
      await store.batch(
        each.changes.map(([name, text]) =>
          text === undefined
            ? { type: 'del', key: name }
            : { type: 'put', key: name, value: Buffer.from(text) },
        ),
      );
      for (const [name, text] of each.changes) {
        if (text === undefined) model.delete(name);
        else model.set(name, text);
      }
    } else if (each.type === 'clear') {
      await store.clear(each.range);
      for (const name of rangeOf(model, each.range)) model.delete(name);
    } else await checkpoint();
  }
  for (const look of [{}, ...looks]) {
    const found: [string, string][] = [];
    for await (const [name, bytes] of store.iterator(look)) found.push([name, String(bytes)]);
    expect(found).toEqual(rangeOf(model, look).map((name) => [name, model.get(name)]));
  }
  const { entries } = await store.page({ order: 'created', limit: 1000 });
  expect(entries.map((entry) => entry.key)).toEqual([...model.keys()].toReversed());
}

describe('any calls leave what they leave in a sorted map', () => {
  const looks = fc.array(range, { maxLength: 6 });

  it('in memory', async () => {
    await fc.assert(
      fc.asyncProperty(calls, looks, async (all, wanted) => {
        const store = openMemoryKvStore(seams, { id: 'model' });
        await play(store, all, wanted, async () => {});
      }),
      { numRuns: 150 },
    );
  });

  it('in the engine', async () => {
    const components = { ...seams, fileSystem: new MemoryFileSystem() };
    const life = await EngineLife.open(components, {}, { entryCacheBytes: 2_000 });
    let stores = 0;
    await fc.assert(
      fc.asyncProperty(calls, looks, async (all, wanted) => {
        const store = life.engine.store(`s${stores++}`);
        await play(store, all, wanted, () => life.database.checkpoint());
      }),
      { numRuns: 40 },
    );
    await life.close();
  });
});
