/**
 * Question: did a change make the server slower? This checkout beside another one, built both.
 *
 *   node --import tsx bench/before-after.bench.ts --before ../checkout [--only a,b] [--rounds N]
 *
 * A ratio above 1 means: more of it than before.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { BenchTarget } from './bench-target.ts';
import { compareServers } from './compare-servers.ts';
import { FULL, QUICK } from './scenario.ts';

const { values: flags } = parseArgs({
  options: {
    before: { type: 'string' },
    only: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
if (flags.before === undefined) throw new Error('--before needs a built checkout to compare with');

const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-bench-'));
const common = { name: 'holdfast', source: false } as const;
try {
  await compareServers(
    new BenchTarget({
      ...common,
      directory: path.join(directory, 'before'),
      checkout: path.resolve(flags.before),
    }),
    new BenchTarget({ ...common, directory: path.join(directory, 'after') }),
    {
      scale: { ...(flags.quick ? QUICK : FULL), rounds: Number(flags.rounds ?? 5) },
      only: flags.only?.split(','),
    },
  );
} finally {
  rmSync(directory, { recursive: true, force: true });
}
