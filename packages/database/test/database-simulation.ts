/**
 * Crash histories of the whole database on a simulated disk: random commits, checkpoints and
 * merges, power cuts and kills between any two calls, recovery of recovery. One seed gives one
 * history.
 *
 * The oracle: every commit also writes its number under one key, so the state found after a
 * crash names the commit it stands at. It must be no older than the last acknowledged commit, and
 * equal the model after exactly that many commits: atomic, in order, complete.
 */
import { isHoldfastError, systemErrorCode } from '@holdfast/core';
import {
  type Fault,
  type FaultEffect,
  isSimDead,
  SeededRandom,
  SimClock,
  SimFs,
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
}

type Changes = ReadonlyMap<string, Buffer | undefined>;
type Model = ReadonlyMap<string, Buffer>;

const COUNTER = '#';
const FAILURES: readonly FaultEffect[] = ['EIO', 'ENOSPC', 'short-write'];
/** What a node may say when its disk fails. Damage and broken invariants are not among them. */
const EXPECTED: ReadonlySet<string> = new Set(['STORAGE_UNAVAILABLE', 'DISK_FULL', 'NODE_FAILED']);
const GENERATIONS = 4;
const COMMITS_PER_GENERATION = 14;

export async function runDatabaseHistories(options: {
  readonly seed: number;
  readonly count: number;
}): Promise<HistoryTotals> {
  const totals: HistoryTotals = {
    histories: 0,
    crashes: 0,
    commits: 0,
    checkpoints: 0,
    failures: 0,
  };
  for (let i = 0; i < options.count; i++) {
    const seed = options.seed + i;
    try {
      await new History(seed, totals).run();
    } catch (cause) {
      throw new Error(
        `database history failed, replay with: npm run simulate -- --only database --histories 1 --seed ${seed}`,
        {
          cause,
        },
      );
    }
    totals.histories++;
  }
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

  constructor(seed: number, totals: HistoryTotals) {
    this.#random = new SeededRandom(seed);
    this.#totals = totals;
    this.#clock = new SimClock(this.#random);
    this.#fs = new SimFs();
  }

  async run(): Promise<void> {
    for (let generation = 0; generation < GENERATIONS; generation++) {
      const last = generation === GENERATIONS - 1;
      const fault = last ? undefined : this.#fs.disk.faults.plan(this.#fault(generation));
      await this.#clock.run(this.#live(last));
      fault?.remove();
      if (!last) this.#crash();
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
    this.#fs = this.#random.integer(4) === 0 ? this.#fs.kill() : this.#fs.powerCut(this.#random);
    this.#clock = this.#clock.nextIncarnation();
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
    const problems = await database.verify();
    if (problems.length > 0) throw new Error(`verify: ${JSON.stringify(problems)}`);
    await database.close();
  }

  async #open(): Promise<{ database: Database; engine: RowEngine }> {
    const engine = new RowEngine();
    const database = await openDatabase(
      { fileSystem: this.#fs, clock: this.#clock, random: this.#random },
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
    const dice = this.#random.integer(12);
    if (dice === 0) {
      await database.checkpoint();
      this.#totals.checkpoints++;
    } else if (dice === 1) {
      await database.compact();
    } else if (dice === 2) {
      await this.#check(engine);
    } else {
      await this.#burst(engine);
    }
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
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
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

function isExpected(error: unknown): boolean {
  if (isSimDead(error)) return true;
  if (isHoldfastError(error)) return EXPECTED.has(error.code);
  return systemErrorCode(error) !== undefined;
}
