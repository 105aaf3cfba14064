import { describe, expect, test } from 'vitest';
import { noTotals, runRecordHistories, runRecordHistory } from './record-simulation.ts';

const TIMEOUT_MS = 120_000;

describe('records in a network of trouble and liars', () => {
  test(
    'never go back, are never made up, and everybody agrees in the end',
    async () => {
      const totals = await runRecordHistories({ seed: 1, count: 4 });
      expect(totals.histories).toBe(4);
      for (const [what, count] of Object.entries(totals)) expect(count, what).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  test(
    'one seed is one history, another seed another',
    async () => {
      const shape = { peers: 16, records: 1, steps: 4, lying: 0.2 };
      const first = await runRecordHistory(7, shape);
      expect(await runRecordHistory(7, shape)).toBe(first);
      expect(await runRecordHistory(8, shape)).not.toBe(first);
    },
    TIMEOUT_MS,
  );

  test(
    'hold among two hundred peers',
    async () => {
      const totals = noTotals();
      const shape = { peers: 200, records: 3, steps: 5, lying: 0.1, refreshMs: 600_000 };
      await runRecordHistory(1, shape, totals);
      expect(totals.committed).toBeGreaterThan(3);
    },
    TIMEOUT_MS,
  );
});
