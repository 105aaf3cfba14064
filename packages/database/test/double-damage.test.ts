/**
 * Up to five damages at once, anywhere outside of the log. A start is refused by name, or each key is
 * there with its value or a typed error; and nothing that could be read before a scrub, a merge, a
 * stop or a power cut is lost by it: no mending takes the last good copy of anything.
 */
import { isHoldfastError } from '@holdfast/core';
import { SeededRandom, SimClock, type SimDisk, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { type Database, openDatabase } from '../src/index.ts';
import { RowEngine } from './row-engine.ts';

const HISTORIES = Number(process.env['HOLDFAST_DOUBLE_DAMAGE'] ?? 60);
const SETTINGS = {
  dir: '/data',
  shardCount: 2,
  segmentTargetBytes: 16 * 1024,
  preallocateBytes: 8 * 1024,
  diskReserveBytes: 0,
};

type Model = Map<string, string>;

function inLife<T>(
  disk: SimDisk,
  work: (database: Database, rows: RowEngine) => Promise<T>,
): Promise<T> {
  const random = new SeededRandom(3);
  const clock = new SimClock(random);
  const rows = new RowEngine();
  const fileSystem = new SimFs({ disk });
  const opening = openDatabase({ fileSystem, clock, random }, SETTINGS, [rows]);
  return clock.run(opening.then((database) => work(database, rows)));
}

/** Rows and extents, replaced and deleted; scrubbed and stopped, or not. */
async function fill(random: SeededRandom, model: Model): Promise<SimDisk> {
  const { disk } = new SimFs();
  await inLife(disk, async (database, rows) => {
    for (let i = 0; i < 30; i++) {
      const key = `k${random.integer(12)}`;
      const length = [2, 50, 900, 3000][random.integer(4)] as number;
      const value = random.integer(5) === 0 ? undefined : `${i}.`.repeat(length);
      await rows.write(new Map([[key, value === undefined ? value : Buffer.from(value)]]));
      if (value === undefined) model.delete(key);
      else model.set(key, value);
      if (random.integer(6) === 0) await database.checkpoint();
    }
    if (random.integer(2) === 0) await database.scrub();
    if (random.integer(3) > 0) await database.close();
  });
  return disk.clone();
}

function damage(disk: SimDisk, random: SeededRandom): void {
  const files = disk.paths().filter((path) => /\/(layout|manifest|table|extent)[^/]*$/.test(path));
  const twice = files.filter((path) => !path.endsWith('.hfx'));
  for (let i = 1 + random.integer(5); i > 0; i--) {
    const among = random.integer(4) === 0 ? files : twice;
    const path = among[random.integer(among.length)] as string;
    const length = disk.paths().includes(path) ? disk.content(path).length : 0;
    const way = random.integer(8);
    if (length === 0) continue;
    if (way === 0) disk.deleteFile(path);
    else if (way === 1) disk.truncateFile(path, random.integer(length));
    else disk.flipBit(path, random.integer(length), random.integer(8));
  }
}

/** The keys that can be read, each with its right value. The others reject as damaged. */
async function readable(rows: RowEngine, model: Model): Promise<Set<string>> {
  expect(rows.keys()).toEqual([...model.keys()].sort());
  const found = new Set<string>();
  for (const [key, value] of model) {
    try {
      expect((await rows.get(key))?.toString()).toBe(value);
      found.add(key);
    } catch (error) {
      if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
    }
  }
  return found;
}

/** False when the start was refused. */
async function survives(seed: number): Promise<boolean> {
  const random = new SeededRandom(seed);
  const model: Model = new Map();
  const disk = await fill(random, model);
  damage(disk, random);
  const keeps = async (rows: RowEngine, before: Set<string>, what: string): Promise<void> => {
    const after = await readable(rows, model);
    const lost = [...before].filter((key) => !after.has(key));
    expect(lost, `history ${seed}: lost by ${what}`).toEqual([]);
  };
  let before: Set<string>;
  try {
    before = await inLife(disk, async (database, rows) => {
      const first = await readable(rows, model);
      await database.scrub();
      await keeps(rows, first, 'a scrub');
      await database.compact().catch(ignoreDamage);
      await keeps(rows, first, 'a merge');
      if (random.integer(2) === 0) await database.close();
      return first;
    });
  } catch (error) {
    ignoreDamage(error);
    return false;
  }
  const next = new SimFs({ disk }).powerCut(random).disk;
  await inLife(next, async (database, rows) => {
    await keeps(rows, before, 'a restart');
    await database.close();
  });
  return true;
}

function ignoreDamage(error: unknown): void {
  if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
}

it('several damages at once never make a scrub, a merge or a restart lose what could be read', async () => {
  let started = 0;
  for (let seed = 1; seed <= HISTORIES; seed++) if (await survives(seed)) started++;
  expect(started).toBeGreaterThan(HISTORIES / 2);
  expect(started).toBeLessThan(HISTORIES); // some are more than can be borne
}, 120_000);
