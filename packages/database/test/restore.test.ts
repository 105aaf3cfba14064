/** A restore is exact: every LSN, every kind of target, along the lineage; or it is refused. */
import { type Lsn, MemoryFileSystem, NodeRandom } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import {
  type DrillLook,
  type DrillReport,
  drillRestore,
  openDatabase,
  restoreDatabase,
  type RestoreProgress,
  type RestoreSettings,
} from '../src/index.ts';
import { readLayout } from '../src/layout.ts';
import { BackedUpDatabase, ringOf, type Rows, rowsIn } from './backed-up-database.ts';
import { RowEngine } from './row-engine.ts';

const INTO = '/restored';

/** `count` commits: new keys, replaced and deleted ones, small and large values. */
async function fill(database: BackedUpDatabase, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const lsn = database.lastLsn + 1;
    const large = lsn % 5 === 0 ? 'x'.repeat(40 * lsn) : '';
    const deleted = lsn % 4 === 0 ? { [`key ${lsn - 2}`]: undefined } : {};
    await database.write({ [`key ${lsn}`]: `value ${lsn}${large}`, shared: `${lsn}`, ...deleted });
  }
}

async function restored(
  database: BackedUpDatabase,
  target: RestoreSettings['target'],
  settings: Partial<RestoreSettings> = {},
): Promise<{ rows: Rows; lsn: number; fileSystem: MemoryFileSystem }> {
  const fileSystem = new MemoryFileSystem();
  const { clock, store, keyed } = database;
  await restoreDatabase(
    { fileSystem, clock, random: new NodeRandom(), objects: store, ...keyed },
    { into: INTO, target, verify: 'quick', ...settings },
  );
  expect(await fileSystem.list('/')).toEqual([INTO.slice(1)]);
  return { ...(await rowsIn(fileSystem, INTO, database.keys)), fileSystem };
}

async function expectEveryLsn(database: BackedUpDatabase, from = 1): Promise<void> {
  for (let lsn = from; lsn <= database.lastLsn; lsn++) {
    const verify = lsn % 8 === 0 ? 'full' : 'quick';
    const found = await restored(database, { lsn: lsn as Lsn }, { verify });
    expect(found).toMatchObject({ lsn, rows: database.states.get(lsn) });
    expect(Object.keys(found.rows)).toHaveLength(
      Object.keys(database.states.get(lsn) ?? {}).length,
    );
  }
}

describe.each([
  ['plain', undefined],
  ['encrypted', ringOf(1, 2)],
])('%s', (_, keys) => {
  it('every LSN is restored as it was, from snapshots and from the first record', async () => {
    const database = await BackedUpDatabase.create({ keys });
    for (const count of [6, 11, 9]) {
      await fill(database, count);
      await database.snapshot();
    }
    await fill(database, 14);
    await database.archive();
    await expectEveryLsn(database);
    expect((await restored(database, 'latest')).lsn).toBe(40);
  });
});

it('what is restored says that it is a copy, and which one, also with only one layout left', async () => {
  const database = await BackedUpDatabase.create({ keys: ringOf(1) });
  await fill(database, 3);
  await database.snapshot();
  const one = (await restored(database, 'latest')).fileSystem;
  const other = (await restored(database, 'latest')).fileSystem;
  const copyId = (await readLayout(one, INTO))?.copyId;
  expect(copyId).toMatch(/^[0-9a-f]{16}$/);
  expect((await readLayout(other, INTO))?.copyId).not.toBe(copyId);
  await one.unlink(`${INTO}/layout.json`);
  const { keys } = database;
  const opened = await openDatabase(
    { fileSystem: one, clock: database.clock, random: new NodeRandom(), ...(keys && { keys }) },
    { dir: INTO },
    [new RowEngine()],
  );
  expect(opened.copyId).toBe(copyId);
  await opened.close();
  expect((await readLayout(one, INTO))?.copyId).toBe(copyId);
});

describe('a target', () => {
  /** 30 LSNs, ten ms apart; snapshots at 10 and 20; everything is archived but the last three. */
  async function thirty(): Promise<BackedUpDatabase> {
    const database = await BackedUpDatabase.create();
    await fill(database, 10);
    await database.snapshot();
    await fill(database, 10);
    await database.snapshot();
    await fill(database, 10);
    await database.archive(4, 27);
    return database;
  }

  it('by time is the last record at or before it, inside a piece and between pieces', async () => {
    const database = await thirty();
    for (let lsn = 1; lsn <= 27; lsn++) {
      const timeMs = database.times.get(lsn) as number;
      const exact = await restored(database, { timeMs });
      expect(exact).toMatchObject({ lsn, rows: database.states.get(lsn) });
      expect((await restored(database, { timeMs: timeMs + 9 })).lsn).toBe(lsn);
    }
    expect((await restored(database, { timeMs: Number.MAX_SAFE_INTEGER })).lsn).toBe(27);
    await expect(restored(database, { timeMs: 1_000_000 })).rejects.toMatchObject({
      code: 'RESTORE_TARGET_UNREACHABLE',
    });
  });

  it('of records of one time is the last of them', async () => {
    const database = await BackedUpDatabase.create();
    await fill(database, 3);
    for (let i = 0; i < 4; i++) await database.write({ same: `${i}` }, 0);
    await database.archive(5);
    const timeMs = database.times.get(3) as number;
    expect((await restored(database, { timeMs })).lsn).toBe(7);
    expect((await restored(database, { timeMs: timeMs - 1 })).lsn).toBe(2);
  });

  it('by name is the newest restore point of that name; a wrong name is told near ones', async () => {
    const database = await thirty();
    await database.mark('before-migration', 13);
    await database.mark('before-migration', 24);
    await database.mark('other', 26);
    expect((await restored(database, { name: 'before-migration' })).lsn).toBe(24);
    await expect(restored(database, { name: 'before-migratoin' })).rejects.toMatchObject({
      code: 'RESTORE_POINT_NOT_FOUND',
      message: expect.stringContaining('did you mean "before-migration"') as string,
    });
  });

  it('behind what is archived, or before what is kept, is refused with the range', async () => {
    const database = await thirty();
    await expect(restored(database, { lsn: 28 as Lsn })).rejects.toMatchObject({
      code: 'RESTORE_TARGET_UNREACHABLE',
      details: { earliestLsn: 10, latestLsn: 27 },
    });
    for await (const { key, lastLsn } of database.repository.pieces()) {
      if (lastLsn <= 8) await database.store.delete(key);
    }
    await expect(restored(database, { lsn: 9 as Lsn })).rejects.toMatchObject({
      code: 'RESTORE_TARGET_UNREACHABLE',
      details: { earliestLsn: 10, latestLsn: 20 + 7 },
    });
    expect((await restored(database, { lsn: 10 as Lsn })).lsn).toBe(10);
    await expect(restored(database, { lsn: 0 as Lsn })).rejects.toMatchObject({
      code: 'RESTORE_TARGET_UNREACHABLE',
    });
  });

  it('behind a gap is refused with the LSNs that are missing; before it, it is reached', async () => {
    const database = await thirty();
    for await (const { key, firstLsn } of database.repository.pieces()) {
      if (firstLsn === 21) await database.store.delete(key);
    }
    const gap = { code: 'RESTORE_GAP', details: { firstLsn: 21, lastLsn: 24 } };
    await expect(restored(database, 'latest')).rejects.toMatchObject(gap);
    await expect(restored(database, { lsn: 26 as Lsn })).rejects.toMatchObject(gap);
    const timeMs = database.times.get(22) as number;
    await expect(restored(database, { timeMs })).rejects.toMatchObject({ code: 'RESTORE_GAP' });
    expect((await restored(database, { lsn: 20 as Lsn })).lsn).toBe(20);
  });

  it('may begin with a snapshot that is named, and not with one behind it', async () => {
    const database = await thirty();
    const [first, second] = await database.repository.snapshots();
    const snapshotId = first?.id;
    const found = await restored(database, { lsn: 25 as Lsn }, { snapshotId });
    expect(found).toMatchObject({ lsn: 25, rows: database.states.get(25) });
    await expect(
      restored(database, { lsn: 15 as Lsn }, { snapshotId: second?.id }),
    ).rejects.toMatchObject({ code: 'RESTORE_TARGET_UNREACHABLE' });
    await expect(restored(database, 'latest', { snapshotId: 'none' })).rejects.toMatchObject({
      code: 'RESTORE_TARGET_UNREACHABLE',
    });
  });

  it('pieces may overlap: each LSN is replayed once', async () => {
    const database = await BackedUpDatabase.create();
    await fill(database, 20);
    await database.putPiece(1, 6);
    await database.claim(1, 5);
    for (const [from, to] of [
      [5, 9],
      [8, 12],
      [8, 15],
      [16, 20],
    ] as const) {
      await database.putPiece(from, to);
    }
    await database.putPiece(2, 7, 1);
    await expectEveryLsn(database);
  });
});

describe('along the lineage', () => {
  it('a restored database goes on as its own writer, and is restored again at every LSN', async () => {
    const database = await BackedUpDatabase.create();
    await fill(database, 8);
    await database.snapshot();
    await fill(database, 8);
    await database.archive(3);
    const abandoned = new Map(database.states);
    const { fileSystem } = await restored(database, { lsn: 11 as Lsn });
    await database.goOnWith(fileSystem, INTO, 11);
    await database.claim(1, 12);
    for (let i = 0; i < 4; i++) await database.write({ [`second life ${i}`]: `${i}` });
    await database.archive(2);
    await database.snapshot();
    await fill(database, 3);
    await database.archive(5);
    await expectEveryLsn(database);
    // What the first writer did behind that point is still there for who asks for its history.
    for (let lsn = 9; lsn <= 16; lsn++) {
      const found = await restored(database, { lsn: lsn as Lsn }, { epoch: 1 });
      expect(found.rows).toEqual(abandoned.get(lsn));
    }
    await expect(restored(database, 'latest', { epoch: 9 })).rejects.toMatchObject({
      code: 'RESTORE_TARGET_UNREACHABLE',
    });
  });

  it("what a zombie archives, marks or snapshots behind its end is nobody's", async () => {
    const database = await BackedUpDatabase.create();
    await fill(database, 10);
    await database.archive(4, 6);
    await database.claim(1, 7);
    await database.archive(2, 8);
    await database.putPiece(7, 10, 1); // by the first writer, that does not know yet
    database.epoch = 1;
    await database.mark('zombie', 8);
    await database.snapshot();
    expect((await restored(database, 'latest')).lsn).toBe(8);
    await expect(restored(database, { name: 'zombie' })).rejects.toMatchObject({
      code: 'RESTORE_POINT_NOT_FOUND',
    });
    await expect(restored(database, { lsn: 9 as Lsn })).rejects.toMatchObject({
      code: 'RESTORE_TARGET_UNREACHABLE',
    });
  });
});

describe('the report', () => {
  it('says what will be done, and a dry run does nothing', async () => {
    const database = await BackedUpDatabase.create();
    await fill(database, 8);
    const snapshot = await database.snapshot();
    await fill(database, 8);
    await database.archive(3);
    const fileSystem = new MemoryFileSystem();
    const { clock, store } = database;
    const components = { fileSystem, clock, random: new NodeRandom(), objects: store };
    const settings = { into: INTO, target: { lsn: 12 as Lsn } };
    const dry = await restoreDatabase(components, { ...settings, dryRun: true });
    expect(await fileSystem.list('/')).toEqual([]);
    const seen: RestoreProgress[] = [];
    const report = await restoreDatabase(components, settings, (progress) => seen.push(progress));
    expect({ ...dry, ms: 0 }).toEqual({ ...report, ms: 0 });
    expect(report).toMatchObject({
      snapshotId: snapshot.snapshotId,
      lsn: 12,
      committedAtMs: database.times.get(12),
      files: snapshot.files.length,
      bytes: snapshot.totalBytes,
      records: 4,
      plan: { latestLsn: 16, epoch: 1, shardCount: 2 },
    });
    expect([...new Set(seen.map(({ phase }) => phase))]).toEqual([
      'plan',
      'files',
      'log',
      'verify',
    ]);
    for (const phase of ['files', 'log'] as const) {
      const steps = seen.filter((progress) => progress.phase === phase);
      expect(steps.map(({ done }) => done)).toEqual(
        steps.map(({ done }) => done).sort((a, b) => a - b),
      );
      expect(steps.at(-1)).toMatchObject({ done: steps[0]?.total });
    }
  });

  it('of a drill says that it went well, or what did not, and leaves nothing behind', async () => {
    const database = await BackedUpDatabase.create({ keys: ringOf(3) });
    await fill(database, 8);
    await database.snapshot();
    await fill(database, 3);
    await database.archive();
    const fileSystem = new MemoryFileSystem();
    const { clock, store, keyed } = database;
    const components = { fileSystem, clock, random: new NodeRandom(), objects: store, ...keyed };
    const scratch = '/drill/here';
    await fileSystem.makeDirectory(`${scratch}/copy`); // somebody's: not a drill's to remove
    let looked: Rows = {};
    const drill = (look?: DrillLook): Promise<DrillReport> =>
      drillRestore(components, { scratch }, look);
    const good = await drill(async (dir) => {
      looked = (await rowsIn(fileSystem, dir, database.keys)).rows;
      return [];
    });
    expect(good).toMatchObject({ ok: true, lsn: 11, problems: [] });
    expect(looked).toEqual(database.states.get(11));
    expect(await drill(async () => ['it looks odd'])).toMatchObject({
      ok: false,
      problems: ['it looks odd'],
    });
    for await (const { key } of database.repository.parts()) await store.delete(key);
    const bad = await drill();
    expect(bad.ok).toBe(false);
    expect(bad.problems[0]).toMatch(/^FILE_MISSING: .*parts/);
    expect(await fileSystem.list(scratch)).toEqual(['copy']);
    await fileSystem.removeDirectory(`${scratch}/copy`);
    await drill();
    expect(await fileSystem.list('/drill')).toEqual([]);
  });
});
