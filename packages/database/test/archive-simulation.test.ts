import { expect, it } from 'vitest';
import { runArchiveHistories } from './archive-simulation.ts';

const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const COUNT = Number(process.env['HOLDFAST_HISTORIES'] ?? 40);

it(`archives exactly what was committed, over ${COUNT} crash histories`, async () => {
  const totals = await runArchiveHistories({ seed: SEED, count: COUNT });
  console.log(`archive simulation: ${JSON.stringify(totals)} from seed ${SEED}`);
  expect(totals.histories).toBe(COUNT);
  if (COUNT >= 40) {
    expect(totals.crashes).toBeGreaterThan(COUNT * 2);
    expect(totals.flushes).toBeGreaterThan(COUNT * 2);
    expect(totals.refusals).toBeGreaterThan(0);
    expect(totals.marks).toBeGreaterThan(COUNT);
    expect(totals.epochs).toBeGreaterThan(COUNT * 2);
    expect(totals.lonelyStarts).toBeGreaterThan(0);
  }
}, 900_000);
