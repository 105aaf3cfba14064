/** A restore is exact: every LSN, every kind of target, along the lineage; or it is refused. */
import { type Lsn, MemoryFileSystem, NodeRandom } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { restoreDatabase, type RestoreSettings } from '../src/backup/restore.ts';
import { BackedUpDatabase, ringOf, type Rows, rowsIn } from './backed-up-database.ts';

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
