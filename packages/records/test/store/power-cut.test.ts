/**
 * Stores of records on the real engine over a simulated disk: the power fails, or the process is killed,
 * at a call drawn from the seed. What was acknowledged is there, or something that wins over it;
 * records are whole; no revision comes twice. HOLDFAST_SEED and HOLDFAST_HISTORIES.
 */
import { SILENT } from '@holdfast/core';
import { type Database, openDatabase } from '@holdfast/database';
import { KvEngine } from '@holdfast/kv';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { compareValues, type RecordStore, type VerifiedValue } from '../../src/index.ts';
import { openRecordStore } from '../../src/store/index.ts';
import { descriptorOf, peer, valueOf } from './made-records.ts';
import { bytesInRows, pictureOf } from './store-life.ts';

const FIRST_SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const HISTORIES = Number(process.env['HOLDFAST_HISTORIES'] ?? 10);
const GENERATIONS = 4;
const STEPS = 25;
const RECORDS = 6;
const MAX_RECORDS = 4;

const VALUES = Array.from({ length: RECORDS }, (_, nth) =>
  [0, 1].map((subkey) =>
    Array.from({ length: 8 }, (__, number) => valueOf(nth, subkey, number, Buffer.alloc(700))),
  ),
);

interface Opened {
  readonly store: RecordStore;
  readonly engine: KvEngine;
  readonly database: Database;
}

class History {
  readonly #random: SeededRandom;
  #clock: SimClock;
  #disk = new SimFs();
  /** By place: the highest that was acknowledged. */
  readonly #won = new Map<string, VerifiedValue>();
  /** By record and revision: what the record was. */
  readonly #states = new Map<string, string>();
  acknowledged = 0;
  evicted = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.#clock = new SimClock(new SeededRandom(seed + 1));
  }

  async run(): Promise<void> {
    for (let generation = 0; generation < GENERATIONS; generation++) {
      const nth = 1 + this.#random.integer(400);
      const performed = this.#random.integer(2) === 0;
      const fault = this.#disk.disk.faults.plan({ effect: 'halt', nth, performed });
      // Whoever waits for a dead disk waits for ever.
      await this.#clock.run(this.#live()).catch(() => undefined);
      fault.remove();
      this.#crash();
      await this.#clock.run(this.#check());
      this.#crash();
    }
  }

  #crash(): void {
    const kill = this.#random.integer(3) === 0;
    this.#disk = kill ? this.#disk.kill() : this.#disk.powerCut(this.#random);
    this.#clock = this.#clock.nextIncarnation();
  }

  async #open(): Promise<Opened> {
    const clock = this.#clock;
    const seams = { clock, random: this.#random, fileSystem: this.#disk, logger: SILENT };
    const engine = new KvEngine(seams, { entryCacheBytes: 0 });
    const settings = {
      dir: '/data',
      shardCount: 2,
      segmentTargetBytes: 64 * 1024,
      preallocateBytes: 8 * 1024,
      diskReserveBytes: 0,
      checkpointLogBytes: 32 * 1024,
    };
    const database = await openDatabase(seams, settings, [engine]);
    const store = await openRecordStore(
      { kind: 'remote', maxRecords: MAX_RECORDS },
      {
        kv: engine.store('remote'),
        nowMs: () => clock.now(),
        logger: SILENT,
        onDamage: (key) => expect(key).toBe('whole'),
      },
    );
    return { store, engine, database };
  }

  async #live(): Promise<void> {
    const { store } = await this.#open();
    const lanes = [0, 1, 2].map(async () => {
      for (let step = 0; step < STEPS; step++) await this.#step(store).catch(() => undefined);
    });
    await Promise.all(lanes);
    this.evicted += store.usage().evicted;
  }

  async #step(store: RecordStore): Promise<void> {
    const nth = this.#random.integer(RECORDS);
    const descriptor = descriptorOf(nth);
    if (this.#random.integer(10) === 0) {
      await store.delete(descriptor.id);
      return;
    }
    const both = this.#random.integer(2) === 0;
    const number = this.#random.integer(8);
    const values = (both ? [0, 1] : [this.#random.integer(2)]).map(
      (subkey) => VALUES[nth]?.[subkey]?.[number] as VerifiedValue,
    );
    const report = await store.write(descriptor, values, { origin: peer(nth % 3) });
    if (report.status === 'full') return;
    this.#see(nth, report.head.revision, report.head.subkeys);
    for (const [at, { status }] of report.outcomes.entries()) {
      const value = values[at] as VerifiedValue;
      const place = `${nth} ${value.subkey}`;
      const before = this.#won.get(place);
      if (status !== 'written') continue;
      this.acknowledged++;
      if (before === undefined || compareValues(value, before) > 0) this.#won.set(place, value);
    }
  }

  /** No two states share a revision. */
  #see(nth: number, revision: number, subkeys: readonly unknown[]): void {
    if (revision === 0) return;
    const state = JSON.stringify(
      subkeys.map((one) => (one as VerifiedValue | undefined)?.sequence),
    );
    const name = `${nth} ${revision}`;
    expect(this.#states.get(name) ?? state, name).toBe(state);
    this.#states.set(name, state);
  }

  async #check(): Promise<void> {
    const { store, engine, database } = await this.#open();
    for (const [place, won] of this.#won) {
      const [nth, subkey] = place.split(' ').map(Number) as [number, number];
      const floor = await store.floor(descriptorOf(nth).id, subkey);
      expect(floor && compareValues(floor, won), place).toBeGreaterThanOrEqual(0);
    }
    await pictureOf(store);
    for await (const head of store.entries()) {
      const nth = VALUES.findIndex((_, one) => descriptorOf(one).id === head.descriptor.id);
      this.#see(nth, head.revision, head.subkeys);
    }
    expect(store.usage().records).toBeLessThanOrEqual(MAX_RECORDS);
    expect(store.usage().storedBytes).toBe(await bytesInRows(engine.store('remote')));
    await store.close();
    await engine.close();
    await database.close();
  }
}

it(
  `${HISTORIES} histories of records that lose power keep what was acknowledged, and whole records`,
  { timeout: 120_000 },
  async () => {
    let acknowledged = 0;
    let evicted = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
      const history = new History(seed);
      await history.run().catch((cause: unknown) => {
        const replay = `HOLDFAST_SEED=${seed} HOLDFAST_HISTORIES=1 npx vitest run packages/records/test/store/power-cut.test.ts`;
        throw new Error(`broken, replay: ${replay}: ${String(cause)}`, { cause });
      });
      acknowledged += history.acknowledged;
      evicted += history.evicted;
    }
    process.stdout.write(
      `records that lost power: ${HISTORIES} histories of ${GENERATIONS} lives, ` +
        `${acknowledged} acknowledged values, ${evicted} evicted records\n`,
    );
    expect(acknowledged).toBeGreaterThan(HISTORIES * 10);
    expect(evicted).toBeGreaterThan(HISTORIES);
  },
);
