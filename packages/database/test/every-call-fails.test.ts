/** One short history of a database, with each of its calls failing once in each way. */
import { isHoldfastError, systemErrorCode } from '@holdfast/core';
import {
  type Fault,
  isSimDead,
  SeededRandom,
  SimClock,
  SimFs,
  type SimOperation,
} from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { type Database, openDatabase } from '../src/index.ts';
import { RowEngine } from './row-engine.ts';

const MAX_CALLS = 2_000;
const KEYS = ['small', 'large', 'gone', 'moving'];

/** What is known about the state: acknowledged, or handed over without an answer. */
interface Known {
  readonly certain: Map<string, string | undefined>;
  readonly possible: Map<string, string | undefined>;
}

class Life {
  readonly fs: SimFs;
  readonly clock: SimClock;
  rows: RowEngine = new RowEngine();
  database: Database | undefined;

  constructor(fs: SimFs, seed: number) {
    this.fs = fs;
    this.clock = new SimClock(new SeededRandom(seed));
  }

  async open(): Promise<Database> {
    this.rows = new RowEngine();
    this.database = await openDatabase(
      { fileSystem: this.fs, clock: this.clock, random: new SeededRandom(7) },
      {
        dir: '/data',
        shardCount: 2,
        segmentTargetBytes: 16 * 1024,
        preallocateBytes: 8 * 1024,
        diskReserveBytes: 0,
      },
      [this.rows],
    );
    return this.database;
  }

  /** Writes, deletes, rewrites of extents, merges, a start in good order and one without. */
  async history(known: Known): Promise<void> {
    for (let start = 0; start < 2; start++) {
      const database = await this.open();
      for (let i = 0; i < 4; i++) {
        const value = `${start}${i}`;
        await this.write(known, 'small', value);
        await this.write(known, 'large', value.repeat(3_000));
        if (i === 1) await this.write(known, 'moving', value.repeat(2_000));
        await this.write(known, 'gone', i % 2 === 0 ? value.repeat(100) : undefined);
        await retried(() => database.checkpoint());
      }
      await retried(() => database.compact());
      if (start === 0) await database.verify();
      await database.close();
    }
  }

  async write(known: Known, key: string, value: string | undefined): Promise<void> {
    known.possible.set(key, value);
    await this.rows.write(new Map([[key, value === undefined ? value : Buffer.from(value)]]));
    known.certain.set(key, value);
    known.possible.delete(key);
  }

  async check({ certain, possible }: Known): Promise<void> {
    for (const key of KEYS) {
      const found = (await this.rows.get(key))?.toString();
      const allowed = [certain.get(key), ...(possible.has(key) ? [possible.get(key)] : [])];
      expect(allowed).toContain(found);
    }
  }
}

/** What may be tried again is, once. */
async function retried(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (isHoldfastError(error) && error.code === 'NODE_FAILED') throw error;
    await work();
  }
}

function isTyped(error: unknown): boolean {
  if (isHoldfastError(error)) return error.kind !== 'internal' && error.kind !== 'corrupt';
  return isSimDead(error) || systemErrorCode(error) !== undefined;
}

const READS: SimOperation[] = ['open', 'list', 'stat', 'size', 'read'];
const WRITES: SimOperation[] = ['write', 'datasync', 'syncDirectory', 'rename', 'unlink', 'close'];
/** By the number of the call: odd ones before they take effect, even ones after. */
const WAYS: Record<string, (nth: number) => Fault> = {
  dies: (nth) => ({ effect: 'halt', nth, performed: nth % 2 === 0 }),
  'that reads fails': (nth) => ({ effect: 'EIO', nth, operations: READS }),
  'that changes something fails': (nth) => ({
    effect: 'EIO',
    nth,
    operations: WRITES,
    performed: nth % 2 === 0,
  }),
  'writes less than asked': (nth) => ({ effect: 'short-write', nth }),
  'fails to sync and forgets': (nth) => ({ effect: 'lying-sync', nth }),
};

async function runWith(
  fault: Fault,
): Promise<{ life: Life; known: Known; error: unknown; fired: boolean }> {
  const life = new Life(new SimFs(), 1);
  const known: Known = { certain: new Map(), possible: new Map() };
  const plan = life.fs.disk.faults.plan(fault);
  let error: unknown;
  try {
    await life.clock.run(life.history(known));
  } catch (caught) {
    error = caught;
  }
  life.fs.disk.faults.clear();
  return { life, known, error, fired: plan.fired > 0 };
}

describe('in a short history', () => {
  for (const [name, way] of Object.entries(WAYS)) {
    it(`every call ${name}: a typed error, and the next life has all that was acknowledged`, async () => {
      let nth = 1;
      for (; nth < MAX_CALLS; nth++) {
        const { life, known, error, fired } = await runWith(way(nth));
        if (!fired) break;
        if (error !== undefined && !isTyped(error))
          throw new Error(`call ${nth}`, { cause: error });
        if (way(nth).effect === 'short-write') expect(error).toBeUndefined();
        const random = new SeededRandom(nth);
        const fs = nth % 4 < 2 ? life.fs.kill() : life.fs.powerCut(random);
        const next = new Life(fs, nth);
        await next.clock.run(
          (async () => {
            const database = await next.open();
            await next.check(known);
            expect(await database.verify()).toEqual([]);
            await database.close();
          })(),
        );
      }
      expect(nth).toBeGreaterThan(20);
      expect(nth).toBeLessThan(MAX_CALLS);
    }, 300_000);
  }

  for (const effect of ['ENOSPC', 'EMFILE'] as const) {
    it(`no ${effect} besides the log's stops the database`, async () => {
      const path = (name: string): boolean => !name.includes('/log') && name !== '/data';
      const operations: SimOperation[] = effect === 'EMFILE' ? ['open'] : ['write', 'rename'];
      let nth = 1;
      for (; nth < MAX_CALLS; nth++) {
        const { life, known, error, fired } = await runWith({ effect, nth, path, operations });
        if (!fired) break;
        expect(life.database?.state).not.toBe('failed');
        // Only an open that met it may give up, and says so.
        if (error !== undefined) expect(isTyped(error)).toBe(true);
        if (life.database?.state === 'open') throw new Error(`call ${nth}`, { cause: error });
        await life.clock.run(life.open());
        await life.clock.run(life.check(known));
        await life.clock.run((life.database as Database).close());
      }
      expect(nth).toBeGreaterThan(20);
    }, 300_000);
  }
});

it('an open that fails at any call gives back its lock and every handle', async () => {
  const first = new Life(new SimFs(), 1);
  const known: Known = { certain: new Map(), possible: new Map() };
  await first.clock.run(first.history(known));
  for (let nth = 1; nth < MAX_CALLS; nth++) {
    const life = new Life(new SimFs({ disk: first.fs.disk.clone() }), nth);
    const { disk } = life.fs;
    const plan = disk.faults.plan({ effect: 'EIO', nth, operations: [...READS, ...WRITES] });
    const failed = await life.clock.run(
      life.open().then(
        () => false,
        () => true,
      ),
    );
    disk.faults.clear();
    if (!failed) {
      await life.clock.run((life.database as Database).close());
      if (plan.fired > 0) continue;
      return;
    }
    expect(disk.openHandles).toBe(0);
    await life.clock.run(life.open());
    await life.clock.run(life.check(known));
    await life.clock.run((life.database as Database).close());
    expect(disk.openHandles).toBe(0);
  }
  throw new Error('opening never ran through');
});
