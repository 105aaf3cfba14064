import { expect, it } from 'vitest';
import { runWorldHistories } from './world-history.ts';

const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const COUNT = Number(process.env['HOLDFAST_HISTORIES'] ?? 300);

it(`keeps every promise to its clients in ${COUNT} virtual worlds`, async () => {
  const totals = await runWorldHistories({ seed: SEED, count: COUNT });
  console.log(`virtual worlds: ${JSON.stringify(totals)} from seed ${SEED}`);
  expect(totals.histories).toBe(COUNT);
}, 900_000);
