import { isHoldfastError } from '@holdfast/core';
import {
  type KvEntry,
  type KvStore,
  openMemoryKvStore,
  openTieredKvStore,
  type TieredKvStore,
  type TieredSettings,
} from '@holdfast/kv';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { type Fault, FAULTS, FaultyStore } from './faulty-store.ts';
import { gather, text } from './tiered-stores.ts';

const TIERS = ['primary', 'backup', 'ephemeral', 'local'] as const;
const CALLS = ['get', 'put', 'del', 'batch', 'page'] as const;
type Call = (typeof CALLS)[number];
type Names = (typeof TIERS)[number];

const SETTINGS: TieredSettings = {
  id: 'tiered',
  rules: [{ prefix: 'cache/' }],
  retry: { deadlineMs: 200, baseMs: 10, maxMs: 50 },
  callTimeoutMs: 100,
};

class World {
  readonly clock: SimClock;
  readonly random: SeededRandom;
  readonly stores: Record<Names, FaultyStore>;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.clock = new SimClock(new SeededRandom(seed + 1));
    const make = (id: string): FaultyStore =>
      new FaultyStore(this.clock, openMemoryKvStore(this, { id }));
    this.stores = {
      primary: make('primary'),
      backup: make('backup'),
      ephemeral: make('ephemeral'),
      local: make('local'),
    };
  }

  open(settings: Partial<TieredSettings> = {}): Promise<TieredKvStore> {
    return openTieredKvStore(this, this.stores, { ...SETTINGS, ...settings });
  }
}

/** What is there by what was acknowledged; of keys with an unknown write: what may be there. */
type Model = Map<string, readonly (string | undefined)[]>;

const SEEDED: Readonly<Record<string, string>> = { a: '1', b: '1', c: '1', 'cache/x': '1' };
const BATCH_KEYS = ['a', 'd', 'cache/x'];

async function seed(store: TieredKvStore): Promise<Model> {
  const model: Model = new Map();
  for (const [key, value] of Object.entries(SEEDED)) {
    await store.put(key, text(value));
    model.set(key, [value]);
  }
  return model;
}

async function act(store: TieredKvStore, call: Call, model: Model): Promise<string> {
  const changes = new Map<string, string | undefined>();
  let run: () => Promise<unknown> = async () => undefined;
  if (call === 'put') {
    for (const key of ['a', 'new', 'cache/x']) changes.set(key, '2');
  } else if (call === 'del') {
    for (const key of ['b', 'cache/x']) changes.set(key, undefined);
  } else if (call === 'batch') {
    for (const key of BATCH_KEYS) changes.set(key, '3');
    changes.set('c', undefined);
  }
  if (call === 'batch') {
    run = () =>
      store.batch(
        [...changes].map(([key, value]) =>
          value === undefined ? { type: 'del', key } : { type: 'put', key, value: text(value) },
        ),
      );
    return remember(run, changes, model);
  }
  const said: string[] = [];
  for (const [key, value] of changes) {
    run = () => (value === undefined ? store.del(key) : store.put(key, text(value)));
    said.push(await remember(run, new Map([[key, value]]), model));
  }
  if (call === 'get')
    for (const key of Object.keys(SEEDED)) said.push(await look(store, key, model));
  if (call === 'page') said.push(await list(store, model));
  return said.join(' ');
}

async function remember(
  run: () => Promise<unknown>,
  changes: Map<string, string | undefined>,
  model: Model,
): Promise<string> {
  try {
    await run();
    for (const [key, value] of changes) model.set(key, [value]);
    return 'ok';
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    if (error.effect === 'unknown') {
      for (const [key, value] of changes) {
        model.set(key, [...(model.get(key) ?? [undefined]), value]);
      }
    }
    return error.code;
  }
}

/** A read says what the model says, or fails; it never says "there is none" of what is there. */
async function look(store: TieredKvStore, key: string, model: Model): Promise<string> {
  try {
    const value = await store.get(key);
    expect(model.get(key)).toContain(value && Buffer.from(value).toString());
    return 'ok';
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return error.code;
  }
}

async function list(store: TieredKvStore, model: Model): Promise<string> {
  try {
    const { entries } = await store.page({ order: 'created' });
    expect(entries.map(({ key }) => key)).toEqual([...model.keys()].toReversed());
    return 'ok';
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return error.code;
  }
}

async function assertConverged(world: World, store: TieredKvStore, model: Model): Promise<void> {
  await store.repair();
  await store.drain();
  expect(await gather(store.verify())).toEqual([]);
  for (const [key, may] of model) {
    const value = await store.get(key);
    expect(may, key).toContain(value && Buffer.from(value).toString());
  }
  const { primary, backup, ephemeral } = world.stores;
  const own = (entries: KvEntry[]): KvEntry[] =>
    entries.filter(({ key }) => !key.startsWith('_holdfast'));
  const entriesOf = async (each: KvStore): Promise<KvEntry[]> => own(await gather(each.entries()));
  expect(await entriesOf(backup.inner)).toEqual(await entriesOf(primary.inner));
  const shown = await gather(store.entries());
  const all = [...(await entriesOf(primary.inner)), ...(await entriesOf(ephemeral.inner))];
  expect(shown).toEqual(all.toSorted((a, b) => (a.key < b.key ? -1 : 1)));
}

async function scenario(tier: Names, fault: Fault, call: Call, times: number): Promise<string> {
  const world = new World(TIERS.indexOf(tier) * 100 + FAULTS.indexOf(fault) * 10 + times);
  return world.clock.run(
    (async () => {
      const first = await world.open();
      const model = await seed(first);
      world.stores[tier].fail(fault, times);
      const said = await act(first, call, model);
      // Acknowledged is in both tiers at once, owed or not.
      for (const [key, may] of model) {
        if (may.length !== 1 || key.startsWith('cache/') || may[0] === undefined) continue;
        for (const each of [world.stores.primary, world.stores.backup]) {
          expect((await each.inner.get(key))?.toString(), `${each.id} ${key}`).toBe(may[0]);
        }
      }
      const { divergent } = first.status();
      if (said.includes('PARTIAL_WRITE')) expect(divergent).toBeGreaterThan(0);
      world.stores[tier].heal();
      // Nobody has a second copy of a cache: it is made again.
      for (const key of [...world.stores.ephemeral.corrupted]) {
        await first.put(key, text('9'));
        model.set(key, ['9']);
      }
      await assertConverged(world, first, model);
      await first.close();
      const again = await world.open();
      await assertConverged(world, again, model);
      await again.close();
      return said;
    })(),
  );
}

describe.each(TIERS)('a fault of the %s', (tier) => {
  describe.each(FAULTS)('%s', (fault) => {
    it.each(CALLS)('during %s: no acknowledgement lies, and everything converges', async (call) => {
      const lasting = await scenario(tier, fault, call, Infinity);
      // One failure alone is tried again, and nobody hears of it, but of what has rotted.
      const once = await scenario(tier, fault, call, 1);
      const needed = call === 'get' || call === 'page' ? 'primary ephemeral' : TIERS.join(' ');
      if (fault === 'slow') expect(lasting).toMatch(/^(ok ?)+$/);
      if (!needed.includes(tier)) expect(lasting).toMatch(/^(ok ?)+$/);
      if (fault !== 'corrupt' && fault !== 'time-out') expect(once).toMatch(/^(ok ?)+$/);
    });
  });
});
