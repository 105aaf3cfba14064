/**
 * The fs store on a disk that fails, fills up and loses power, against a model of what may be
 * there. What a read has shown must still be there after the next power cut.
 */
import assert from 'node:assert/strict';
import { HoldfastError, hasCode, isHoldfastError } from '@holdfast/core';
import { type ObjectStore, openFsObjectStore, readObject } from '@holdfast/objects';
import {
  type FaultEffect,
  type HistoryRange,
  runHistories,
  SeededRandom,
  SimClock,
  SimFs,
} from '@holdfast/testkit';

const KEYS = ['a', 'a/b', 'folder/one', 'folder/two', 'Deep/er/\u00e9'];
const STEPS = 40;

/** And the seed. */
const REPLAY = 'npm run simulate -- --only objects --histories 1 --seed';

export interface ObjectHistoryTotals {
  histories: number;
  acknowledged: number;
  failed: number;
  uncertain: number;
  crashes: number;
}

export async function runObjectHistories(range: HistoryRange): Promise<ObjectHistoryTotals> {
  const totals = { histories: 0, acknowledged: 0, failed: 0, uncertain: 0, crashes: 0 };
  await runHistories(range, REPLAY, async (seed) => {
    await new History(seed, totals).run();
    totals.histories++;
  });
  return totals;
}

class History {
  readonly random: SeededRandom;
  readonly #seed: number;
  readonly #totals: ObjectHistoryTotals;
  #fileSystem: SimFs = new SimFs();
  #store!: ObjectStore;
  /** For each key what it may hold: contents, or `undefined` for no object. */
  readonly #possible = new Map<string, Set<string | undefined>>();
  #writes = 0;

  constructor(seed: number, totals: ObjectHistoryTotals) {
    this.#totals = totals;
    this.#seed = seed;
    this.random = new SeededRandom(seed);
    for (const key of KEYS) this.#possible.set(key, new Set([undefined]));
  }

  async run(): Promise<void> {
    await this.#open();
    for (let step = 0; step < STEPS; step++) {
      if (this.random.chance(0.3)) this.#planFault();
      await this.#change();
      this.#fileSystem.disk.faults.clear();
      if (!this.#fileSystem.alive || this.random.chance(0.1)) await this.#restart();
      if (this.random.chance(0.4)) await this.#look();
    }
    await this.#restart();
    await this.#look();
    await this.#restart();
    await this.#look();
  }

  #planFault(): void {
    const effect = this.random.pick<FaultEffect>([
      'halt',
      'halt',
      'EIO',
      'EIO',
      'ENOSPC',
      'EMFILE',
      'EACCES',
      'short-write',
      'lying-sync',
    ]);
    const nth = this.random.between(1, 12);
    this.#fileSystem.disk.faults.plan({
      effect,
      nth,
      performed: this.random.chance(0.5),
      // A lock that is taken although the call failed is held as long as the process lives.
      path: (path) => !path.includes('/locks'),
    });
  }

  async #change(): Promise<void> {
    const key = this.random.pick(KEYS);
    const possible = this.#at(key);
    const content = `${++this.#writes}:${'x'.repeat(this.random.between(0, 3_000))}`;
    const kind = this.random.pick(['put', 'put', 'ifAbsent', 'ifMatch', 'delete'] as const);
    const after = kind === 'delete' ? undefined : content;
    try {
      if (kind === 'delete') {
        await this.#store.delete(key);
      } else if (kind === 'ifMatch') {
        const { etag } = await this.#store.head(key);
        await this.#store.put(key, Buffer.from(content), { ifMatch: etag });
        assert.ok([...possible].some((each) => each !== undefined));
      } else {
        const ifAbsent = kind === 'ifAbsent';
        await this.#store.put(key, Buffer.from(content), { ifAbsent });
        if (ifAbsent) assert.ok(possible.has(undefined), `${key} was there`);
      }
      this.#possible.set(key, new Set([after]));
      this.#totals.acknowledged++;
    } catch (error) {
      if (!isHoldfastError(error) || error.code === 'INVARIANT_VIOLATED') throw error;
      this.#totals.failed++;
      if (error.effect === 'unknown') this.#totals.uncertain++;
      if (error.effect === 'unknown' || !this.#fileSystem.alive) possible.add(after);
      if (error.code === 'OBJECT_NOT_FOUND') this.#possible.set(key, new Set([undefined]));
      if (error.code === 'PRECONDITION_FAILED' && kind === 'ifAbsent') {
        possible.delete(undefined);
        assert.ok(possible.size > 0, `${key} was not there`);
      }
    }
    if (await this.#isFailed()) await this.#open();
  }

  async #isFailed(): Promise<boolean> {
    if (!this.#fileSystem.alive) return false;
    try {
      await this.#store.head('never-there');
      return true;
    } catch (error) {
      return !hasCode(error, 'OBJECT_NOT_FOUND');
    }
  }

  /** Reads everything, and takes what it saw for the truth from now on. */
  async #look(): Promise<void> {
    const listed = (await this.#store.list()).objects.map((object) => object.key);
    for (const key of KEYS) {
      const possible = this.#at(key);
      let found: string | undefined;
      try {
        found = (await readObject(this.#store, key, { maxBytes: 10_000 })).toString();
      } catch (error) {
        if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error;
      }
      assert.ok(possible.has(found), `${key}: ${String(found).slice(0, 10)}`);
      assert.equal(listed.includes(key), found !== undefined, `${key} listed`);
      this.#possible.set(key, new Set([found]));
    }
  }

  async #restart(): Promise<void> {
    this.#totals.crashes++;
    this.#fileSystem = this.random.chance(0.7)
      ? this.#fileSystem.powerCut(this.random)
      : this.#fileSystem.kill();
    await this.#open();
    if (this.random.chance(0.5)) await this.#store.removeLeftovers({ olderThanMs: -1 });
  }

  async #open(): Promise<void> {
    const clock = new SimClock(new SeededRandom(this.#seed));
    const components = { fileSystem: this.#fileSystem, clock, random: this.random };
    for (;;) {
      try {
        this.#store = await openFsObjectStore({ directory: '/data' }, components);
        return;
      } catch (error) {
        if (!this.#fileSystem.alive) return; // the history restarts
        if (!(error instanceof HoldfastError)) throw error;
        this.#fileSystem.disk.faults.clear();
      }
    }
  }

  #at(key: string): Set<string | undefined> {
    return this.#possible.get(key) as Set<string | undefined>;
  }
}
