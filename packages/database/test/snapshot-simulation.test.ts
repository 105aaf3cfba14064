import { expect, it } from 'vitest';
import { runSnapshotHistories } from './snapshot-simulation.ts';

const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const COUNT = Number(process.env['HOLDFAST_HISTORIES'] ?? 60);

it(`lists whole snapshots only, over ${COUNT} crash histories`, async () => {
  const totals = await runSnapshotHistories({ seed: SEED, count: COUNT });
  console.log(`snapshot simulation: ${JSON.stringify(totals)} from seed ${SEED}`);
  expect(totals.histories).toBe(COUNT);
  if (COUNT >= 60) {
    expect(totals.crashes).toBe(COUNT * 3);
    for (const name of ['made', 'failed', 'deleted', 'sweeps', 'verified'] as const) {
      expect(totals[name], name).toBeGreaterThan(COUNT / 2);
    }
  }
}, 900_000);
