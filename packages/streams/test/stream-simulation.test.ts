import { expect, it } from 'vitest';
import { runStreamHistories } from './stream-simulation.ts';

const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const COUNT = Number(process.env['HOLDFAST_HISTORIES'] ?? 100);

it(`finds one state of the model after each of ${COUNT} crash histories of streams`, async () => {
  const totals = await runStreamHistories({ seed: SEED, count: COUNT });
  console.log(`stream simulation: ${JSON.stringify(totals)} from seed ${SEED}`);
  expect(totals.histories).toBe(COUNT);
  if (COUNT >= 100) {
    expect(totals.crashes).toBeGreaterThan(COUNT);
    expect(totals.checkpoints).toBeGreaterThan(COUNT);
    expect(totals.commits).toBeGreaterThan(COUNT * 8);
  }
}, 900_000);
