/** A closed data directory of which one byte is wrong: the right data, or an error that says so. */
import { isHoldfastError } from '@holdfast/core';
import { SeededRandom, SimClock, type SimDisk, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { type Database, openDatabase, verifyDatabase } from '../src/index.ts';
import { RowEngine } from './row-engine.ts';

const FLIPS_PER_FILE = 150;
const SETTINGS = {
  dir: '/data',
  shardCount: 2,
  segmentTargetBytes: 16 * 1024,
  preallocateBytes: 8 * 1024,
  diskReserveBytes: 0,
};

async function inLife<T>(
  disk: SimDisk,
  work: (database: Database, rows: RowEngine) => Promise<T>,
): Promise<T> {
  const random = new SeededRandom(3);
  const clock = new SimClock(random);
  const rows = new RowEngine();
  const opening = openDatabase({ fileSystem: new SimFs({ disk }), clock, random }, SETTINGS, [
    rows,
  ]);
  return clock.run(opening.then((database) => work(database, rows)));
}

/** Rows and extents in both shards, replaced and deleted ones, tables to be merged; a clean stop. */
async function closedDirectory(model: Map<string, string>): Promise<SimDisk> {
  const { disk } = new SimFs();
  await inLife(disk, async (database, rows) => {
    for (let i = 0; i < 12; i++) {
      const key = `k${i % 7}`;
      const value = i % 5 === 4 ? undefined : `${i}.`.repeat([2, 50, 900][i % 3] as number);
      await rows.write(new Map([[key, value === undefined ? value : Buffer.from(value)]]));
      if (value === undefined) model.delete(key);
      else model.set(key, value);
      if (i % 6 === 5) await database.checkpoint();
    }
    await database.close();
  });
  return disk;
}

/** The state, or the code of the error that kept it from being read. */
async function readAll(disk: SimDisk): Promise<Map<string, string> | string> {
  try {
    return await inLife(disk, async (_, rows) => {
      const found = new Map<string, string>();
      for (const key of rows.keys()) found.set(key, String(await rows.get(key)));
      return found;
    });
  } catch (error) {
    if (isHoldfastError(error) && error.kind === 'corrupt') return error.code;
    throw error;
  }
}

const byKey = (map: Map<string, string>): [string, string][] => [...map].sort();

it('any flipped byte gives the right data or a typed error, and verify finds what open does', async () => {
  const model = new Map<string, string>();
  const disk = await closedDirectory(model);
  let harmless = 0;
  let found = 0;
  for (const path of disk.paths()) {
    const { length } = disk.content(path);
    const stride = Math.max(1, Math.floor(length / FLIPS_PER_FILE));
    for (let position = 0; position < length; position += stride) {
      const damaged = disk.clone();
      damaged.flipBit(path, position, position % 8);
      const report = await verifyDatabase(
        { fileSystem: new SimFs({ disk: damaged.clone() }) },
        SETTINGS,
      );
      const state = await readAll(damaged);
      if (typeof state === 'string') {
        found++;
        expect(report.problems.length, `verify misses ${path} at ${position}`).toBeGreaterThan(0);
      } else {
        harmless++;
        expect(byKey(state), `${path} at ${position}`).toEqual(byKey(model));
      }
    }
  }
  expect(found).toBeGreaterThan(200);
  expect(harmless).toBeGreaterThan(0);
}, 60_000);

it('a file that is missing, cut short or swapped is an error, never an older or smaller state', async () => {
  const model = new Map<string, string>();
  const disk = await closedDirectory(model);
  const paths = disk.paths().filter((path) => !/LOCK|manifest-0*[1-4]$/.test(path));
  const ways: ((damaged: SimDisk, path: string, other: string) => void)[] = [
    (damaged, path) => damaged.deleteFile(path),
    (damaged, path) => damaged.truncateFile(path, damaged.content(path).length - 1),
    (damaged, path) => damaged.truncateFile(path, 0),
    (damaged, path, other) => damaged.swapFiles(path, other),
    (damaged, path, other) => damaged.duplicateFile(other, path),
  ];
  const surprises: string[] = [];
  for (const [index, path] of paths.entries()) {
    for (const [way, damage] of ways.entries()) {
      const damaged = disk.clone();
      damage(damaged, path, paths[(index + 1) % paths.length] as string);
      const state = await readAll(damaged);
      if (typeof state === 'string') continue;
      if (JSON.stringify(byKey(state)) !== JSON.stringify(byKey(model))) {
        surprises.push(`${path} way=${way}`);
      }
    }
  }
  expect(surprises).toEqual([]);
});

it('a log and a state of different copies are an LSN_GAP, whichever is the older one', async () => {
  const disk = await closedDirectory(new Map());
  const older = disk.clone();
  await inLife(disk, async (database, rows) => {
    for (let i = 0; i < 40; i++) {
      await rows.write(new Map([['k0', Buffer.alloc(900, i)]]));
      if (i % 10 === 9) await database.checkpoint();
    }
    await database.close();
  });
  expect(await readAll(withLogOf(disk.clone(), older))).toBe('LSN_GAP');
  expect(await readAll(withLogOf(older.clone(), disk))).toBe('LSN_GAP');
});

function withLogOf(state: SimDisk, log: SimDisk): SimDisk {
  const isLog = (path: string): boolean => path.endsWith('.seg');
  const source = state.paths().find((path) => path.endsWith('layout.json')) as string;
  for (const path of state.paths().filter(isLog)) state.deleteFile(path);
  for (const path of log.paths().filter(isLog)) {
    state.duplicateFile(source, path); // makes the name
    state.replaceContent(path, log.content(path));
  }
  return state;
}
