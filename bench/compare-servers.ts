/**
 * Two servers of ours side by side. Both run at once; one sample is taken at a time, the order is
 * reversed in every other round, and medians are compared.
 */
import { APPEND_SCENARIOS } from './append-scenarios.ts';
import type { BenchTarget } from './bench-target.ts';
import { medians, residentMiB, rounded, type Metrics } from './measure.ts';
import { READ_SCENARIOS } from './read-scenarios.ts';
import type { Scale, Scenario } from './scenario.ts';

export interface Comparison {
  readonly scale: Scale;
  /** Ids of scenarios; absent: all. */
  readonly only: readonly string[] | undefined;
}

/** Prints for each metric the first, the second, and the second over the first. */
export async function compareServers(
  first: BenchTarget,
  second: BenchTarget,
  { scale, only }: Comparison,
): Promise<void> {
  try {
    await first.start();
    await second.start();
    for (const scenario of [...APPEND_SCENARIOS, ...READ_SCENARIOS]) {
      if (only !== undefined && !only.includes(scenario.id)) continue;
      await compare(scenario, first, second, scale);
    }
  } finally {
    for (const target of [first, second]) {
      await target.stop();
      target.removeDirectory();
    }
  }
}

async function compare(
  scenario: Scenario,
  first: BenchTarget,
  second: BenchTarget,
  scale: Scale,
): Promise<void> {
  const rounds = new Map<BenchTarget, Metrics[]>([
    [first, []],
    [second, []],
  ]);
  for (let round = 0; round < scale.rounds; round++) {
    for (const target of round % 2 === 0 ? [first, second] : [second, first]) {
      rounds.get(target)?.push(await measured(scenario, target, scale));
    }
  }
  const [was, is] = [first, second].map((target) => medians(rounds.get(target) ?? []));
  for (const [name, value] of Object.entries(is ?? {})) {
    const old = was?.[name];
    if (old === undefined || old === 0) continue;
    const ratio = `x${(value / old).toFixed(3)}`;
    console.log(`${scenario.id} ${name}: ${rounded(old)} -> ${rounded(value)} ${ratio}`);
  }
}

async function measured(scenario: Scenario, target: BenchTarget, scale: Scale): Promise<Metrics> {
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
