/**
 * Crash histories of the whole database on a simulated disk: random commits, checkpoints and
 * merges beside each other, power cuts and kills between any two calls, recovery of recovery,
 * disks that fill up and get room again, copies of metadata that rot or vanish at a restart and
 * while the database runs. Every second history is encrypted, its keys rotated and retired. One seed
 * gives one history.
 *
 * The oracle: every commit also writes its number under one key, so the state found after a
 * crash names the commit it stands at. It must be no older than the last acknowledged commit, and
 * equal the model after exactly that many commits: atomic, in order, complete.
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import { isHoldfastError, keyIdOf, KeyRing, sleep, systemErrorCode } from '@holdfast/core';
import {
  type Fault,
  type FaultEffect,
  isSimDead,
  type NextLifeOptions,
  SeededRandom,
  SimClock,
  SimFs,
  type HistoryRange,
  runHistories,
} from '@holdfast/testkit';
import { type Database, openDatabase } from '../src/index.ts';
import { RowEngine } from './row-engine.ts';

export interface HistoryTotals {
  histories: number;
  crashes: number;
  commits: number;
  checkpoints: number;
  /** Lives in which a call was to fail instead of the process to end. */
  failures: number;
  /** Commits refused by a full disk, with the certainty that nothing was written. */
  refusals: number;
  /** Copies of metadata, and footers of extent files, that rotted or were lost. */
  rots: number;
  /** Damages found and mended. */
  repairs: number;
  /** Rotations that were done to the end. */
  rotations: number;
  /** Keys that were given up, because nothing was left under them. */
  retired: number;
}

type Changes = ReadonlyMap<string, Buffer | undefined>;
type Model = ReadonlyMap<string, Buffer>;

const COUNTER = '#';
const FAILURES: readonly FaultEffect[] = ['EIO', 'ENOSPC', 'short-write'];
/** What a node may say when its disk fails. Damage and broken invariants are not among them. */
const EXPECTED: ReadonlySet<string> = new Set(['STORAGE_UNAVAILABLE', 'DISK_FULL', 'NODE_FAILED']);
/** And the seed. */
const REPLAY = 'npm run simulate -- --only database --histories 1 --seed';
const GENERATIONS = 4;
const COMMITS_PER_GENERATION = 14;
/** Longest a database may take to write again once there is room. */
const RESUME_MS = 5_000;

export async function runDatabaseHistories(range: HistoryRange): Promise<HistoryTotals> {
  const totals: HistoryTotals = {
    histories: 0,
    crashes: 0,
    commits: 0,
    checkpoints: 0,
    failures: 0,
    refusals: 0,
    rots: 0,
    repairs: 0,
    rotations: 0,
    retired: 0,
  };
  await runHistories(range, REPLAY, async (seed) => {
    await new History(seed, totals).run();
    totals.histories++;
  });
  return totals;
}

class History {
  readonly #random: SeededRandom;
  readonly #totals: HistoryTotals;
  /** Model after n commits, by n; the state must always equal one of them. */
  #models: Model[] = [new Map()];
  #acknowledged = 0;
  #fs: SimFs;
  #clock: SimClock;
  /** What the operator has, the active one first; empty in a plain history. */
  #keys: readonly KeyObject[];
  #keysMade = 0;

  constructor(seed: number, totals: HistoryTotals) {
    this.#keys = seed % 2 === 0 ? [this.#newKey()] : [];
    this.#random = new SeededRandom(seed);
    this.#totals = totals;
    this.#clock = new SimClock(this.#random);
    this.#fs = new SimFs(this.#interleaving());
  }

  /** In most lives calls end in any order, so that whatever runs at the same time meets. */
  #interleaving(): NextLifeOptions {
    const clock = this.#clock;
    return this.#random.integer(3) === 0 ? {} : { yieldPoint: () => clock.yieldPoint() };
  }

  async run(): Promise<void> {
    for (let generation = 0; generation < GENERATIONS; generation++) {
      const last = generation === GENERATIONS - 1;
      const fault = last ? undefined : this.#fs.disk.faults.plan(this.#fault(generation));
      await this.#clock.run(this.#live(last));
      fault?.remove();
      if (!last) this.#crash();
      if (generation >= GENERATIONS - 2) this.#relieve();
    }
  }

  /** Mostly the end of the process at some call; sometimes a call that fails or falls short. */
  #fault(generation: number): Fault {
    const kind = this.#random.integer(10);
    const effect = kind < 7 ? 'halt' : FAILURES[kind - 7];
    const nth = 1 + this.#random.integer(generation === 0 ? 260 : 180);
    if (effect === 'halt') return { effect, nth, performed: this.#random.integer(2) === 0 };
    this.#totals.failures++;
    return { effect: effect as FaultEffect, nth };
  }

  #crash(): void {
    this.#totals.crashes++;
    this.#clock = this.#clock.nextIncarnation();
    const next = this.#interleaving();
    if (this.#random.integer(4) === 0) {
      this.#fs = this.#fs.kill(next);
      return;
    }
    this.#fs = this.#fs.powerCut(this.#random, next);
    // Whatever has a name now keeps it; after a kill a second copy might still lose its own.
    for (let i = this.#random.integer(4); i > 0; i--) this.#rot(this.#wholePairs());
    if (this.#random.integer(4) === 0) this.#rotFooter();
  }

  /** Files that rest twice and are whole in both copies. */
  #wholePairs(): string[] {
    const { disk } = this.#fs;
    const paths = new Set(disk.paths());
    return [...paths].filter((path) => {
      const mirror = `${path}.mirror`;
      return paths.has(mirror) && disk.content(path).equals(disk.content(mirror));
    });
  }

  /** One copy of one of them is damaged or lost. */
  #rot(pairs: readonly string[]): void {
    if (pairs.length === 0) return;
    const { disk } = this.#fs;
    const pair = pairs[this.#random.integer(pairs.length)] as string;
    const path = this.#random.integer(2) === 0 ? pair : `${pair}.mirror`;
    const { length } = disk.content(path);
    const way = this.#random.integer(4);
    if (way === 0) disk.deleteFile(path);
    else if (way === 1) disk.truncateFile(path, this.#random.integer(length));
    else disk.flipBit(path, this.#random.integer(length), this.#random.integer(8));
    this.#totals.rots++;
  }

  #rotFooter(): void {
    const { disk } = this.#fs;
    const files = disk.paths().filter((path) => path.endsWith('.hfx'));
    if (files.length === 0) return;
    const path = files[this.#random.integer(files.length)] as string;
    const { length } = disk.content(path);
    if (length < 128) return;
    disk.flipBit(path, length - 1 - this.#random.integer(128), this.#random.integer(8));
    this.#totals.rots++;
  }

  /** Only what is whole and durable twice: two faults at once are more than is promised. */
  async #rotWhileRunning(): Promise<void> {
    const before = this.#wholePairs();
    await this.#fs.syncDirectory('/data');
    const after = new Set(this.#wholePairs());
    this.#rot(before.filter((path) => after.has(path)));
  }

  async #scrub(database: Database): Promise<void> {
    await database.scrub();
    this.#totals.repairs += database.stats().integrity.repaired;
  }

  async #live(toTheEnd: boolean): Promise<void> {
    try {
      const { database, engine } = await this.#open();
      await this.#check(engine);
      for (let i = 0; i < COMMITS_PER_GENERATION; i++) await this.#step(database, engine);
      await this.#check(engine);
      if (toTheEnd || this.#random.integer(3) === 0) {
        await database.close();
        if (toTheEnd) await this.#reopenAndVerify();
      }
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
  }

  async #reopenAndVerify(): Promise<void> {
    const { database, engine } = await this.#open();
    await this.#check(engine);
    this.#relieve(); // mending takes room
    await this.#scrub(database);
    const problems = await database.verify();
    if (problems.length > 0) throw new Error(`verify: ${JSON.stringify(problems)}`);
    await database.close();
  }

  async #open(): Promise<{ database: Database; engine: RowEngine }> {
    const engine = new RowEngine();
    const database = await openDatabase(
      {
        fileSystem: this.#fs,
        clock: this.#clock,
        random: this.#random,
        ...(this.#keys.length === 0 ? {} : { keys: new KeyRing(this.#keys, this.#random) }),
      },
      {
        dir: '/data',
        shardCount: 2,
        checkpointLogBytes: 24 * 1024,
        segmentTargetBytes: 32 * 1024,
        preallocateBytes: 8 * 1024,
        diskReserveBytes: 0,
      },
      [engine],
    );
    return { database, engine };
  }

  async #step(database: Database, engine: RowEngine): Promise<void> {
    if (this.#keys.length > 0 && this.#random.integer(12) === 0) {
      return allOf([this.#turnKeys(database), this.#burst(engine), this.#checkpoint(database)]);
    }
    const dice = this.#random.integer(16);
    if (dice === 0) {
      await this.#checkpoint(database);
    } else if (dice === 1) {
      await database.compact();
    } else if (dice === 2) {
      await this.#check(engine);
    } else if (dice === 3) {
      await allOf([this.#checkpoint(database), this.#burst(engine), database.compact()]);
    } else if (dice === 4) {
      await this.#squeezeOrRelieve(engine);
    } else if (dice === 5) {
      await this.#rotWhileRunning();
    } else if (dice === 6 && this.#random.integer(2) === 0) {
      await allOf([this.#scrub(database), this.#burst(engine), this.#checkpoint(database)]);
    } else {
      await this.#burst(engine);
    }
  }

  #newKey(): KeyObject {
    return createSecretKey(Buffer.alloc(32, ++this.#keysMade));
  }

  /** A new key, or the oldest one given up when nothing is under it. */
  async #turnKeys(database: Database): Promise<void> {
    const oldest = this.#keys.at(-1) as KeyObject;
    try {
      if (this.#keys.length < 3) {
        this.#keys = [this.#newKey(), ...this.#keys]; // it is kept whatever comes of it
        await database.rotateKeys(this.#keys);
        this.#totals.rotations++;
      } else {
        await database.scrub();
        await database.retireKey(keyIdOf(oldest));
        this.#totals.retired++;
        this.#keys = this.#keys.filter((key) => key !== oldest);
      }
    } catch (error) {
      if (isHoldfastError(error) && error.code === 'KEY_IN_USE') return;
      if (!this.#isFull || database.state === 'failed') throw error;
    }
  }

  async #checkpoint(database: Database): Promise<void> {
    try {
      await database.checkpoint();
      this.#totals.checkpoints++;
    } catch (error) {
      if (!this.#isFull || database.state === 'failed') throw error;
    }
  }

  get #isFull(): boolean {
    return this.#fs.disk.capacityBytes !== Infinity;
  }

  /** The disk fills up but for a little, or has room again: then writing must go on by itself. */
  async #squeezeOrRelieve(engine: RowEngine): Promise<void> {
    const { disk } = this.#fs;
    if (!this.#isFull) {
      disk.capacityBytes = disk.usedBytes + this.#random.integer(48 * 1024);
      return;
    }
    this.#relieve();
    const wanted = this.#acknowledged;
    for (let waitedMs = 0; this.#acknowledged === wanted; waitedMs += 500) {
      if (waitedMs > RESUME_MS) throw new Error('writing did not go on though there is room');
      await this.#burst(engine);
      await sleep(this.#clock, 500);
    }
  }

  #relieve(): void {
    this.#fs.disk.capacityBytes = Infinity;
  }

  /** Several commits in flight at once; acknowledged ones are noted in order. */
  async #burst(engine: RowEngine): Promise<void> {
    const count = 1 + this.#random.integer(3);
    const writes: Promise<void>[] = [];
    for (let i = 0; i < count; i++) {
      const number = this.#models.length;
      const changes = this.#changes(number);
      this.#models.push(applied(this.#models[number - 1] as Model, changes));
      writes.push(
        engine.write(changes).then(() => {
          if (number !== this.#acknowledged + 1) throw new Error('acknowledged out of order');
          this.#acknowledged = number;
          this.#totals.commits++;
        }),
      );
    }
    const results = await Promise.allSettled(writes);
    const failures = results.filter((result) => result.status === 'rejected');
    if (failures.length === 0) return;
    if (!failures.every((failure) => isRefusal(failure.reason))) throw failures[0]?.reason;
    this.#totals.refusals += failures.length;
    this.#models = this.#models.slice(0, this.#acknowledged + 1);
  }

  #changes(number: number): Changes {
    const changes = new Map<string, Buffer | undefined>();
    const size = 1 + this.#random.integer(3);
    for (let i = 0; i < size; i++) {
      const key = `k${this.#random.integer(9)}`;
      changes.set(key, this.#random.integer(4) === 0 ? undefined : this.#value(number));
    }
    changes.set(COUNTER, Buffer.from(String(number)));
    return changes;
  }

  #value(number: number): Buffer {
    const length = [3, 40, 70, 900][this.#random.integer(4)] as number;
    return Buffer.alloc(length, `${number}.`);
  }

  /** The state is the model after some commit at or after the last acknowledged one. */
  async #check(engine: RowEngine): Promise<void> {
    const counter = await engine.get(COUNTER);
    const found = counter === undefined ? 0 : Number(counter.toString());
    if (found < this.#acknowledged) {
      throw new Error(`lost: acknowledged=${this.#acknowledged} found=${found}`);
    }
    const model = this.#models[found];
    if (model === undefined) throw new Error(`from nowhere: found=${found}`);
    const expected = [...model.keys()].sort();
    if (JSON.stringify(engine.keys()) !== JSON.stringify(expected)) {
      throw new Error(`keys differ at ${found}: ${engine.keys().join()} / ${expected.join()}`);
    }
    for (const [key, value] of model) {
      const actual = await engine.get(key);
      if (actual === undefined || !actual.equals(value)) {
        throw new Error(`value differs at ${found} key=${key}`);
      }
    }
    this.#models = this.#models.slice(0, found + 1);
    this.#acknowledged = found;
  }
}

function applied(model: Model, changes: Changes): Model {
  const next = new Map(model);
  for (const [key, value] of changes) {
    if (value === undefined) next.delete(key);
    else next.set(key, value);
  }
  return next;
}

/** All run to their end before the first failure is thrown. */
async function allOf(work: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) {
    if (result.status === 'rejected') throw result.reason;
  }
}

/** Nothing of the commit was written, and the next may be. */
function isRefusal(error: unknown): boolean {
  return isHoldfastError(error) && error.code === 'DISK_FULL' && error.effect === 'none';
}

function isExpected(error: unknown): boolean {
  if (isSimDead(error)) return true;
  if (isHoldfastError(error)) return EXPECTED.has(error.code);
  return systemErrorCode(error) !== undefined;
}
