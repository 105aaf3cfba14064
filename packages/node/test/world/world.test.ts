import { expect, it } from 'vitest';
import { runWorldHistories } from './world-history.ts';

const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const COUNT = Number(process.env['HOLDFAST_HISTORIES'] ?? 300);

it(`keeps every promise to its clients in ${COUNT} virtual worlds`, async () => {
  const totals = await runWorldHistories({ seed: SEED, count: COUNT });
  console.log(`virtual worlds: ${JSON.stringify(totals)} from seed ${SEED}`);
  expect(totals.histories).toBe(COUNT);
  expect(totals.undecided).toBeLessThanOrEqual(Math.ceil(COUNT / 50));
  if (COUNT < 100) return;
  // What has to have happened, or it shows nothing.
  expect(totals.crashes).toBeGreaterThan(COUNT * 1.5);
  expect(totals.crashesWhileStarting).toBeGreaterThan(COUNT / 4);
  expect(totals.orderlyCloses).toBeGreaterThan(COUNT / 4);
  expect(totals.diskFaults).toBeGreaterThan(COUNT / 4);
  expect(totals.checkpoints).toBeGreaterThan(COUNT * 2);
  expect(totals.operations).toBeGreaterThan(COUNT * 80);
  expect(totals.unknown).toBeGreaterThan(COUNT * 5);
}, 900_000);
