import { expect, test } from 'vitest';
import { LOG_CUT_POINTS } from '@holdfast/log';
import { runLogHistories, traceOfLogHistory } from './log-simulation.ts';

// More: npm run simulate -- --only log --histories 100000
const count = Number(process.env['HOLDFAST_HISTORIES'] ?? 300);
const seed = Number(process.env['HOLDFAST_SEED'] ?? 1);

test(
  'whatever ends a life, what was acknowledged is there, whole and once',
  { timeout: 24 * 3_600_000 },
  async () => {
    const report = await runLogHistories({ seed, count });
    console.log(
      `log histories=${report.histories} lives=${report.lives} acknowledged=${report.acknowledged} ` +
        `crashes=${report.crashes} tornTails=${report.tornTails} refused=${report.refusedForSpace}`,
    );
    expect(report.histories).toBe(count);
    // A simulation that does not get to the dangerous places shows nothing.
    expect([...report.cutPoints.keys()].sort()).toEqual([...LOG_CUT_POINTS].sort());
    expect(report.crashes).toBeGreaterThan(count / 4);
    expect(report.tornTails).toBeGreaterThan(0);
    expect(report.refusedForSpace).toBeGreaterThan(0);
  },
);

test('the same seed is the same history', async () => {
  expect(await traceOfLogHistory(77)).toBe(await traceOfLogHistory(77));
  expect(await traceOfLogHistory(77)).not.toBe(await traceOfLogHistory(78));
});
