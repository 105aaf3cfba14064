/**
 * A closed data directory with one thing wrong in it. What rests twice is as if nothing had been;
 * stream bytes cost those who need them; the log refuses the start. Never wrong, never less.
 */
import { isHoldfastError } from '@holdfast/core';
import { SeededRandom, SimClock, type SimDisk, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { type Database, openDatabase, verifyDatabase } from '../src/index.ts';
import { RowEngine } from './row-engine.ts';

/** `all`: every bit of every file. */
const FLIPS_PER_FILE =
  process.env['HOLDFAST_ROT'] === 'all' ? Infinity : Number(process.env['HOLDFAST_ROT'] ?? 60);
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
  const fileSystem = new SimFs({ disk });
  const opening = openDatabase({ fileSystem, clock, random }, SETTINGS, [rows]);
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

interface Outcome {
  /** Why it did not open. */
  readonly refused: string | undefined;
  /** Keys whose value could not be read, each with a corrupt code. */
  readonly unreadable: readonly string[];
  readonly repaired: number;
  readonly quarantined: number;
}

/** Opens, reads everything, scrubs, stops: each value is right or a typed error. */
async function tryAll(
  disk: SimDisk,
  model: ReadonlyMap<string, string>,
  where: string,
): Promise<Outcome> {
  try {
    return await inLife(disk, async (database, rows) => {
      const read = async (): Promise<string[]> => {
        const unreadable: string[] = [];
        expect(rows.keys(), where).toEqual([...model.keys()].sort());
        for (const [key, value] of model) {
          const found = await rows.get(key).catch((error: unknown) => {
            if (isHoldfastError(error) && error.kind === 'corrupt') return undefined;
            throw error;
          });
          if (found === undefined) unreadable.push(key);
          else expect(String(found), `${where} key ${key}`).toBe(value);
        }
        return unreadable;
      };
      await read();
      const { integrity } = await database.scrub();
      const unreadable = await read();
      if (integrity.quarantined > 0) expect(database.damages().length).toBeGreaterThan(0);
      await database.close();
      return { refused: undefined, unreadable, ...integrity };
    });
  } catch (error) {
    if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
    return { refused: error.code, unreadable: [], repaired: 0, quarantined: 0 };
  }
}

function verify(disk: SimDisk): ReturnType<typeof verifyDatabase> {
  return verifyDatabase({ fileSystem: new SimFs({ disk }) }, SETTINGS);
}

type PathKind = 'twice' | 'extent' | 'log' | 'unread';

/** Manifests before the newest are for people, and so is the lock. */
function kindOf(path: string, newest: string): PathKind {
  if (path.endsWith('.seg')) return 'log';
  if (path.endsWith('.hfx')) return 'extent';
  if (path.includes('LOCK')) return 'unread';
  if (path.includes('manifest-')) return path.includes(newest) ? 'twice' : 'unread';
  return 'twice';
}

function newestManifest(disk: SimDisk): string {
  const names = disk.paths().filter((path) => /manifest-\d+$/.test(path));
  return names.sort().at(-1) as string;
}

const ways: Record<string, (disk: SimDisk, path: string, other: string) => void> = {
  deleted: (disk, path) => disk.deleteFile(path),
  'cut short by a byte': (disk, path) => disk.truncateFile(path, disk.content(path).length - 1),
  'cut in half': (disk, path) => disk.truncateFile(path, disk.content(path).length >> 1),
  emptied: (disk, path) => disk.truncateFile(path, 0),
  grown: (disk, path) => {
    disk.replaceContent(path, Buffer.concat([disk.content(path), Buffer.alloc(700, 7)]));
  },
  'full of zeros': (disk, path) => {
    disk.replaceContent(path, Buffer.alloc(disk.content(path).length));
  },
  'another file': (disk, path, other) => disk.duplicateFile(other, path),
};

describe('a closed directory', () => {
  it('with any byte flipped opens and is mended, names what is lost, or refuses to start', async () => {
    const model = new Map<string, string>();
    const disk = await closedDirectory(model);
    const newest = newestManifest(disk);
    const counts = { flips: 0, mended: 0, lost: 0, refused: 0, harmless: 0 };
    for (const path of disk.paths()) {
      const { length } = disk.content(path);
      const bits = Math.min(length * 8, FLIPS_PER_FILE);
      for (let flip = 0; flip < bits; flip++) {
        const bit =
          bits === length * 8 ? flip : Math.floor((flip * length * 8) / bits) + (flip % 8);
        const where = `${path} bit ${bit}`;
        const damaged = disk.clone();
        damaged.flipBit(path, Math.min(length - 1, bit >> 3), bit & 7);
        const report = await verify(damaged.clone());
        const outcome = await tryAll(damaged, model, where);
        const after = await verify(damaged);
        const kind = kindOf(path, newest);
        counts.flips++;
        if (outcome.refused !== undefined) {
          counts.refused++;
          expect(kind, where).toBe('log');
          expect(report.problems.length, where).toBeGreaterThan(0);
          continue;
        }
        if (outcome.unreadable.length > 0) {
          counts.lost++;
          expect(kind, where).toBe('extent');
          expect(outcome.quarantined, where).toBeGreaterThan(0);
          expect(report.problems.length, where).toBeGreaterThan(0);
          continue;
        }
        expect(after.problems, where).toEqual([]);
        if (kind === 'twice' || kind === 'extent') {
          counts.mended++;
          expect(
            report.problems.map((problem) => problem.path),
            where,
          ).toContain(path);
        } else {
          counts.harmless++;
        }
      }
    }
    console.log(`rot: ${JSON.stringify(counts)}`);
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(0);
  }, 3_600_000);

  it('with one file of a pair gone, cut, grown or foreign loses nothing and is whole again', async () => {
    const model = new Map<string, string>();
    const disk = await closedDirectory(model);
    const newest = newestManifest(disk);
    const pairs = disk.paths().filter((path) => kindOf(path, newest) === 'twice');
    expect(pairs.length).toBeGreaterThan(8);
    for (const [index, path] of pairs.entries()) {
      for (const [way, damage] of Object.entries(ways)) {
        const where = `${path} ${way}`;
        const damaged = disk.clone();
        damage(damaged, path, pairs[(index + 2) % pairs.length] as string);
        const outcome = await tryAll(damaged, model, where);
        expect(outcome, where).toMatchObject({
          refused: undefined,
          unreadable: [],
          quarantined: 0,
        });
        expect((await verify(damaged)).problems, where).toEqual([]);
        expect(damaged.paths(), where).toContain(pairedWith(path, damaged));
      }
    }
  }, 300_000);

  it('with an extent file gone or cut opens, and only what lies in it cannot be read', async () => {
    const model = new Map<string, string>();
    const disk = await closedDirectory(model);
    const files = disk.paths().filter((path) => path.endsWith('.hfx'));
    expect(files.length).toBeGreaterThan(1);
    let unreadable = 0;
    for (const [index, path] of files.entries()) {
      for (const [way, damage] of Object.entries(ways)) {
        const where = `${path} ${way}`;
        const damaged = disk.clone();
        damage(damaged, path, files[(index + 1) % files.length] as string);
        const outcome = await tryAll(damaged, model, where);
        expect(outcome.refused, where).toBeUndefined();
        unreadable += outcome.unreadable.length;
        if (outcome.unreadable.length === 0) continue;
        expect(outcome.quarantined, where).toBeGreaterThanOrEqual(outcome.unreadable.length);
        expect(outcome.unreadable.length, where).toBeLessThan(model.size);
        // It stays like that, and damage is never deleted over it.
        const again = await tryAll(damaged, model, where);
        expect(again.unreadable, where).toEqual(outcome.unreadable);
      }
    }
    expect(unreadable).toBeGreaterThan(0);
  }, 300_000);

  it('with a missing, cut or foreign log is refused, or nothing of it was needed', async () => {
    const model = new Map<string, string>();
    const disk = await closedDirectory(model);
    const segments = disk.paths().filter((path) => path.endsWith('.seg'));
    for (const path of segments) {
      for (const [way, damage] of Object.entries(ways)) {
        const damaged = disk.clone();
        damage(damaged, path, disk.paths().find((other) => other.endsWith('.hfx')) as string);
        const outcome = await tryAll(damaged, model, `${path} ${way}`);
        if (outcome.refused === undefined) expect(outcome.unreadable).toEqual([]);
      }
    }
  });

  it('with an older copy of any one file in its place is right, mended or refused', async () => {
    const model = new Map<string, string>();
    const disk = await closedDirectory(model);
    const older = disk.clone();
    await inLife(disk, async (database, rows) => {
      for (let i = 0; i < 6; i++) {
        const value = `later ${i} `.repeat(i % 2 === 0 ? 1 : 300);
        await rows.write(new Map([[`k${i}`, Buffer.from(value)]]));
        model.set(`k${i}`, value);
        if (i % 2 === 0) await database.checkpoint();
      }
      await database.close();
    });
    for (const path of older.paths()) {
      const damaged = disk.clone();
      const known = damaged.paths().includes(path);
      if (!known) damaged.duplicateFile(damaged.paths()[0] as string, path); // makes the name
      damaged.replaceContent(path, older.content(path));
      const outcome = await tryAll(damaged, model, path);
      if (outcome.refused === undefined) expect(outcome.unreadable, path).toEqual([]);
    }
  });

  it('with a log and a state of different copies is an LSN_GAP, whichever is the older one', async () => {
    const disk = await closedDirectory(new Map());
    const older = disk.clone();
    await inLife(disk, async (database, rows) => {
      for (let i = 0; i < 40; i++) {
        await rows.write(new Map([['k0', Buffer.alloc(900, i)]]));
        if (i % 10 === 9) await database.checkpoint();
      }
      await database.close();
    });
    const refusal = { refused: 'LSN_GAP' };
    expect(await tryAll(withLogOf(disk.clone(), older), new Map(), 'log')).toMatchObject(refusal);
    expect(await tryAll(withLogOf(older.clone(), disk), new Map(), 'log')).toMatchObject(refusal);
  });
});

/** The path, or where its successor stands: a manifest has a new generation by then. */
function pairedWith(path: string, disk: SimDisk): string {
  if (!path.includes('manifest-')) return path;
  return newestManifest(disk) + (path.endsWith('.mirror') ? '.mirror' : '');
}

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
