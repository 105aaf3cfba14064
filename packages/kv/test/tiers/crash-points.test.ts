/**
 * The process ends at every moment of a script of writes: before and after each call of each store,
 * and at each cut point. Then the next one opens what is left.
 */
import { onCut } from '@holdfast/core';
import {
  type KvEntry,
  type KvOperation,
  type KvStore,
  openMemoryKvStore,
  openTieredKvStore,
  TIER_CUT_POINTS,
  type TieredKvStore,
  type TieredSettings,
} from '@holdfast/kv';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { FaultyStore, Life } from './faulty-store.ts';
import { gather, text } from './tiered-stores.ts';

const SETTINGS: TieredSettings = { id: 'tiered', rules: [{ prefix: 'cache/' }] };

type Call = { readonly operations: readonly KvOperation[]; state: 'called' | 'done' | 'failed' };

const put = (key: string, value: string): KvOperation => ({ type: 'put', key, value: text(value) });
const del = (key: string): KvOperation => ({ type: 'del', key });

/** Each line at once; lines one after the other. */
const SCRIPT: readonly (readonly (readonly KvOperation[])[])[] = [
  [[put('a', '1')], [put('b', '1')], [put('cache/x', '1')]],
  [[put('a', '2')], [put('a', '3')], [del('a')], [put('a', '4')]],
  [[put('c', '1'), put('d', '1'), del('b')]],
  [[del('a')], [put('e', '1'), put('cache/x', '2'), put('c', '2')], [put('d', '2')]],
  // No intent is kept of this one: that of the line before must not come back.
  [[del('cache/x')]],
  [[put('b', '5')], [del('d')]],
];

class World {
  readonly clock: SimClock;
  readonly random: SeededRandom;
  readonly inner: Record<'primary' | 'backup' | 'ephemeral' | 'local', KvStore>;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.clock = new SimClock(new SeededRandom(seed + 1));
    const make = (id: string): KvStore => openMemoryKvStore(this, { id });
    this.inner = {
      primary: make('primary'),
      backup: make('backup'),
      ephemeral: make('ephemeral'),
      local: make('local'),
    };
  }

  open(life: Life, mode: 'sync' | 'async'): Promise<TieredKvStore> {
    const wrap = (store: KvStore): FaultyStore => new FaultyStore(this.clock, store, life);
    const { primary, backup, ephemeral, local } = this.inner;
    const stores = {
      primary: wrap(primary),
      backup: wrap(backup),
      ephemeral: wrap(ephemeral),
      local: wrap(local),
    };
    return openTieredKvStore(this, stores, { ...SETTINGS, backupMode: mode });
  }
}

/** Runs the script in a life that ends at a moment; `undefined`: it came to its end. */
async function live(world: World, life: Life, mode: 'sync' | 'async'): Promise<Call[]> {
  const calls: Call[] = [];
  const script = async (): Promise<void> => {
    const store = await world.open(life, mode);
    for (const line of SCRIPT) {
      await Promise.all(
        line.map((operations) => {
          const call: Call = { operations, state: 'called' };
          calls.push(call);
          return store.batch(operations).then(
            () => {
              call.state = 'done';
            },
            () => {
              call.state = 'failed';
            },
          );
        }),
      );
    }
    await store.close();
  };
  let ended = false;
  void script().then(() => {
    ended = true;
  });
  for (let turn = 0; turn < 400 && !ended && !life.over; turn++) await world.clock.advance(50);
  expect(ended || life.over).toBe(true);
  return calls;
}

/** The state that each key may have: of its last acknowledged call, or of one called later. */
function mayBe(calls: readonly Call[], key: string): (string | undefined)[] {
  let may: (string | undefined)[] = [undefined];
  for (const { operations, state } of calls) {
    const last = operations.findLast((each) => each.key === key);
    if (last === undefined || state === 'failed') continue;
    const value = last.type === 'put' ? Buffer.from(last.value).toString() : undefined;
    may = state === 'done' ? [value] : [...may, value];
  }
  return may;
}

async function check(world: World, calls: readonly Call[], mode: 'sync' | 'async'): Promise<void> {
  const store = await world.open(new Life(), mode);
  await store.drain();
  const found = new Map<string, string>();
  for await (const [key, value] of store.iterator()) found.set(key, Buffer.from(value).toString());
  for (const key of ['a', 'b', 'c', 'd', 'e', 'cache/x']) {
    expect(mayBe(calls, key), key).toContain(found.get(key));
  }
  // All or nothing: of a batch that nothing came after.
  const both = calls.filter(({ operations }) => operations.some(({ key }) => key === 'e'));
  for (const { operations, state } of both) {
    if (state === 'done' || !found.has('e')) continue;
    for (const operation of operations) {
      if (operation.type !== 'put') continue;
      expect(found.get(operation.key)).toBe(Buffer.from(operation.value).toString());
    }
  }
  const own = async (tier: KvStore): Promise<KvEntry[]> =>
    (await gather(tier.entries())).filter(({ key }) => !key.startsWith('_holdfast'));
  expect(await own(world.inner.backup)).toEqual(await own(world.inner.primary));
  expect(await gather(store.verify())).toEqual([]);
  expect(store.status()).toMatchObject({ divergent: 0, fenced: false });
  const { version } = await store.put('after', text('1'));
  for (const { version: older } of await own(world.inner.primary)) {
    expect(older).toBeLessThanOrEqual(version);
  }
  await store.close();
  const left = await gather(world.inner.local.keys({ prefix: 'op-' }));
  expect(left).toEqual([]);
}

async function history(endsAt: number, mode: 'sync' | 'async'): Promise<Life> {
  const world = new World(endsAt);
  const life = new Life();
  life.endsAt = endsAt;
  const off = onCut(() => life.moment());
  let calls: Call[];
  try {
    calls = await live(world, life, mode);
  } finally {
    off();
  }
  await world.clock.run(check(world, calls, mode));
  return life;
}

describe.each(['sync', 'async'] as const)('a process that ends at any moment, %s', (mode) => {
  it('leaves in both tiers what was acknowledged, and the rest whole or not at all', async () => {
    const { moments } = await history(1e9, mode);
    expect(moments).toBeGreaterThan(60);
    for (let endsAt = 1; endsAt <= moments; endsAt++) {
      await history(endsAt, mode).catch((cause: unknown) => {
        throw new Error(`ended at moment ${endsAt} of ${moments}: ${String(cause)}`, { cause });
      });
    }
    process.stdout.write(`tiers, ${mode}: a life ended at each of ${moments} moments\n`);
  });

  it('passes every cut point of writing and draining', async () => {
    const passed = new Set<string>();
    const off = onCut((name) => void passed.add(name));
    try {
      const world = new World(1);
      await live(world, new Life(), mode);
    } finally {
      off();
    }
    const wanted = TIER_CUT_POINTS.filter((name) => !/promote|migrate|drain/.test(name));
    expect([...passed]).toEqual(expect.arrayContaining(wanted));
    if (mode === 'async') {
      expect([...passed]).toEqual(expect.arrayContaining(['tiers.drain', 'tiers.drained']));
    }
  });
});

/** A change of parts that ends at any moment. */
async function changeParts(endsAt: number, kind: 'promote' | 'migrate'): Promise<Life> {
  const world = new World(endsAt);
  const life = new Life();
  const first = await world.clock.run(world.open(life, 'sync'));
  for (const key of ['b', 'a']) await world.clock.run(first.put(key, text(key)));
  life.moments = 0;
  life.endsAt = endsAt;
  const target = openMemoryKvStore(world, { id: 'target' });
  const acknowledged: string[] = ['b', 'a'];
  const change = async (): Promise<void> => {
    if (kind === 'promote') await first.promote();
    else await gather(first.migrate({ to: new FaultyStore(world.clock, target, life) }));
    await first.put('c', text('c'));
    acknowledged.push('c');
    await first.close();
  };
  const off = onCut(() => life.moment());
  let ended = false;
  try {
    void change().then(() => {
      ended = true;
    });
    for (let turn = 0; turn < 100 && !ended && !life.over; turn++) await world.clock.advance(50);
  } finally {
    off();
  }
  expect(ended || life.over).toBe(true);
  await world.clock.run(
    (async () => {
      const { primary, backup, local } = world.inner;
      const next = kind === 'promote' ? backup : target;
      const settings = { ...SETTINGS, rules: SETTINGS.rules ?? [] };
      const open = (stores: { primary: KvStore; backup?: KvStore }): Promise<TieredKvStore> =>
        openTieredKvStore(world, { ...stores, local, ephemeral: world.inner.ephemeral }, settings);
      const store = await open({ primary, backup }).catch(() =>
        open(kind === 'promote' ? { primary: next } : { primary: next, backup }),
      );
      const keys = await gather(store.keys());
      expect(keys).toEqual(expect.arrayContaining(acknowledged));
      expect(keys.length).toBeLessThan(4);
      await store.put('after', text('1'));
      const { entries } = await store.page({ order: 'created' });
      expect(entries.map(({ key }) => key)).toEqual(
        keys.includes('c') ? ['after', 'c', 'a', 'b'] : ['after', 'a', 'b'],
      );
      await store.close();
    })(),
  );
  return life;
}

describe.each(['promote', 'migrate'] as const)('a %s that ends at any moment', (kind) => {
  it('leaves a store that opens, with what was acknowledged, and is written', async () => {
    const { moments } = await changeParts(1e9, kind);
    expect(moments).toBeGreaterThan(15);
    for (let endsAt = 1; endsAt <= moments; endsAt++) {
      await changeParts(endsAt, kind).catch((cause: unknown) => {
        throw new Error(`ended at moment ${endsAt} of ${moments}: ${String(cause)}`, { cause });
      });
    }
  });
});
