/** Keys of a database: what is refused, what is seen on the disk, and rotation cut short anywhere. */
import { createSecretKey, type KeyObject } from 'node:crypto';
import {
  formatKeyId,
  HoldfastError,
  isHoldfastError,
  KeyRing,
  LIMITS,
  keyIdOf,
  onCut,
} from '@holdfast/core';
import { isSimDead, SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { type Database, openDatabase, verifyDatabase } from '../src/index.ts';
import { type Layout, readLayout, replaceLayout } from '../src/layout.ts';
import { RowEngine } from './row-engine.ts';

const DIR = '/data';
const CANARY = 'canary-in-the-coal-mine';

function keyOf(fill: number): KeyObject {
  return createSecretKey(Buffer.alloc(32, fill));
}

const [OLD, NEW, OTHER] = [keyOf(1), keyOf(2), keyOf(3)] as const;

class Life {
  fs: SimFs;
  clock: SimClock;
  readonly random: SeededRandom;

  constructor(seed = 1) {
    this.random = new SeededRandom(seed);
    this.fs = new SimFs();
    this.clock = new SimClock(this.random.fork());
  }

  async with<Result>(
    keys: readonly KeyObject[] | undefined,
    work: (database: Database, rows: RowEngine) => Promise<Result>,
  ): Promise<Result> {
    const rows = new RowEngine();
    const components = { fileSystem: this.fs, clock: this.clock, random: this.random };
    const ring = keys === undefined ? {} : { keys: new KeyRing(keys, this.random) };
    const run = async (): Promise<Result> => {
      const database = await openDatabase(
        { ...components, ...ring },
        {
          dir: DIR,
          shardCount: 2,
          checkpointLogBytes: 64 * 1024,
          segmentTargetBytes: 32 * 1024,
          preallocateBytes: 8 * 1024,
          diskReserveBytes: 0,
        },
        [rows],
      );
      const result = await work(database, rows);
      await database.close();
      return result;
    };
    return this.clock.run(run());
  }

  powerCut(): void {
    this.clock = this.clock.nextIncarnation();
    this.fs = this.fs.powerCut(this.random.fork());
  }

  files(): Map<string, Buffer> {
    const { disk } = this.fs;
    const paths = disk.paths().filter((path) => !path.endsWith('/LOCK'));
    return new Map(paths.map((path) => [path, disk.content(path)]));
  }
}

async function fill(database: Database, rows: RowEngine, name = 'a', count = 12): Promise<void> {
  for (let i = 0; i < count; i++) {
    const value = Buffer.from(`${CANARY} ${name} ${i} `.repeat(i % 3 === 0 ? 60 : 1));
    await rows.write(new Map([[`${CANARY}-${name}-${i}`, value]]));
    if (i % 5 === 4) await database.checkpoint();
  }
}

async function assertFilled(rows: RowEngine, name = 'a', count = 12): Promise<void> {
  for (let i = 0; i < count; i++) {
    const value = await rows.get(`${CANARY}-${name}-${i}`);
    expect(value?.toString()).toBe(`${CANARY} ${name} ${i} `.repeat(i % 3 === 0 ? 60 : 1));
  }
}

async function refusal(life: Life, keys: readonly KeyObject[] | undefined): Promise<string> {
  const before = life.files();
  const error: unknown = await life
    .with(keys, async () => undefined)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  expect(life.files()).toEqual(before);
  if (!isHoldfastError(error)) throw new Error(`expected a refusal, got ${String(error)}`);
  return error.code;
}

describe('opening', () => {
  it('with a wrong key, no key, one too few, or one where there was none touches nothing', async () => {
    const life = new Life();
    await life.with([OLD], (database, rows) => fill(database, rows));
    expect(await refusal(life, undefined)).toBe('KEY_REQUIRED');
    expect(await refusal(life, [OTHER])).toBe('KEY_WRONG');
    await life.with([NEW, OLD], async (_database, rows) => assertFilled(rows));
    expect(await refusal(life, [NEW])).toBe('KEY_MISSING');
    expect(await refusal(life, [OLD])).toBe('KEY_MISSING');
    await life.with([OLD, NEW, OTHER], async (_database, rows) => assertFilled(rows));
    const plain = new Life();
    await plain.with(undefined, (database, rows) => fill(database, rows));
    expect(await refusal(plain, [OLD])).toBe('KEY_NOT_EXPECTED');
  });

  it('tells another key of the same number by its check', async () => {
    const life = new Life();
    await life.with([OLD], (database, rows) => fill(database, rows));
    const layout = (await readLayout(life.fs, DIR)) as Layout;
    const [id] = Object.keys(layout.keys ?? {}) as [string];
    expect(id).toBe(formatKeyId(keyIdOf(OLD)));
    await replaceLayout(life.fs, DIR, { ...layout, keys: { [id]: '0123456789abcdef' } });
    expect(await refusal(life, [OLD])).toBe('KEY_WRONG');
  });

  it('goes on when either copy of the layout is damaged, keys and all', async () => {
    for (const copy of ['layout.json', 'layout.json.mirror']) {
      const life = new Life();
      await life.with([OLD], (database, rows) => fill(database, rows));
      await life.with([NEW, OLD], async () => undefined);
      const whole = life.fs.disk.content(`${DIR}/${copy}`);
      life.fs.disk.flipBit(`${DIR}/${copy}`, 40, 1);
      expect(await refusal(life, [OLD])).toBe('KEY_MISSING');
      await life.with([NEW, OLD], async (_database, rows) => assertFilled(rows));
      expect(life.fs.disk.content(`${DIR}/${copy}`).equals(whole)).toBe(true);
    }
  });

  it('verifies offline with the keys, and without them says why it cannot', async () => {
    const life = new Life();
    await life.with([OLD], (database, rows) => fill(database, rows));
    const verify = (keys?: KeyRing): Promise<unknown> =>
      verifyDatabase(
        { fileSystem: life.fs, ...(keys === undefined ? {} : { keys }) },
        { dir: DIR },
      );
    const ring = (key: KeyObject): KeyRing => new KeyRing([key], life.random);
    expect(await verify(ring(OLD))).toMatchObject({ problems: [] });
    await expect(verify(ring(OTHER))).rejects.toMatchObject({ code: 'KEY_WRONG' });
    await expect(verify()).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
  });
});

it('nothing a user stored is ever written in the clear, to any file, under any name', async () => {
  const life = new Life();
  const written: string[] = [];
  const watch = (): void => {
    const { disk } = life.fs;
    for (const path of disk.paths()) {
      if (path.includes(CANARY) || disk.content(path).includes(CANARY)) written.push(path);
    }
  };
  // At each of these something was just written that a crash would leave.
  const off = onCut(() => watch());
  try {
    await life.with([OLD], async (database, rows) => {
      await fill(database, rows, 'a', 30);
      await database.compact();
      await database.scrub();
      const { disk } = life.fs;
      const table = disk.paths().find((path) => path.endsWith('.hft')) as string;
      disk.flipBit(table, 300, 1);
      await database.scrub();
      await database.rotateKeys([NEW, OLD]);
      await fill(database, rows, 'b', 8);
      await database.scrub();
      watch();
    });
    watch();
    expect(life.fs.disk.paths().some((path) => path.includes('quarantine'))).toBe(true);
    life.powerCut();
    await life.with([NEW, OLD], async (_database, rows) => assertFilled(rows, 'b', 8));
    watch();
  } finally {
    off();
  }
  expect([...new Set(written)]).toEqual([]);
  // The same search finds it where there is no key.
  const plain = new Life();
  await plain.with(undefined, (database, rows) => fill(database, rows));
  expect([...plain.files().values()].some((bytes) => bytes.includes(CANARY))).toBe(true);
});

describe('rotation', () => {
  it('leaves nothing under the old key after a scrub, which then may go', async () => {
    const life = new Life();
    const [oldId, newId] = [keyIdOf(OLD), keyIdOf(NEW)];
    await life.with([OLD], async (database, rows) => {
      await fill(database, rows);
      await expect(database.retireKey(oldId)).rejects.toMatchObject({ code: 'KEY_IN_USE' });
      await database.rotateKeys([NEW, OLD]);
      const after = await database.keyStatus();
      expect(after.keys.map(({ keyId, active }) => [keyId, active])).toEqual([
        [newId, true],
        [oldId, false],
      ]);
      const old = after.keys[1];
      expect((old?.tables ?? 0) > 0 && (old?.extents ?? 0) > 0).toBe(true);
      expect(old).toMatchObject({ log: 0, manifest: 0 });
      await expect(database.retireKey(oldId)).rejects.toMatchObject({
        code: 'KEY_IN_USE',
        kind: 'conflict',
      });
      await fill(database, rows, 'b');
      await database.scrub();
      const done = (await database.keyStatus()).keys.find(({ keyId }) => keyId === oldId);
      expect(done).toMatchObject({ log: 0, tables: 0, extents: 0, manifest: 0 });
      await database.retireKey(oldId);
      expect((await database.keyStatus()).keys.map(({ keyId }) => keyId)).toEqual([newId]);
      await assertFilled(rows);
    });
    await life.with([NEW], async (database, rows) => {
      await assertFilled(rows);
      await assertFilled(rows, 'b');
      expect(await database.verify()).toEqual([]);
    });
  });

  it('is done by the scrub in the background, without anybody asking', async () => {
    const life = new Life();
    await life.with([OLD], async (database, rows) => {
      await fill(database, rows);
      await database.rotateKeys([NEW, OLD]);
      await new Promise<void>((resolve) => life.clock.after(60_000, resolve));
      const old = (await database.keyStatus()).keys.find(({ active }) => !active);
      expect(old).toMatchObject({ tables: 0, extents: 0, log: 0, manifest: 0 });
    });
  });

  it('moves the extents of a file that is larger than one rewrite may hold, piece by piece', async () => {
    const limits = LIMITS as { extentRewriteBytes: number };
    const usual = limits.extentRewriteBytes;
    limits.extentRewriteBytes = 3_000;
    try {
      const life = new Life();
      await life.with([OLD], async (database, rows) => {
        for (let i = 0; i < 20; i++) {
          const value = Buffer.alloc(900 + i, i);
          await rows.write(new Map([[`big-${i}`, value]]));
        }
        await database.checkpoint();
        const before = database.stats().checkpoints;
        await database.rotateKeys([NEW, OLD]);
        await database.scrub();
        expect(database.stats().checkpoints - before).toBeGreaterThan(6);
        const old = (await database.keyStatus()).keys.find(({ active }) => !active);
        expect(old).toMatchObject({ tables: 0, extents: 0, log: 0 });
        await database.retireKey(keyIdOf(OLD));
        for (let i = 0; i < 20; i++) {
          expect((await rows.get(`big-${i}`))?.equals(Buffer.alloc(900 + i, i))).toBe(true);
        }
        expect(await database.verify()).toEqual([]);
      });
    } finally {
      limits.extentRewriteBytes = usual;
    }
  });

  it('that meets a close ends, done or not, before the directory is given back', async () => {
    let done = 0;
    for (let seed = 1; seed <= 25; seed++) {
      const life = new Life(seed);
      await life.with([OLD], (database, rows) => fill(database, rows));
      const { clock } = life;
      life.fs = life.fs.kill({ yieldPoint: () => clock.yieldPoint() });
      let rotation: Promise<unknown> = Promise.resolve();
      await life.with([OLD], async (database) => {
        rotation = database.rotateKeys([NEW, OLD]).catch((error: unknown) => error);
        for (let i = life.random.integer(400); i > 0; i--) await clock.yieldPoint();
      });
      const settled = await Promise.race([rotation, Promise.resolve('not settled')]);
      if (settled === undefined) done++;
      else expect(settled).toMatchObject({ code: 'CLOSED' });
      life.powerCut();
      await life.with([NEW, OLD], async (database, rows) => {
        await assertFilled(rows);
        expect(await database.verify()).toEqual([]);
      });
    }
    expect(done).toBeGreaterThan(0);
    expect(done).toBeLessThan(25);
  });

  it('is refused, and changes nothing, without a key that is in use, or with none', async () => {
    const life = new Life();
    await life.with([OLD], async (database, rows) => {
      await fill(database, rows);
      const before = life.files().get(`${DIR}/layout.json`);
      await expect(database.rotateKeys([NEW])).rejects.toMatchObject({ code: 'KEY_MISSING' });
      await expect(database.rotateKeys([])).rejects.toMatchObject({ code: 'INVALID_KEY' });
      expect(life.files().get(`${DIR}/layout.json`)).toEqual(before);
      expect((await database.keyStatus()).keys).toHaveLength(1);
    });
    const plain = new Life();
    await plain.with(undefined, async (database) => {
      await expect(database.rotateKeys([NEW])).rejects.toMatchObject({ code: 'KEY_NOT_EXPECTED' });
      expect(await database.keyStatus()).toEqual({ encrypted: false, keys: [] });
    });
  });

  it('keeps a key that somebody else still needs', async () => {
    const life = new Life();
    await life.with([OLD], async (database, rows) => {
      await fill(database, rows);
      await database.rotateKeys([NEW, OLD]);
      await database.scrub();
      let left = 700;
      database.addKeyHolder('repository', async () => new Map([[keyIdOf(OLD), left]]));
      await expect(database.retireKey(keyIdOf(OLD))).rejects.toMatchObject({
        code: 'KEY_IN_USE',
        message: expect.stringContaining('repository=700'),
      });
      left = 0;
      await database.retireKey(keyIdOf(OLD));
    });
  });

  it('on a full disk is done, or refused and may be done again, and loses nothing', async () => {
    const outcomes = new Set<string>();
    for (let spare = 0; spare <= 72; spare += 6) {
      const life = new Life(spare + 1);
      await life.with([OLD], async (database, rows) => {
        await fill(database, rows);
        const { disk } = life.fs;
        disk.capacityBytes = disk.usedBytes + spare * 1024;
        const outcome = await database.rotateKeys([NEW, OLD]).then(
          () => 'done',
          (error: unknown) => (isHoldfastError(error) ? error.code : String(error)),
        );
        outcomes.add(outcome);
        disk.capacityBytes = Infinity;
        await life.clock.advance(LIMITS.checkpointRetryMs * 2);
        await fill(database, rows, 'b', 3);
        await database.rotateKeys([NEW, OLD]);
        await database.scrub();
        await database.retireKey(keyIdOf(OLD));
      });
      await life.with([NEW], async (_database, rows) => {
        await assertFilled(rows);
        await assertFilled(rows, 'b', 3);
      });
    }
    expect([...outcomes].sort()).toEqual(['DISK_FULL', 'done']);
  });

  it('is not held up by a holder that does not answer, but nothing is retired then', async () => {
    const life = new Life();
    await life.with([OLD], async (database, rows) => {
      await fill(database, rows);
      const away = new HoldfastError('STORAGE_UNAVAILABLE', 'away');
      database.addKeyHolder('repository', () => Promise.reject(away));
      await database.rotateKeys([NEW, OLD]);
      await database.scrub();
      const status = await database.keyStatus();
      expect(status.keys.map(({ active, tables }) => [active, tables > 0])).toEqual([
        [true, true],
        [false, false],
      ]);
      expect(status.unanswered).toEqual(new Map([['repository', away]]));
      await expect(database.retireKey(keyIdOf(OLD))).rejects.toBe(away);
      expect((await database.keyStatus()).keys).toHaveLength(2);
    });
  });

  it.each([
    'keys.layoutWritten',
    'keys.entered',
    'keys.logRolled',
    'log.rollCreated',
    'keys.manifestWritten',
    'manifest.renamed',
    'database.compacted',
    'database.merged',
    'database.extentsRewritten',
    'database.filesWritten',
    'database.manifestCommitted',
  ])(
    'cut short at %s opens with both keys and has everything, and may be done again',
    async (point) => {
      for (let nth = 1; nth <= 3; nth++) {
        const life = new Life(nth);
        await life.with([OLD], (database, rows) => fill(database, rows));
        let passed = 0;
        let armed = false;
        const off = onCut((name) => {
          if (!armed || name !== point || ++passed !== nth) return;
          life.fs.disk.faults.plan({ effect: 'halt', nth: 1 });
        });
        const ended: unknown = await life
          .with([OLD], async (database, rows) => {
            await fill(database, rows, 'b', 4);
            armed = true;
            await database.rotateKeys([NEW, OLD]);
            await database.scrub();
            await database.retireKey(keyIdOf(OLD));
          })
          .then(
            () => undefined,
            (error: unknown) => error,
          )
          .finally(off);
        life.fs.disk.faults.clear();
        if (ended === undefined) {
          expect(passed, `${point} never fired`).toBeGreaterThan(0);
          continue;
        }
        expect(isHoldfastError(ended) || isSimDead(ended)).toBe(true);
        life.powerCut();
        await life.with([NEW, OLD], async (database, rows) => {
          await assertFilled(rows);
          await assertFilled(rows, 'b', 4);
          await database.rotateKeys([NEW, OLD]);
          await database.scrub();
          await database.retireKey(keyIdOf(OLD));
          expect(await database.verify()).toEqual([]);
        });
        await life.with([NEW], async (_database, rows) => assertFilled(rows));
      }
    },
  );
});
