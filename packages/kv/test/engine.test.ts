/** What the engine does beside the contract: damage, moves, refusals, many stores, clocks. */
import { hasCode, LIMITS, sleep } from '@holdfast/core';
import { rebalanceDatabase } from '@holdfast/database';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, expect, it, vi } from 'vitest';
import { KvEngine, type KvStore } from '../src/index.ts';
import { expectClearInOrder } from './clear-in-order.ts';
import { EngineLife, SETTINGS } from './engine-life.ts';
import { assertNoLeaks, countRows } from './engine-rows.ts';

const QUICK = { purgeIntervalMs: 500, purgeStartGraceMs: 0, entryCacheBytes: 0 };

class World {
  fs = new SimFs();
  readonly clock = new SimClock(new SeededRandom(3));

  get components() {
    return { clock: this.clock, random: new SeededRandom(5), fileSystem: this.fs };
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    return this.clock.run(work());
  }

  open(settings: Partial<typeof SETTINGS> = {}, engine = QUICK): Promise<EngineLife> {
    return EngineLife.open(this.components, settings, engine);
  }
}

function large(seed: number): Buffer {
  return Buffer.alloc(10_000, `${seed}.`);
}

async function keysOf(store: KvStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.keys()) keys.push(key);
  return keys;
}

describe('the key-value engine', () => {
  it('keeps stores apart that are in one database, also over a restart', () => {
    const world = new World();
    return world.run(async () => {
      let life = await world.open();
      const names = ['a', 'ab', 'a.b', 'A'];
      for (const name of names) {
        const store = life.engine.store(name);
        await store.put('key', Buffer.from(name));
        await store.put(`only ${name}`, large(1));
      }
      for (let times = 0; times < 2; times++) {
        for (const name of names) {
          const store = life.engine.store(name);
          expect(String(await store.get('key'))).toBe(name);
          expect(await keysOf(store)).toEqual(['key', `only ${name}`]);
          expect((await store.page({ order: 'created' })).entries.length).toBe(2);
        }
        await life.close();
        life = await world.open();
      }
      await life.engine.store('a').clear();
      expect(await keysOf(life.engine.store('ab'))).toEqual(['key', 'only ab']);
      for (const name of ['', 'a/b', 'ä', 'x'.repeat(65)]) {
        expect(() => life.engine.store(name)).toThrow(
          expect.objectContaining({ code: 'INVALID_ENTRY_KEY' }),
        );
      }
      await life.close();
    });
  });

  it('has room for another store once one is closed and at rest', () => {
    const world = new World();
    return world.run(async () => {
      const life = await world.open();
      const { engine } = life;
      const open = Array.from({ length: LIMITS.maxEngineStores }, (_, at) =>
        engine.store(`s${at}`),
      );
      await (open[1] as KvStore).put('key', Buffer.from('1'));
      const full = expect.objectContaining({ code: 'QUOTA_EXCEEDED' });
      expect(() => engine.store('more')).toThrow(full);
      await (open[1] as KvStore).close();
      expect(() => engine.store('more')).toThrow(full); // what it holds is not in rows yet
      await life.database.checkpoint();
      expect(await engine.store('more').get('key')).toBeUndefined();
      await (open[2] as KvStore).close();
      expect(String(await engine.store('s1').get('key'))).toBe('1');
      await life.close();
    });
  });

  it('is the same after a rebalance to more and to fewer shards', () => {
    const world = new World();
    return world.run(async () => {
      let life = await world.open({ shardCount: 2 });
      let store = life.engine.store('main');
      for (let at = 0; at < 60; at++) {
        await store.put(`k${at}`, at % 3 === 0 ? large(at) : Buffer.from(`${at}`));
      }
      for (let at = 0; at < 60; at += 2) await store.del(`k${at}`);
      await store.put('lasting', Buffer.from('1'), { ttlMs: 1e9 });
      const before = await store.page({ order: 'created', limit: 1000 });
      const last = await store.lastChange();
      await life.close();
      for (const shardCount of [8, 1, 4]) {
        const engine = new KvEngine({ clock: world.clock });
        await rebalanceDatabase(world.components, { ...SETTINGS, shardCount }, [engine]);
        life = await world.open();
        store = life.engine.store('main');
        expect(await store.page({ order: 'created', limit: 1000 })).toEqual(before);
        expect(await store.lastChange()).toBe(last);
        await countRows(life.database); // each row in its shard
        await life.close();
      }
    });
  });

  it('mends damaged values from the log, and costs only those it cannot mend', () => {
    const world = new World();
    return world.run(async () => {
      const life = await world.open();
      const store = life.engine.store('main');
      for (let at = 0; at < 6; at++) await store.put(`k${at}`, large(at));
      await life.database.checkpoint();
      const files = world.fs.disk.paths().filter((path) => path.endsWith('.hfx'));
      expect(files.length).toBeGreaterThan(0);
      for (const path of files) world.fs.disk.flipBit(path, 9_000, 3);
      const { integrity } = await life.database.scrub();
      expect(integrity.repaired).toBeGreaterThan(0);
      for (let at = 0; at < 6; at++)
        expect(large(at).equals((await store.get(`k${at}`)) as Buffer)).toBe(true);
      expect(await life.database.verify()).toEqual([]);
      await life.close();
    });
  });

  it('gives a typed error for a value that is lost, and everything else', () => {
    const world = new World();
    return world.run(async () => {
      let life = await world.open({ shardCount: 1 });
      for (let at = 0; at < 4; at++) await life.engine.store('main').put(`k${at}`, large(at));
      await life.engine.store('main').put('small', Buffer.from('1'));
      await life.close();
      const [file] = world.fs.disk.paths().filter((path) => path.endsWith('.hfx'));
      world.fs.disk.truncateFile(file as string, 15_000);
      life = await world.open();
      const store = life.engine.store('main');
      const reads = await Promise.allSettled(
        ['k0', 'k1', 'k2', 'k3', 'small'].map((key) => store.get(key)),
      );
      const lost = reads.filter((read) => read.status === 'rejected');
      expect(lost.length).toBeGreaterThan(0);
      for (const { reason } of lost) expect(reason).toMatchObject({ kind: 'corrupt' });
      expect(reads.at(-1)?.status).toBe('fulfilled');
      expect(await keysOf(store).catch((error: unknown) => error)).toMatchObject({
        kind: 'corrupt',
      });
      await store.put('k0', Buffer.from('anew'));
      expect(String(await store.get('k0'))).toBe('anew');
      await life.close();
    });
  });

  it('moves values with their files, and gives back the space of what was replaced', () => {
    const world = new World();
    return world.run(async () => {
      const life = await world.open({ shardCount: 1 });
      const store = life.engine.store('main');
      for (let at = 0; at < 20; at++) await store.put(`k${at}`, large(at));
      await life.database.checkpoint();
      for (let round = 0; round < 4; round++) {
        for (let at = 0; at < 19; at++) await store.put(`k${at}`, large(at + round));
        await life.database.checkpoint();
        await sleep(world.clock, 1_000);
      }
      for (let cuts = 0; cuts < 3; cuts++) {
        await store.put('nudge', Buffer.from(`${cuts}`));
        await life.database.checkpoint();
        await sleep(world.clock, 1_000);
      }
      for (let at = 0; at < 20; at++) {
        expect(large(at === 19 ? at : at + 3).equals((await store.get(`k${at}`)) as Buffer)).toBe(
          true,
        );
      }
      await assertNoLeaks(life.database, new Map([['main', store]]));
      const live = world.fs.disk.paths().filter((path) => path.endsWith('.hfx'));
      const bytes = live.reduce((sum, path) => sum + world.fs.disk.content(path).length, 0);
      expect(bytes).toBeLessThan(20 * 10_000 * 2.5);
      await life.close();
    });
  });

  it('frees a value that moved after it was replaced', () => {
    const world = new World();
    return world.run(async () => {
      const life = await world.open({ shardCount: 2 });
      const { database } = life;
      const store = life.engine.store('main');
      const names = Array.from({ length: 60 }, (_, at) => `k${at}`);
      const here = names.filter((key) => database.shardOf(`kv:main:${key}`) === 0).slice(0, 10);
      const there = names.find((key) => database.shardOf(`kv:main:${key}`) === 1) as string;
      const cut = async (): Promise<void> => {
        await database.checkpoint();
        await sleep(world.clock, 1_000);
      };
      for (const key of here) await store.put(key, large(1));
      await cut();
      for (const key of here.slice(0, 7)) await store.del(key);
      await cut(); // buries seven
      await store.del(here[7] as string);
      await cut(); // frees them, buries one: the file is sparse now
      await store.put(there, Buffer.from('1'));
      await cut(); // moves what is left, with the shard at rest
      for (const key of here.slice(8)) await store.del(key);
      for (let cuts = 0; cuts < 3; cuts++) {
        await cut();
        for (const key of [here[0] as string, there]) await store.put(key, Buffer.from(`${cuts}`));
      }
      await cut();
      expect(world.fs.disk.paths().filter((path) => path.endsWith('.hfx'))).toEqual([]);
      await assertNoLeaks(database, new Map([['main', store]]));
      await life.close();
    });
  });

  it('decides a condition again when the write it rested on was refused', () => {
    const world = new World();
    return world.run(async () => {
      const life = await world.open();
      const store = life.engine.store('main');
      await store.put('other', Buffer.from('1'));
      world.fs.disk.capacityBytes = world.fs.disk.usedBytes;
      const put = store.put('key', Buffer.alloc(1_000_000));
      const condition = store.put('key', Buffer.from('also'), { ifAbsent: true });
      const stale = store.del('key', { ifVersion: 1_000 });
      const del = store.del('key');
      await expect(stale).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' });
      const results = await Promise.allSettled([put, condition, del]);
      world.fs.disk.capacityBytes = Infinity;
      const codes = results.map((result) =>
        result.status === 'rejected' && hasCode(result.reason, 'DISK_FULL')
          ? 'DISK_FULL'
          : result.status,
      );
      // Never PRECONDITION_FAILED: there was nothing.
      expect(codes.slice(0, 2)).toEqual(['DISK_FULL', 'DISK_FULL']);
      expect(await store.get('key')).toBeUndefined();
      await sleep(world.clock, 5_000);
      await store.put('key', Buffer.from('works again'), { ifAbsent: true });
      await life.close();
    });
  });

  it('answers every call after the storage failed', () => {
    const world = new World();
    return world.run(async () => {
      const life = await world.open();
      const store = life.engine.store('main');
      await store.put('key', Buffer.from('1'));
      world.fs.disk.faults.plan({
        effect: 'EIO',
        operations: ['write'],
        path: (name) => name.includes('/log/'),
        nth: 1,
      });
      const failed = store.put('key', Buffer.from('2'));
      const rested = store.put('key', Buffer.from('3'), { ifAbsent: true });
      await expect(failed).rejects.toMatchObject({ effect: 'unknown' });
      await expect(rested).rejects.toMatchObject({ kind: 'unavailable' });
      await expect(store.put('key', Buffer.from('4'), { ifAbsent: true })).rejects.toMatchObject({
        kind: 'unavailable',
      });
      await expect(store.put('key', Buffer.from('5'))).rejects.toMatchObject({
        code: 'NODE_FAILED',
      });
      expect(String(await store.get('key'))).toBe('1');
      await life.close();
    });
  });

  it('removes nothing in the first moments, nor after a jump of the clock', () => {
    const world = new World();
    return world.run(async () => {
      const slow = { ...QUICK, purgeStartGraceMs: 10_000 };
      const life = await world.open({}, slow);
      const store = life.engine.store('main');
      await store.put('early', Buffer.from('1'), { ttlMs: 1_000 });
      await life.database.checkpoint();
      await sleep(world.clock, 8_000);
      expect((await countRows(life.database))['e']).toBe(1);
      const before = await store.lastChange();
      await sleep(world.clock, 4_000);
      expect(await store.lastChange()).toBe(before + 1);
      await store.put('tomorrow', Buffer.from('1'), { ttlMs: 86_400_000 });
      const since = await store.lastChange();
      world.clock.jumpWallClock(2 * 86_400_000);
      await sleep(world.clock, QUICK.purgeIntervalMs - 1); // one round at most
      expect(await store.has('tomorrow')).toBe(false); // hidden, not gone
      expect(await store.lastChange()).toBe(since);
      await sleep(world.clock, 4 * QUICK.purgeIntervalMs);
      expect(await store.lastChange()).toBe(since + 1);
      await life.close();
    });
  });

  it('tells who watches from before a restart only when nothing is missing', () => {
    const world = new World();
    return world.run(async () => {
      let life = await world.open();
      const first = life.engine.store('main');
      for (let at = 0; at < 5; at++) await first.put('key', Buffer.from(`${at}`));
      const last = await first.lastChange();
      await life.close();
      life = await world.open();
      const store = life.engine.store('main');
      const behind = store.watch({ since: last - 1 })[Symbol.asyncIterator]();
      await expect(behind.next()).rejects.toMatchObject({ code: 'CHANGES_TRIMMED' });
      const upToDate = store.watch({ since: last })[Symbol.asyncIterator]();
      await store.put('key', Buffer.from('new'));
      expect((await upToDate.next()).value).toMatchObject({ key: 'key', type: 'put' });
      await life.close();
    });
  });

  it('lets others have their turn while it walks over what is in memory', () => {
    const world = new World();
    return world.run(async () => {
      const life = await world.open();
      const store = life.engine.store('main');
      for (let from = 0; from < 8_000; from += 4_000) {
        const operations = Array.from({ length: 4_000 }, (_, at) => {
          return { type: 'put' as const, key: `k${from + at}`, value: Buffer.of(1) };
        });
        await store.batch(operations);
      }
      expect(await store.page({ order: 'key', limit: 1 })).toBeDefined(); // all in order now
      for (const find of [
        () => store.page({ order: 'created', prefix: 'nobody' }),
        () => store.page({ order: 'key', reverse: true, limit: 1 }),
      ]) {
        const turns = vi.spyOn(world.clock, 'immediate');
        await find();
        expect(turns.mock.calls.length).toBeGreaterThanOrEqual(6);
        turns.mockRestore();
      }
      await life.close();
    });
  });

  it('clears what was there when it was called, whatever is written meanwhile', () => {
    const world = new World();
    return world.run(async () => {
      const life = await world.open();
      await expectClearInOrder(life.engine.store('main'));
      await life.close();
    });
  });
});
