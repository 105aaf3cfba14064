/**
 * Every cut point of snapshots and sweeps, armed in turn: the process ends there, the power fails
 * there, the step fails there, or everything else overtakes it there. Then no listed snapshot lacks
 * anything, or the history says why not.
 */
import { describe, expect, it } from 'vitest';
import { SNAPSHOT_CUT_POINTS } from '../src/cut-points.ts';
import { type CutWay, runArmedSnapshotHistory } from './snapshot-simulation.ts';

/** A point that is not reached in so many histories is not reached. */
const MAX_HISTORIES = 200;
const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);
const WAYS: readonly CutWay[] = ['kill', 'power cut', 'throw', 'delay'];

describe('with a cut at', () => {
  it.each(SNAPSHOT_CUT_POINTS)(
    '%s every listed snapshot is whole',
    async (point) => {
      let seed = SEED;
      for (const way of WAYS) {
        while (!(await runArmedSnapshotHistory(seed, { point, way, nth: 1 }))) {
          expect(seed++, `${way} at ${point} never fired`).toBeLessThan(SEED + MAX_HISTORIES);
        }
        for (let more = 1; more <= 3; more++) {
          await runArmedSnapshotHistory(seed + more, { point, way, nth: more });
        }
      }
    },
    120_000,
  );
});
