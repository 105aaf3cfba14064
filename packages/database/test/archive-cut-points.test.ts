/** The process ends, or the step fails, or others overtake it, at each step of claiming and archiving. */
import { describe, expect, it } from 'vitest';
import { ARCHIVE_CUT_POINTS } from '../src/cut-points.ts';
import { type CutWay, runArmedArchiveHistory } from './archive-simulation.ts';

/** A point that is not reached in so many histories is not reached. */
const MAX_HISTORIES = 60;
const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const WAYS: readonly CutWay[] = ['kill', 'power cut', 'throw', 'delay'];

describe('with a cut at', () => {
  it.each(ARCHIVE_CUT_POINTS)(
    '%s the repository holds exactly what was committed',
    async (point) => {
      let seed = SEED;
      for (const way of WAYS) {
        for (const nth of [1, 2]) {
          while (!(await runArmedArchiveHistory(seed, { point, way, nth }))) {
            expect(seed++, `${way} at ${point} never fired`).toBeLessThan(SEED + MAX_HISTORIES);
          }
        }
      }
    },
    120_000,
  );
});
