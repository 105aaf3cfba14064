/**
 * Every cut point of the whole stack, armed in turn in a history of streams over the real
 * database: the process ends there, the power fails there, the step fails there, or everything
 * else overtakes it there. Then the state is one of the model's, or the history says why not.
 */
import { DATABASE_CUT_POINTS, LOG_CUT_POINTS, TABLES_CUT_POINTS } from '@holdfast/database';
import { describe, expect, it } from 'vitest';
import { STREAMS_CUT_POINTS } from '../src/cut-points.ts';
import { type CutWay, runArmedHistory } from './stream-simulation.ts';

/** A point that is not reached in so many histories is not reached. */
const MAX_HISTORIES = 200;
const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1);

/** Passed within one turn, where nothing may wait or throw. */
const AT_ONCE: ReadonlySet<string> = new Set<string>([
  ...STREAMS_CUT_POINTS,
  'log.beforeWrite',
  'log.afterWrite',
  'log.afterSync',
]);

/** Not reached by a database in good order; each has a test of its own. */
const ELSEWHERE: ReadonlySet<string> = new Set(['file.leftoverUnlinked']);

const POINTS = [
  ...LOG_CUT_POINTS,
  ...TABLES_CUT_POINTS,
  ...DATABASE_CUT_POINTS,
  ...STREAMS_CUT_POINTS,
].filter((point) => !ELSEWHERE.has(point));

describe('with a cut at', () => {
  it.each(POINTS)(
    '%s the next start finds a state of the model',
    async (point) => {
      const ways: readonly CutWay[] = AT_ONCE.has(point)
        ? ['kill', 'power cut']
        : ['kill', 'power cut', 'throw', 'delay'];
      // What comes before the point is the same in every way: so is the seed that gets there.
      let seed = SEED;
      for (const way of ways) {
        while (!(await runArmedHistory(seed, { point, way, nth: 1 }))) {
          expect(seed++, `${way} at ${point} never fired`).toBeLessThan(SEED + MAX_HISTORIES);
        }
        // And where it is passed later: in another state, beside other things.
        for (let more = 1; more <= 2; more++) {
          await runArmedHistory(seed + more, { point, way, nth: 1 + more });
        }
      }
    },
    120_000,
  );
});
