/**
 * A restore is exact for key-value stores too: for random histories of a database with all engines of
 * a node that is backed up while it runs, crashes and goes back to earlier points, every LSN is
 * restored as the model has it: values, versions, places of creation, expiries, names of stores.
 * More histories: `npm run simulate -- --only kv-restore --histories 100`.
 */
import { expect, it } from 'vitest';
import { runKvRestoreHistories } from './kv-restore-simulation.ts';

const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);

it.each([
  ['plain', false],
  ['encrypted', true],
] as const)(
  'every LSN of histories with stores, %s',
  async (_, encrypted) => {
    const totals = await runKvRestoreHistories({ seed: SEED, count: 5 }, encrypted);
    console.log(`restored to every LSN with stores ${JSON.stringify(totals)}`);
    expect(totals.lsns).toBeGreaterThan(150);
    expect(totals.unknown).toBeLessThan(totals.lsns / 4);
    expect(totals.snapshots).toBeGreaterThan(3);
    expect(totals.crashes).toBeGreaterThan(3);
    expect(totals.expired).toBeGreaterThan(3);
    expect(totals.restores).toBeGreaterThan(0);
  },
  240_000,
);
