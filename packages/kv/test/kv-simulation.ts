/**
 * Crash histories of the key-value engine over the real database on a simulated disk: puts of every
 * size, deletes, batches over keys of several shards, expiry, conditions, checkpoints and merges,
 * rebalances, with the power cut between any two calls.
 *
 * The oracle is `KvModel`: after a crash every key holds what some number of its calls leave, never
 * less than what was acknowledged, batches whole, with the versions and places of creation that were
 * acknowledged; every order of walking tells the same; and at the end no row or extent is left over.
 */
import { isHoldfastError, onCut, SILENT, sleep, systemErrorCode } from '@holdfast/core';
import { rebalanceDatabase } from '@holdfast/database';
import {
  type Fault,
  type HistoryRange,
  isSimDead,
  runHistories,
  SeededRandom,
  SimClock,
  SimFs,
} from '@holdfast/testkit';
import { KvEngine, type KvEntry, type KvStore } from '../src/index.ts';
import { EngineLife, SETTINGS } from './engine-life.ts';
import { assertNoLeaks } from './engine-rows.ts';
import { KvModel, type ModelCall } from './kv-model.ts';

export interface KvHistoryTotals {
  histories: number;
  crashes: number;
  commits: number;
  checkpoints: number;
  found: number;
}

/** The process ends at a cut point, or the power goes. */
export interface ArmedKvCut {
  readonly point: string;
  readonly way: 'kill' | 'power cut';
  readonly nth: number;
}

/** And the seed. */
const REPLAY = 'npm run simulate -- --only kv --histories 1 --seed';
const KEYS = ['a', 'b', 'ab', 'c/d', '\uffff', '😀', '__proto__', 'e'];
const STORES = ['one', 'two'];
const TTL_MS = 2_000;
/** Keys enough to be in every shard. */
const NUDGES = 24;
const GENERATIONS = 4;
const STEPS = 24;
const QUICK = { purgeIntervalMs: 500, purgeStartGraceMs: 0 };
const SMALL = { ...SETTINGS, checkpointLogBytes: 32 * 1024, segmentTargetBytes: 40 * 1024 };
const EXPECTED: ReadonlySet<string> = new Set(['STORAGE_UNAVAILABLE', 'NODE_FAILED']);

export async function runKvHistories(range: HistoryRange): Promise<KvHistoryTotals> {
  const totals = { histories: 0, crashes: 0, commits: 0, checkpoints: 0, found: 0 };
  await runHistories(range, REPLAY, async (seed) => {
    await new History(seed, totals).run();
    totals.histories++;
  });
  return totals;
}

/** Whether the armed point was reached; rejects when a promise is broken. */
export async function runArmedKvHistory(seed: number, armed: ArmedKvCut): Promise<boolean> {
  const totals = { histories: 0, crashes: 0, commits: 0, checkpoints: 0, found: 0 };
  const history = new History(seed, totals, armed);
  const off = onCut((name) => history.passed(name));
  try {
    await history.run();
  } catch (cause) {
    const { point, way, nth } = armed;
    throw new Error(`broken seed=${seed} point=${point} way=${way} nth=${nth}: ${String(cause)}`, {
      cause,
    });
  } finally {
    off();
  }
  return history.fired;
}

class History {
  fired = false;
  readonly #armed: ArmedKvCut | undefined;
  readonly #random: SeededRandom;
  readonly #totals: KvHistoryTotals;
  readonly #models = new Map(STORES.map((name) => [name, new KvModel()]));
  #fs = new SimFs();
  #clock: SimClock;
  #passed = 0;
  #last = false;
  #written = 0;
  #stores = new Map<string, KvStore>();
  #sent: Promise<void>[] = [];

  constructor(seed: number, totals: KvHistoryTotals, armed?: ArmedKvCut) {
    this.#armed = armed;
    this.#random = new SeededRandom(seed);
    this.#clock = new SimClock(this.#random);
    this.#totals = totals;
  }

  async run(): Promise<void> {
    for (let generation = 0; generation < GENERATIONS; generation++) {
      this.#last = generation === GENERATIONS - 1;
      const dies = !this.#last && this.#armed === undefined;
      const fault = dies ? this.#fs.disk.faults.plan(this.#death()) : undefined;
      await this.#clock.run(this.#live());
      fault?.remove();
      if (!this.#last) this.#crash();
    }
  }

  passed(name: string): void {
    const { point, nth } = this.#armed ?? {};
    if (name !== point || this.#last || this.fired || ++this.#passed !== nth) return;
    this.fired = true;
    this.#fs.disk.halt();
  }

  #death(): Fault {
    const performed = this.#random.integer(2) === 0;
    return { effect: 'halt', nth: 1 + this.#random.integer(260), performed };
  }

  #crash(): void {
    this.#totals.crashes++;
    const kill =
      this.#armed === undefined ? this.#random.integer(4) === 0 : this.#armed.way === 'kill';
    this.#fs = kill ? this.#fs.kill() : this.#fs.powerCut(this.#random);
    this.#clock = this.#clock.nextIncarnation();
  }

  async #live(): Promise<void> {
    this.#sent = []; // those of the last life never end
    try {
      if (this.#random.integer(4) === 0) await this.#rebalance();
      const life = await this.#open();
      for (let step = 0; step < STEPS; step++) await this.#step(life);
      await this.#quiet();
      if (this.#last) await this.#end(life);
      else if (this.#random.integer(3) === 0) await life.close();
    } catch (error) {
      if (!isExpected(error)) throw error;
      if (this.#last) throw error;
    }
  }

  async #open(): Promise<EngineLife> {
    const cache = this.#random.integer(2) === 0 ? { entryCacheBytes: 0 } : {};
    const life = await EngineLife.open(this.#components, SMALL, { ...QUICK, ...cache });
    this.#stores = new Map(STORES.map((name) => [name, life.engine.store(name)]));
    for (const [name, store] of this.#stores) {
      const found = await this.#found(store);
      this.#model(name).recover(found, this.#clock.now());
      const last = await store.lastChange();
      if (last < this.#model(name).highestChange) throw new Error('numbers of changes fell back');
    }
    return life;
  }

  /** What every way of reading agrees on. */
  async #found(store: KvStore): Promise<Map<string, KvEntry>> {
    const found = new Map<string, KvEntry>();
    for await (const entry of store.entries()) found.set(entry.key, entry);
    const forward = [...found.keys()];
    const back: string[] = [];
    for await (const key of store.keys({ reverse: true })) back.push(key);
    same('backward', back.reverse(), forward);
    const { entries: created } = await store.page({ order: 'created', limit: 1000 });
    same('created', created.map(({ key }) => key).toSorted(), forward.toSorted());
    const numbers = created.map(({ seq }) => seq);
    same(
      'order of creation',
      numbers,
      numbers.toSorted((a, b) => b - a),
    );
    for (const [key, entry] of found) {
      same(key, await store.getEntry(key), entry);
      this.#totals.found++;
    }
    return found;
  }

  async #step(life: EngineLife): Promise<void> {
    const dice = this.#random.integer(20);
    if (dice < 9) this.#put();
    else if (dice < 12) this.#delete();
    else if (dice < 15) this.#batch();
    else if (dice === 15) await this.#condition();
    else if (dice === 16) await this.#expire();
    else if (dice === 17) {
      await life.database.checkpoint();
      this.#totals.checkpoints++;
    } else if (dice === 18) await life.database.compact();
    else await this.#compare();
    if (this.#random.integer(3) === 0) await this.#quiet();
  }

  /** A process that lives sees what was acknowledged, and nothing else. */
  async #compare(): Promise<void> {
    await this.#quiet();
    for (const [name, store] of this.#stores) {
      for (const [key, { base }] of this.#model(name).keys) {
        const entry = await store.getEntry(key);
        const value = entry === undefined ? undefined : Buffer.from(entry.value).toString();
        same(
          `${name} ${key}`,
          [value?.slice(0, 40), entry?.version],
          [base?.value?.slice(0, 40), base?.version],
        );
      }
    }
  }

  /** What is being read while it changes must not be remembered as it was. */
  #glance(name: string, key: string): void {
    if (this.#random.integer(2) === 0)
      this.#store(name)
        .get(key)
        .catch(() => undefined);
  }

  #put(): void {
    const [name, key] = this.#place();
    this.#glance(name, key);
    const value = this.#value();
    const ttlMs = this.#random.integer(6) === 0 ? TTL_MS : undefined;
    const expiresAtMs = ttlMs === undefined ? undefined : this.#clock.now() + ttlMs;
    const calls = this.#model(name).call([{ key, value, expiresAtMs }]);
    const sent = this.#store(name).put(key, Buffer.from(value), { ttlMs });
    this.#track(
      name,
      calls,
      sent.then((ack) => [ack]),
    );
  }

  #delete(): void {
    const [name, key] = this.#place();
    const calls = this.#model(name).call([{ key, value: undefined }]);
    this.#track(
      name,
      calls,
      this.#store(name)
        .del(key)
        .then((ack) => [ack]),
    );
  }

  #batch(): void {
    const [name] = this.#place();
    const keys = new Set(
      Array.from({ length: 1 + this.#random.integer(4) }, () => this.#place()[1]),
    );
    const changes = [...keys].map((key) => ({
      key,
      value: this.#random.integer(3) === 0 ? undefined : this.#value(),
    }));
    const calls = this.#model(name).call(changes);
    const sent = this.#store(name).batch(
      changes.map(({ key, value }) =>
        value === undefined
          ? { type: 'del', key }
          : { type: 'put', key, value: Buffer.from(value) },
      ),
    );
    this.#track(name, calls, sent);
  }

  /** Alone, so that what it has to come to is known. */
  async #condition(): Promise<void> {
    await this.#quiet();
    const [name, key] = this.#place();
    const { base } = this.#model(name).of(key);
    const value = this.#value();
    const store = this.#store(name);
    const { version } = (await store.getEntry(key)) ?? {};
    if ((version === undefined) !== (base === undefined))
      throw new Error(`${key} is not the model's`);
    const stale = store.put(key, Buffer.from('never'), { ifVersion: (version ?? 0) + 1_000_000 });
    await stale.then(
      () => {
        throw new Error('a condition that fails was met');
      },
      (error: unknown) => {
        if (!isHoldfastError(error) || error.code !== 'PRECONDITION_FAILED') throw error;
      },
    );
    const calls = this.#model(name).call([{ key, value }]);
    const condition = version === undefined ? { ifAbsent: true } : { ifVersion: version };
    const sent = store.put(key, Buffer.from(value), condition);
    this.#track(
      name,
      calls,
      sent.then((ack) => [ack]),
    );
  }

  async #expire(): Promise<void> {
    await this.#quiet();
    await sleep(this.#clock, TTL_MS + 3 * QUICK.purgeIntervalMs);
    for (const model of this.#models.values()) model.settle(this.#clock.now());
  }

  #track(
    name: string,
    calls: readonly ModelCall[],
    sent: Promise<readonly { readonly changed: boolean; readonly version: number }[]>,
  ): void {
    const model = this.#model(name);
    const tracked = sent.then((acks) => {
      this.#totals.commits++;
      for (const [at, call] of calls.entries()) {
        call.acked = true;
        const version = acks[at]?.version ?? 0;
        call.changed = acks[at]?.changed ?? false;
        if (call.value !== undefined) call.version = version;
        model.highestChange = Math.max(model.highestChange, version);
      }
    });
    tracked.catch(() => undefined); // heard of in #quiet
    this.#sent.push(tracked);
  }

  async #quiet(): Promise<void> {
    const sent = this.#sent;
    this.#sent = [];
    const results = await Promise.allSettled(sent);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    for (const model of this.#models.values()) model.settle(this.#clock.now());
  }

  async #rebalance(): Promise<void> {
    if ((await this.#fs.stat(`${SETTINGS.dir}/layout.json`)) === undefined) return;
    const engine = new KvEngine({ clock: this.#clock });
    const shardCount = [1, 2, 4][this.#random.integer(3)] as number;
    await rebalanceDatabase(this.#components, { ...SMALL, shardCount }, [engine]);
    await engine.close();
  }

  /** Everything is well once more, and nothing is left over. */
  async #end(life: EngineLife): Promise<void> {
    await life.close();
    const again = await this.#open();
    const problems = await again.database.verify();
    if (problems.length > 0) throw new Error(`verify: ${JSON.stringify(problems)}`);
    await sleep(this.#clock, TTL_MS + 3 * QUICK.purgeIntervalMs);
    for (let cuts = 0; cuts < 3; cuts++) {
      // One writes the graves, the next of the shard frees what was found meanwhile.
      for (let at = 0; at < NUDGES; at++) {
        await this.#store('one').put(`nudge${at}`, Buffer.from(`${cuts}`));
      }
      await again.database.checkpoint();
      await sleep(this.#clock, 1_000);
    }
    await assertNoLeaks(again.database, this.#stores);
    await again.close();
  }

  #store(name: string): KvStore {
    return this.#stores.get(name) as KvStore;
  }

  #model(name: string): KvModel {
    return this.#models.get(name) as KvModel;
  }

  #place(): [store: string, key: string] {
    const name = STORES[this.#random.integer(STORES.length)] as string;
    return [name, KEYS[this.#random.integer(KEYS.length)] as string];
  }

  /** No value twice. */
  #value(): string {
    const length = [1, 100, 700, 5_000, 9_000][this.#random.integer(5)] as number;
    return `${++this.#written}.`.repeat(length).slice(0, Math.max(length, 8));
  }

  get #components() {
    return { clock: this.#clock, random: this.#random, logger: SILENT, fileSystem: this.#fs };
  }
}

function same(what: string, found: unknown, wanted: unknown): void {
  if (JSON.stringify(found) === JSON.stringify(wanted)) return;
  throw new Error(`${what}: ${JSON.stringify(found)} and ${JSON.stringify(wanted)}`.slice(0, 500));
}

function isExpected(error: unknown): boolean {
  if (isSimDead(error)) return true;
  if (isHoldfastError(error)) return EXPECTED.has(error.code);
  return systemErrorCode(error) !== undefined;
}
