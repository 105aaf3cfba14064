/**
 * A restore is exact: for random histories of a database that is backed up while it runs, crashes
 * and goes back to earlier points, every LSN is restored as the model has it. A long history at
 * every LSN: `HOLDFAST_EVERY_LSN=1 npx vitest run packages/streams/test/restore-every-lsn.test.ts`;
 * more histories: `npm run simulate -- --only restore --histories 100`.
 */
import { MemoryFileSystem, NodeClock, NodeRandom } from '@holdfast/core';
import { restoreDatabase, type RestoreTarget } from '@holdfast/database';
import { SeededRandom } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { recordHistory, type RestoreHistory } from './restore-history.ts';
import { everyLsn, restoreAt, ring, runRestoreHistories } from './restore-simulation.ts';

const EVERY = process.env['HOLDFAST_EVERY_LSN'] !== undefined;
const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const SAMPLE = 60;

const KINDS = [
  ['plain', false],
  ['encrypted', true],
] as const;

it.each(KINDS)(
  'every LSN of short histories, %s',
  async (_, encrypted) => {
    const totals = await runRestoreHistories({ seed: SEED, count: 3 }, encrypted);
    console.log(`restored to every LSN ${JSON.stringify(totals)}`);
    expect(totals.lsns).toBeGreaterThan(200);
    expect(totals.snapshots).toBeGreaterThan(5);
    expect(totals.crashes).toBeGreaterThan(5);
    expect(totals.restores).toBeGreaterThan(0);
  },
  120_000,
);

it.each(KINDS)(
  'LSNs of a history of 2 000, %s',
  async (_, encrypted) => {
    const keys = encrypted ? ring() : undefined;
    const history = await recordHistory({ seed: SEED + 100, commits: 2_000, keys });
    const startedMs = performance.now();
    const restored = await restoreAt(history, EVERY ? everyLsn(history) : sample(history));
    const perRestore = ((performance.now() - startedMs) / restored).toFixed(1);
    const { lastLsn, snapshots, crashes, restores } = history;
    const shown = JSON.stringify({ lastLsn, snapshots, crashes, restores });
    console.log(`${restored} restores of ${perRestore} ms ${shown}`);
    expect(snapshots).toBeGreaterThan(5);
    expect(crashes).toBeGreaterThan(5);
    await expectNames(history);
  },
  3_600_000,
);

function* sample({ lastLsn }: RestoreHistory): Generator<number> {
  const random = new SeededRandom(SEED);
  for (let i = 0; i < SAMPLE; i++) yield 1 + random.integer(lastLsn);
  yield lastLsn;
}

/** Every restore point leads to its LSN, the newest of two of one name; the latest is the last. */
async function expectNames({ store, keys, points, lastLsn }: RestoreHistory): Promise<void> {
  const seams = { fileSystem: new MemoryFileSystem(), clock: new NodeClock() };
  const components = { ...seams, random: new NodeRandom(), objects: store, keys };
  const lsnOf = async (target: RestoreTarget): Promise<number> =>
    (await restoreDatabase(components, { into: '/never', target, dryRun: true })).lsn;
  for (const [name, lsn] of points) expect([name, await lsnOf({ name })]).toEqual([name, lsn]);
  expect(points.size).toBeGreaterThan(3);
  expect(await lsnOf('latest')).toBe(lastLsn);
}
