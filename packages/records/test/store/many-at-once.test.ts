/**
 * Many calls beside each other on few records with little room, over a `KvStore` that takes its time
 * and fails now and then, in every way: what readers see never goes back, nothing is taken for damage,
 * and in the end memory and rows agree. HOLDFAST_SEED and HOLDFAST_HISTORIES.
 */
import { hasCode, isHoldfastError, sleep } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import { SeededRandom } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { compareValues, type RecordStore, type VerifiedValue } from '../../src/index.ts';
import { FaultyKv, KV_FAULTS, type KvFault } from './faulty-kv.ts';
import { descriptorOf, peer, valueOf } from './made-records.ts';
import { bytesInRows, pictureOf, StoreLife } from './store-life.ts';

const FIRST_SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const HISTORIES = Number(process.env['HOLDFAST_HISTORIES'] ?? 60);
const RECORDS = 5;
const LANES = 5;
const STEPS = 30;
const NUMBERS = 12;

const VALUES = Array.from({ length: RECORDS }, (_, nth) =>
  [0, 1].map((subkey) =>
    Array.from({ length: NUMBERS }, (__, number) =>
      valueOf(nth, subkey, number, Buffer.alloc((number * 97) % 600)),
    ),
  ),
);

class World {
  readonly #random: SeededRandom;
  readonly #life: StoreLife;
  readonly #kv: FaultyKv;
  readonly #settings = { maxRecords: 4, maxBytes: 6_000, maxBytesOfPeer: 3_000 } as const;
  /** By place: the highest that anybody was told is there, or was. */
  readonly #seen = new Map<string, VerifiedValue>();
  #store!: RecordStore;
  failed = 0;
  done = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    const life = new StoreLife();
    this.#life = life;
    this.#kv = new FaultyKv(slow(life.kv, life, this.#random));
  }

  async run(): Promise<void> {
    const { clock } = this.#life;
    const cacheBytes = this.#random.integer(2) === 0 ? 0 : undefined;
    const settings = { ...this.#settings, cacheBytes };
    await clock.run(
      this.#life.open(settings, this.#kv.store).then((store) => {
        this.#store = store;
      }),
    );
    const lanes = Array.from({ length: LANES }, () => this.#lane());
    await clock.run(Promise.all(lanes));
    this.#kv.heal();
    await clock.run(this.#check());
  }

  async #check(): Promise<void> {
    const picture = await pictureOf(this.#store);
    const { records, storedBytes, floors } = this.#store.usage();
    await this.#store.close();
    expect(storedBytes).toBe(await bytesInRows(this.#life.kv));
    const next = new StoreLife(this.#life.kv);
    const store = await next.open({ ...this.#settings });
    expect(store.usage()).toMatchObject({ records, storedBytes, floors });
    expect(await pictureOf(store)).toEqual(picture);
    for (const [place, seen] of this.#seen) {
      const [nth, subkey] = place.split(' ').map(Number) as [number, number];
      const floor = await store.floor(descriptorOf(nth).id, subkey);
      expect(floor && compareValues(floor, seen), place).toBeGreaterThanOrEqual(0);
    }
    expect([...this.#life.damage, ...next.damage]).toEqual([]);
    await store.close();
  }

  async #lane(): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      const fault = KV_FAULTS[this.#random.integer(40)] as KvFault | undefined;
      if (fault !== undefined) this.#kv.fail(1 + this.#random.integer(3), fault);
      try {
        await this.#step();
        this.done++;
      } catch (error) {
        if (!isHoldfastError(error) || error.code !== 'STORAGE_UNAVAILABLE') {
          if (!hasCode(error, 'RECORD_EXISTS')) throw error;
        }
        this.failed++;
      }
      if (this.#random.integer(8) === 0) await sleep(this.#life.clock, 30_000);
    }
  }

  async #step(): Promise<void> {
    const nth = this.#random.integer(RECORDS);
    const descriptor = descriptorOf(nth);
    const subkey = this.#random.integer(2);
    switch (this.#random.integer(8)) {
      case 0:
        await this.#store.delete(descriptor.id);
        return;
      case 1:
      case 2: {
        const before = this.#seen.get(`${nth} ${subkey}`);
        const value = await this.#store.value(descriptor.id, subkey);
        if (value === undefined) return;
        if (before !== undefined) expect(compareValues(value, before)).toBeGreaterThanOrEqual(0);
        this.#see(value);
        return;
      }
      case 3: {
        const before = this.#seen.get(`${nth} ${subkey}`);
        const floor = await this.#store.floor(descriptor.id, subkey);
        if (before === undefined) return;
        expect(floor && compareValues(floor, before)).toBeGreaterThanOrEqual(0);
        return;
      }
      default:
        await this.#write(nth);
    }
  }

  async #write(nth: number): Promise<void> {
    const subkeys = this.#random.integer(2) === 0 ? [0, 1] : [this.#random.integer(2)];
    const values = subkeys.map(
      (subkey) => VALUES[nth]?.[subkey]?.[this.#random.integer(NUMBERS)] as VerifiedValue,
    );
    const before = values.map((value) => this.#seen.get(`${nth} ${value.subkey}`));
    const origin = peer(nth % 2);
    const report = await this.#store.write(descriptorOf(nth), values, { origin });
    if (report.status === 'full') return;
    for (const [at, outcome] of report.outcomes.entries()) {
      const value = values[at] as VerifiedValue;
      const seen = before[at];
      if (outcome.status === 'written' || outcome.status === 'same') this.#see(value);
      if (outcome.status === 'superseded') this.#see(outcome.value);
      if (outcome.status !== 'written' || seen === undefined) continue;
      expect(compareValues(value, seen)).toBeGreaterThanOrEqual(0);
    }
  }

  #see(value: VerifiedValue): void {
    const nth = VALUES.findIndex((_, one) => descriptorOf(one).id === value.record);
    const place = `${nth} ${value.subkey}`;
    const before = this.#seen.get(place);
    if (before === undefined || compareValues(value, before) > 0) this.#seen.set(place, value);
  }
}

/** Each call takes a while before and after it happens, so that calls overlap in every way. */
function slow(kv: KvStore, { clock }: StoreLife, random: SeededRandom): KvStore {
  return new Proxy(kv, {
    get(target, name) {
      const found: unknown = Reflect.get(target, name, target);
      if (typeof found !== 'function') return found;
      const call = (...args: unknown[]): unknown => Reflect.apply(found, target, args);
      if (name === 'get' || name === 'getEntry') {
        return async (...args: unknown[]) => {
          await sleep(clock, random.integer(5));
          const result: unknown = await call(...args);
          await sleep(clock, random.integer(5));
          return result;
        };
      }
      if (name !== 'batch' && name !== 'del') return call;
      // Calls on one key keep their order: they begin at once.
      return async (...args: unknown[]) => {
        const result: unknown = await call(...args);
        await sleep(clock, random.integer(9));
        return result;
      };
    },
  });
}

it(
  `${HISTORIES} histories of many calls at once over a faulty store end as the rows say`,
  { timeout: 120_000 },
  async () => {
    let failed = 0;
    let done = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
      const world = new World(seed);
      await world.run().catch((cause: unknown) => {
        const replay = `HOLDFAST_SEED=${seed} HOLDFAST_HISTORIES=1 npx vitest run packages/records/test/store/many-at-once.test.ts`;
        throw new Error(`broken, replay: ${replay}: ${String(cause)}`, { cause });
      });
      failed += world.failed;
      done += world.done;
    }
    process.stdout.write(`records with many calls at once: ${done} done, ${failed} failed\n`);
    expect(failed).toBeGreaterThan(HISTORIES);
    expect(done).toBeGreaterThan(HISTORIES * 50);
  },
);
