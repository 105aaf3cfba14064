/**
 * One short history of entries over the real database, with each of its calls to the file system
 * failing once in each way. What is found afterwards is what was acknowledged, or that and the one
 * call that was on its way.
 */
import { isHoldfastError, sleep, systemErrorCode } from '@holdfast/core';
import { type Fault, isSimDead, SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import type { KvEntry, KvPutOptions, KvStore } from '../src/index.ts';
import { EngineLife } from './engine-life.ts';
import { KvModel } from './kv-model.ts';

const MAX_CALLS = 3_000;
const TTL_MS = 1_000;
const SMALL = { shardCount: 2, segmentTargetBytes: 16 * 1024, preallocateBytes: 8 * 1024 };
const QUICK = { purgeIntervalMs: 200, purgeStartGraceMs: 0, entryCacheBytes: 0 };

class Life {
  readonly fs: SimFs;
  readonly clock: SimClock;
  readonly model: KvModel;
  #life!: EngineLife;
  #store!: KvStore;

  constructor(fs: SimFs, model: KvModel, startMs?: number) {
    this.clock = new SimClock(new SeededRandom(1), startMs === undefined ? {} : { startMs });
    this.fs = fs;
    this.model = model;
  }

  async open(): Promise<void> {
    const components = { clock: this.clock, random: new SeededRandom(7), fileSystem: this.fs };
    this.#life = await EngineLife.open(components, SMALL, QUICK);
    this.#store = this.#life.engine.store('main');
  }

  close(): Promise<void> {
    return this.#life.close();
  }

  async history(): Promise<void> {
    await this.open();
    const large = 'L'.repeat(6_000);
    await this.put('a', 'first');
    await this.put('large', large);
    await this.put('mortal', 'short', { ttlMs: TTL_MS });
    await this.#life.database.checkpoint();
    await this.put('large', `${large}again`);
    await this.batch([
      ['a', 'second'],
      ['b', large.toLowerCase()],
      ['c', undefined],
    ]);
    await this.put('large', undefined);
    await this.#life.database.checkpoint();
    await sleep(this.clock, 2 * TTL_MS);
    this.model.settle(this.clock.now());
    await this.close();

    await this.open();
    await this.check();
    await this.put('b', 'small');
    await this.#life.database.checkpoint();
    await this.#life.database.compact();
    await this.put('a', undefined);
    await this.close();
  }

  put(key: string, value: string | undefined, options: KvPutOptions = {}): Promise<void> {
    return this.batch([[key, value]], options);
  }

  async batch(
    changes: readonly (readonly [key: string, value: string | undefined])[],
    { ttlMs }: KvPutOptions = {},
  ): Promise<void> {
    const expiresAtMs = ttlMs === undefined ? undefined : this.clock.now() + ttlMs;
    const calls = this.model.call(changes.map(([key, value]) => ({ key, value, expiresAtMs })));
    const acks = await this.#store.batch(
      changes.map(([key, value]) =>
        value === undefined
          ? { type: 'del', key }
          : { type: 'put', key, value: Buffer.from(value), ttlMs },
      ),
    );
    for (const [at, call] of calls.entries()) {
      call.acked = true;
      if (call.value !== undefined) call.version = acks[at]?.version;
    }
    this.model.settle(this.clock.now());
  }

  async check(): Promise<void> {
    const found = new Map<string, KvEntry>();
    for await (const entry of this.#store.entries()) found.set(entry.key, entry);
    const created = await this.#store.page({ order: 'created' });
    expect(created.entries.length).toBe(found.size);
    this.model.recover(found, this.clock.now());
  }

  async verify(): Promise<void> {
    expect(await this.#life.database.verify()).toEqual([]);
  }
}

function isTyped(error: unknown): boolean {
  if (isHoldfastError(error)) return error.kind !== 'internal' && error.kind !== 'corrupt';
  return isSimDead(error) || systemErrorCode(error) !== undefined;
}

/** By the number of the call: odd ones before they take effect, even ones after. */
const WAYS: Record<string, (nth: number) => Fault> = {
  'ends the process': (nth) => ({ effect: 'halt', nth, performed: nth % 2 === 0 }),
  'fails with EIO': (nth) => ({ effect: 'EIO', nth, performed: nth % 2 === 0 }),
  'fails with ENOSPC': (nth) => ({ effect: 'ENOSPC', nth }),
  'writes less than asked': (nth) => ({ effect: 'short-write', nth }),
  'fails to sync and forgets': (nth) => ({ effect: 'lying-sync', nth }),
};

async function runWith(fault: Fault): Promise<{ life: Life; error: unknown; fired: boolean }> {
  const life = new Life(new SimFs(), new KvModel());
  const plan = life.fs.disk.faults.plan(fault);
  let error: unknown;
  try {
    await life.clock.run(life.history());
  } catch (caught) {
    error = caught;
  }
  life.fs.disk.faults.clear();
  return { life, error, fired: plan.fired > 0 };
}

describe('in a short history of entries', () => {
  it.each(Object.entries(WAYS))(
    'every call %s: a typed error, and the next start finds what was acknowledged',
    async (_name, way) => {
      let nth = 1;
      for (; nth < MAX_CALLS; nth++) {
        const { life, error, fired } = await runWith(way(nth));
        if (!fired) break;
        if (error !== undefined && !isTyped(error))
          throw new Error(`call ${nth}`, { cause: error });
        const fs = nth % 4 < 2 ? life.fs.kill() : life.fs.powerCut(new SeededRandom(nth));
        const next = new Life(fs, life.model, life.clock.now());
        try {
          await next.clock.run(
            (async () => {
              await next.open();
              await next.check();
              await next.verify();
              await next.close();
            })(),
          );
        } catch (cause) {
          throw new Error(`after call ${nth}`, { cause });
        }
      }
      expect(nth).toBeGreaterThan(10);
      expect(nth).toBeLessThan(MAX_CALLS);
    },
    240_000,
  );
});
