/**
 * Question: did a change make the server slower? This checkout beside another one, built both.
 *
 *   node --import tsx bench/before-after.bench.ts --before ../checkout [--only a,b] [--rounds N]
 *
 * Both servers run at once; one sample is taken at a time, the order is reversed in every other
 * round, and medians are compared. A ratio above 1 means: more of it than before.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { APPEND_SCENARIOS } from './append-scenarios.ts';
import { BenchTarget } from './bench-target.ts';
import { medians, residentMiB, rounded, type Metrics } from './measure.ts';
import { READ_SCENARIOS } from './read-scenarios.ts';
import { FULL, QUICK, type Scale, type Scenario } from './scenario.ts';

const { values: flags } = parseArgs({
  options: {
    before: { type: 'string' },
    only: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
if (flags.before === undefined) throw new Error('--before needs a built checkout to compare with');

const scale: Scale = { ...(flags.quick ? QUICK : FULL), rounds: Number(flags.rounds ?? 5) };
const wanted = flags.only?.split(',');
const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-bench-'));
const common = { name: 'holdfast', source: false } as const;
const before = new BenchTarget({
  ...common,
  directory: path.join(directory, 'before'),
  checkout: path.resolve(flags.before),
});
const after = new BenchTarget({ ...common, directory: path.join(directory, 'after') });
try {
  await before.start();
  await after.start();
  for (const scenario of [...APPEND_SCENARIOS, ...READ_SCENARIOS]) {
    if (wanted === undefined || wanted.includes(scenario.id)) await compare(scenario);
  }
} finally {
  for (const target of [before, after]) {
    await target.stop();
    target.removeDirectory();
  }
  rmSync(directory, { recursive: true, force: true });
}

async function compare(scenario: Scenario): Promise<void> {
  const rounds = new Map<BenchTarget, Metrics[]>([
    [before, []],
    [after, []],
  ]);
  for (let round = 0; round < scale.rounds; round++) {
    for (const target of round % 2 === 0 ? [before, after] : [after, before]) {
      rounds.get(target)?.push(await measured(scenario, target));
    }
  }
  const [was, is] = [before, after].map((target) => medians(rounds.get(target) ?? []));
  for (const [name, value] of Object.entries(is ?? {})) {
    const old = was?.[name];
    if (old === undefined || old === 0) continue;
    const ratio = `x${(value / old).toFixed(3)}`;
    console.log(`${scenario.id} ${name}: ${rounded(old)} -> ${rounded(value)} ${ratio}`);
  }
}

async function measured(scenario: Scenario, target: BenchTarget): Promise<Metrics> {
  if (scenario.fresh !== true) {
    return { ...(await scenario.run(target, scale)), rssMiB: residentMiB(target.pid) };
  }
  const fresh = target.another();
  try {
    await fresh.start();
    return await scenario.run(fresh, scale);
  } finally {
    await fresh.stop();
    fresh.removeDirectory();
  }
}
