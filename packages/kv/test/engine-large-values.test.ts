/** What walks and pages over large values hold at a time. */
import type { Shard } from '@holdfast/database';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { EngineLife } from './engine-life.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** The bound of one batch, one page, and the value that is one too many. */
const MOST_READ = 9 * MIB;

afterEach(() => vi.restoreAllMocks());

/** Entries that rest on the disk, none of them in a cache. */
async function withEntries(
  sizes: readonly number[],
  run: (life: EngineLife, bytesRead: () => number) => Promise<void>,
): Promise<void> {
  const clock = new SimClock(new SeededRandom(3));
  const components = { clock, random: new SeededRandom(5), fileSystem: new SimFs() };
  const settings = { segmentTargetBytes: 4 * MIB };
  await clock.run(
    (async () => {
      const life = await EngineLife.open(components, settings, { entryCacheBytes: 0 });
      const store = life.engine.store('main');
      for (const [at, size] of sizes.entries()) {
        await store.put(`k${String(at).padStart(3, '0')}`, Buffer.alloc(size, at));
      }
      await life.database.checkpoint();
      let bytes = 0;
      const prototype = Object.getPrototypeOf(life.database.shard(0 as Shard['id'])) as Shard;
      const { readExtent } = prototype;
      vi.spyOn(prototype, 'readExtent').mockImplementation(function (this: Shard, ref, ...rest) {
        bytes += ref.length;
        return readExtent.call(this, ref, ...rest);
      });
      await run(life, () => bytes);
      await life.close();
    })(),
  );
}

describe('of large values', () => {
  const sizes = Array.from({ length: 60 }, () => MIB / 2);

  it('a page reads no more than it gives, and some', () =>
    withEntries(sizes, async (life, bytesRead) => {
      const store = life.engine.store('main');
      for (const order of ['key', 'created'] as const) {
        const before = bytesRead();
        const page = await store.page({ order, maxBytes: 4 * MIB });
        expect(page.entries.length).toBe(8);
        expect(bytesRead() - before).toBeLessThanOrEqual(MOST_READ);
      }
    }));

  it('a walk reads as far as it is followed, in each direction', () =>
    withEntries(sizes, async (life, bytesRead) => {
      for (const reverse of [false, true]) {
        const before = bytesRead();
        for await (const { value } of life.engine.store('main').entries({ reverse })) {
          expect(value.length).toBe(MIB / 2);
          break;
        }
        expect(bytesRead() - before).toBeLessThanOrEqual(MOST_READ);
      }
    }));

  it('a walk gives each of them once, in order, among small ones', async () => {
    const mixed = Array.from({ length: 150 }, (_, at) =>
      at % 7 === 0 ? MIB : at % 3 === 0 ? 40 * KIB : at % 3 === 1 ? 20 * KIB : 10,
    );
    await withEntries(mixed, async (life) => {
      const store = life.engine.store('main');
      for (const reverse of [false, true]) {
        const lengths: number[] = [];
        for await (const { value } of store.entries({ reverse })) lengths.push(value.length);
        expect(reverse ? lengths.toReversed() : lengths).toEqual(mixed);
      }
      const created: number[] = [];
      let token: string | undefined;
      do {
        const page = await store.page({ order: 'created', reverse: true, token, limit: 60 });
        created.push(...page.entries.map(({ value }) => value.length));
        token = page.next;
      } while (token !== undefined);
      expect(created).toEqual(mixed);
    });
  });
});
