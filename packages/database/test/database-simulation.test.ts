import { expect, it } from 'vitest';
import { runDatabaseHistories } from './database-simulation.ts';

const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const COUNT = Number(process.env['HOLDFAST_HISTORIES'] ?? 300);

it(`keeps every acknowledged commit, whole and in order, over ${COUNT} crash histories`, async () => {
  const totals = await runDatabaseHistories({ seed: SEED, count: COUNT });
  console.log(`database simulation: ${JSON.stringify(totals)} from seed ${SEED}`);
  expect(totals.histories).toBe(COUNT);
  if (COUNT >= 100) {
    expect(totals.crashes).toBeGreaterThan(COUNT);
    expect(totals.checkpoints).toBeGreaterThan(COUNT);
    expect(totals.commits).toBeGreaterThan(COUNT * 10);
    expect(totals.rotations).toBeGreaterThan(COUNT / 4);
    expect(totals.retired).toBeGreaterThan(0);
  }
}, 900_000);
