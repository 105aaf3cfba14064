/**
 * A short history of records over a `KvStore` of which each call fails once, in each way, or fails from
 * there on until it is healed. Whatever was refused or not heard of, what the store tells afterwards
 * is what is in its rows, and no older value won.
 */
import { isHoldfastError } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import {
  compareValues,
  type RecordStore,
  type RecordStoreSettings,
  type ValueRank,
  type VerifiedValue,
} from '../../src/index.ts';
import { FaultyKv, KV_FAULTS, type KvFault } from './faulty-kv.ts';
import { descriptorOf, erasureOf, peer, valueOf } from './made-records.ts';
import { bytesInRows, pictureOf, StoreLife } from './store-life.ts';

const RECORDS = [0, 1, 2, 3];
const MAX_CALLS = 400;
const VALUES = RECORDS.map((nth) => [0, 1, 2, 3].map((number) => valueOf(nth, 0, number)));
const OTHERS = RECORDS.map((nth) => valueOf(nth, 1, 0));
const ERASED = erasureOf(2, 0, 9);

class History {
  readonly life = new StoreLife();
  readonly kv = new FaultyKv(this.life.kv);
  readonly errors: unknown[] = [];
  /** Highest that was acknowledged. */
  readonly #won = new Map<string, ValueRank>();
  #store!: RecordStore;
  readonly #settings: Partial<RecordStoreSettings>;

  constructor(settings: Partial<RecordStoreSettings>) {
    this.#settings = { maxRecords: 3, ...settings };
  }

  async run(): Promise<void> {
    await this.#open();
    await this.#write(0, [this.#value(0, 1), OTHERS[0] as VerifiedValue]);
    await this.#write(1, [this.#value(1, 2)]);
    await this.#try(() => this.#store.create(descriptorOf(2), Buffer.from('detail')));
    await this.#write(2, [this.#value(2, 0)]);
    await this.#write(0, [this.#value(0, 3)]);
    await this.#write(3, [this.#value(3, 1)]); // evicts
    await this.#write(1, [this.#value(1, 1), OTHERS[1] as VerifiedValue]); // as well
    await this.life.tick(61_000);
    await this.#try(() => this.#store.value(descriptorOf(3).id, 0)); // writes the touch down
    await this.#try(() => this.#store.setDetail(descriptorOf(3).id, Buffer.from('other')));
    await this.#try(() => this.#store.delete(descriptorOf(1).id));
    await this.#write(1, [this.#value(1, 0)]);
    await this.#write(2, [ERASED]);
    await this.#write(2, [this.#value(2, 3)]);
    await this.#open();
    await this.#write(0, [this.#value(0, 2)]);
    await this.#write(3, [this.#value(3, 2)]);
  }

  /** What the store tells now is what another one finds in the rows. */
  async check(): Promise<void> {
    this.kv.heal();
    const picture = await pictureOf(this.#store);
    const told = this.#store.usage();
    await this.#store.close();
    const next = await new StoreLife(this.life.kv).open(this.#settings);
    expect(await pictureOf(next)).toEqual(picture);
    const { records, storedBytes, floors } = next.usage();
    expect(told).toMatchObject({ records, storedBytes, floors });
    await next.close();
    await this.checkRows();
  }

  /** Whole records, and nothing older than what was acknowledged. */
  async checkRows(): Promise<void> {
    const next = await new StoreLife(this.life.kv).open(this.#settings);
    expect(next.usage().storedBytes).toBe(await bytesInRows(this.life.kv));
    expect(next.usage().records).toBeLessThanOrEqual(3);
    for (const [place, won] of this.#won) {
      const [nth, subkey] = place.split(' ').map(Number) as [number, number];
      const floor = await next.floor(descriptorOf(nth).id, subkey);
      expect(floor && compareValues(floor, won), place).toBeGreaterThanOrEqual(0);
    }
    expect(this.life.damage).toEqual([]);
    await next.close();
  }

  #value(nth: number, number: number): VerifiedValue {
    return VALUES[nth]?.[number] as VerifiedValue;
  }

  async #open(): Promise<void> {
    for (;;) {
      const opened = await this.#try(async () => {
        await (this.#store as RecordStore | undefined)?.close();
        this.#store = await this.life.open(this.#settings, this.kv.store);
        return true;
      });
      if (opened === true) return;
      if (this.kv.failing?.times === Infinity) this.kv.heal();
    }
  }

  async #write(nth: number, values: readonly VerifiedValue[]): Promise<void> {
    const report = await this.#try(() =>
      this.#store.write(descriptorOf(nth), values, { origin: peer(nth) }),
    );
    await this.life.tick();
    if (report?.status !== 'done') return;
    for (const [at, { status }] of report.outcomes.entries()) {
      const value = values[at] as VerifiedValue;
      const place = `${nth} ${value.subkey}`;
      const before = this.#won.get(place);
      const order = before === undefined ? 1 : compareValues(value, before);
      if (status === 'written') expect(order, place).toBeGreaterThanOrEqual(0);
      if (status === 'written') this.#won.set(place, value);
    }
  }

  async #try<Result>(act: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await act();
    } catch (error) {
      if (!isHoldfastError(error) || error.code !== 'STORAGE_UNAVAILABLE') {
        if (!isHoldfastError(error) || error.code !== 'RECORD_EXISTS') throw error;
      }
      this.errors.push(error);
      return undefined;
    }
  }
}

async function runWith(
  nth: number,
  fault: KvFault,
  times: number,
  settings: Partial<RecordStoreSettings>,
): Promise<boolean> {
  const history = new History(settings);
  history.kv.fail(nth, fault, times);
  try {
    await history.run();
    await history.check();
  } catch (cause) {
    throw new Error(`call ${nth}`, { cause });
  }
  return history.kv.fired > 0;
}

describe('in a short history of records', () => {
  const ways = KV_FAULTS.flatMap((fault) =>
    [0, undefined].map((cacheBytes) => [fault, cacheBytes] as const),
  );
  it.each(ways)(
    'every kv call %s (cache: %s): what is told is what is in the rows, and no older value won',
    async (fault, cacheBytes) => {
      let nth = 1;
      while (nth < MAX_CALLS && (await runWith(nth, fault, 1, { cacheBytes }))) nth++;
      expect(nth).toBeGreaterThan(25);
      expect(nth).toBeLessThan(MAX_CALLS);
    },
    120_000,
  );

  it.each(KV_FAULTS)(
    'every kv call from one on %s, until it is healed: the same',
    async (fault) => {
      let nth = 1;
      while (nth < MAX_CALLS && (await runWith(nth, fault, Infinity, {}))) nth++;
      expect(nth).toBeGreaterThan(25);
      expect(nth).toBeLessThan(MAX_CALLS);
    },
    120_000,
  );

  it.each(['halt-before', 'halt-after'] as const)(
    'the process ends at every kv call (%s): the next one finds whole records',
    async (fault) => {
      let nth = 1;
      for (; nth < MAX_CALLS; nth++) {
        const history = new History({});
        history.kv.fail(nth, fault);
        const ended = Symbol('ended');
        const halted = new Promise<symbol>((resolve) => {
          const poll = (): void => {
            if (history.kv.halted) setImmediate(() => resolve(ended));
            else setImmediate(poll);
          };
          poll();
        });
        const how = await Promise.race([history.run(), halted]);
        if (how !== ended) break;
        await history.checkRows();
      }
      expect(nth).toBeGreaterThan(25);
      expect(nth).toBeLessThan(MAX_CALLS);
    },
    120_000,
  );
});
