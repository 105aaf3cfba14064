import { describe, expect, it } from 'vitest';
import { KV_CUT_POINTS } from '../src/index.ts';
import { runArmedKvHistory, runKvHistories } from './kv-simulation.ts';

const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const COUNT = Number(process.env['HOLDFAST_HISTORIES'] ?? 60);
/** A point that is not reached in so many histories is not reached. */
const MAX_HISTORIES = 60;

it(`holds what was acknowledged after each crash of ${COUNT} histories of entries`, async () => {
  const totals = await runKvHistories({ seed: SEED, count: COUNT });
  console.log(`kv simulation: ${JSON.stringify(totals)} from seed ${SEED}`);
  expect(totals.histories).toBe(COUNT);
  if (COUNT < 50) return;
  expect(totals.crashes).toBeGreaterThan(COUNT);
  expect(totals.checkpoints).toBeGreaterThan(COUNT);
  expect(totals.commits).toBeGreaterThan(COUNT * 10);
  expect(totals.found).toBeGreaterThan(COUNT * 10);
}, 900_000);

describe('with a cut at', () => {
  it.each(KV_CUT_POINTS)(
    '%s the next start finds what was acknowledged',
    async (point) => {
      let seed = SEED;
      for (const way of ['kill', 'power cut'] as const) {
        while (!(await runArmedKvHistory(seed, { point, way, nth: 1 }))) {
          expect(seed++, `${way} at ${point} never fired`).toBeLessThan(SEED + MAX_HISTORIES);
        }
        for (let more = 1; more <= 3; more++) {
          await runArmedKvHistory(seed + more, { point, way, nth: 1 + 2 * more });
        }
      }
    },
    120_000,
  );
});
