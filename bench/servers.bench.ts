/**
 * Question: how does the durable server compare to the npm server, file-backed and in memory, in
 * everything a client does?
 *
 * Success: the goals of `targets.ts` (the table of docs/BENCHMARKS.md), with an fdatasync behind
 * every acknowledgement of ours.
 * Speed of light: bare `node:http` answering small POSTs, and bare batched write + fdatasync, both
 * in the same run.
 *
 *   node --import tsx bench/servers.bench.ts [--quick] [--source] [--only a,b] [--rounds N]
 *        [--dir DIR] [--json FILE] [--write] [--no-cold] [--no-profile]
 *   node --import tsx bench/servers.bench.ts --tables FILE   # print the tables of a result again
 *
 * `--write` puts the tables into docs/BENCHMARKS.md and the result into bench/results/.
 * Servers run side by side; samples are taken one server at a time, the order reversed in every
 * other round (ABBA), and medians are compared. The client shares the machine with the server.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { APPEND_SCENARIOS } from './append-scenarios.ts';
import { BenchTarget, type TargetName } from './bench-target.ts';
import { coldStart } from './cold-start.ts';
import { medians, residentMiB, rounded, type Metrics } from './measure.ts';
import { READ_SCENARIOS } from './read-scenarios.ts';
import { markdown, writeInto, type BenchResults } from './report.ts';
import { FULL, QUICK, type Scale, type Scenario } from './scenario.ts';
import { profileScenario } from './server-profile.ts';
import { bareBatchedCommits, bareHttp } from './speed-of-light.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const NAMES: readonly TargetName[] = ['holdfast', 'npm-file', 'npm-memory'];
const APPEND_BYTES = 100;
const PROFILED = ['append-1-stream-c64', 'json-batches', 'catch-up-1-reader', 'sse-few', 'mixed'];

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    source: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    dir: { type: 'string', default: os.tmpdir() },
    json: { type: 'string' },
    tables: { type: 'string' },
    write: { type: 'boolean', default: false },
    'no-cold': { type: 'boolean', default: false },
    'no-profile': { type: 'boolean', default: false },
  },
});

if (flags.tables === undefined) await run();
else process.stdout.write(markdown(readResults(flags.tables)));

function readResults(file: string): BenchResults {
  return JSON.parse(readFileSync(file, 'utf8')) as BenchResults;
}

async function run(): Promise<void> {
  const base = flags.quick ? QUICK : FULL;
  const scale = { ...base, rounds: Number(flags.rounds ?? base.rounds) };
  const directory = mkdtempSync(path.join(flags.dir, 'holdfast-bench-'));
  const results: BenchResults = {
    meta: {
      date: new Date().toISOString().slice(0, 10),
      node: process.version,
      cpus: `${os.cpus().length} × ${os.cpus()[0]?.model ?? '?'}`,
      kernel: os.release(),
      rounds: scale.rounds,
      'seconds per sample': scale.measureMs / 1_000,
      ...(flags.source ? { build: 'from source' } : {}),
    },
    scenarios: {},
    rounds: {},
    failures: [],
    speedOfLight: {},
    profiles: {},
  };
  try {
    await limits(results, directory, scale);
    await compare(results, directory, scale);
    if (!flags['no-cold']) await compareStarts(results, directory, scale);
    if (!flags['no-profile']) await profile(results, directory, scale);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  publish(results);
}

async function limits(results: BenchResults, directory: string, scale: Scale): Promise<void> {
  for (const connections of [64, 1]) {
    const name = `bare node:http, POST of 100 B, ${connections} connections`;
    const { warmupMs, measureMs } = scale;
    results.speedOfLight[name] = await bareHttp(connections, APPEND_BYTES, warmupMs, measureMs);
  }
  for (const inFlight of [64, 1]) {
    const name = `bare write + fdatasync, ${inFlight} × 100 B a batch`;
    const { measureMs } = scale;
    const measured = await bareBatchedCommits(directory, inFlight, APPEND_BYTES, measureMs);
    results.speedOfLight[name] = measured;
  }
  for (const [name, metrics] of Object.entries(results.speedOfLight)) tell(name, metrics);
}

async function compare(results: BenchResults, directory: string, scale: Scale): Promise<void> {
  const targets = NAMES.map((name) => newTarget(name, directory));
  const wanted = flags.only?.split(',');
  const scenarios = [...APPEND_SCENARIOS, ...READ_SCENARIOS].filter(
    ({ id }) => wanted === undefined || wanted.includes(id),
  );
  try {
    for (const target of targets) await target.start();
    for (const scenario of scenarios) await sample(results, scenario, targets, scale);
    results.scenarios['memory'] = Object.fromEntries(
      targets.map((target) => [target.name, { peakMiB: rounded(target.peakMiB) }]),
    );
  } finally {
    for (const target of targets) await target.stop();
    for (const target of targets) target.removeDirectory();
  }
}

async function sample(
  results: BenchResults,
  scenario: Scenario,
  targets: readonly BenchTarget[],
  scale: Scale,
): Promise<void> {
  const rounds: Partial<Record<TargetName, Metrics[]>> = {};
  for (let round = 0; round < scale.rounds; round++) {
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      try {
        const metrics = roundedMetrics(await measured(scenario, target, scale));
        (rounds[target.name] ??= []).push(metrics);
        tell(`${scenario.id} #${round + 1} ${target.name}`, metrics);
      } catch (error) {
        results.failures.push(`${scenario.id} ${target.name}: ${String(error)}`);
        process.stderr.write(`${scenario.id} ${target.name}: ${String(error)}\n`);
      }
    }
  }
  results.rounds[scenario.id] = rounds;
  results.scenarios[scenario.id] = Object.fromEntries(
    Object.entries(rounds).map(([name, metrics]) => [name, roundedMetrics(medians(metrics))]),
  );
}

async function measured(scenario: Scenario, target: BenchTarget, scale: Scale): Promise<Metrics> {
  if (scenario.fresh !== true) {
    const metrics = await scenario.run(target, scale);
    return { ...metrics, rssMiB: residentMiB(target.pid) };
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

async function compareStarts(
  results: BenchResults,
  directory: string,
  scale: Scale,
): Promise<void> {
  const durable = (['holdfast', 'npm-file'] as const).map((name) =>
    newTarget(name, path.join(directory, 'cold')),
  );
  try {
    const measured = await coldStart(durable, scale);
    results.scenarios['cold-start'] = Object.fromEntries(
      [...measured].map(([target, metrics]) => [target.name, roundedMetrics(metrics)]),
    );
  } catch (error) {
    results.failures.push(`cold-start: ${String(error)}`);
  } finally {
    for (const target of durable) {
      await target.stop('SIGKILL');
      target.removeDirectory();
    }
  }
}

async function profile(results: BenchResults, directory: string, scale: Scale): Promise<void> {
  for (const scenario of [...APPEND_SCENARIOS, ...READ_SCENARIOS]) {
    if (!PROFILED.includes(scenario.id) || results.scenarios[scenario.id] === undefined) continue;
    const measured = await profileScenario(scenario, directory, scale, flags.source);
    results.profiles[scenario.id] = measured;
  }
}

function newTarget(name: TargetName, directory: string): BenchTarget {
  return new BenchTarget({ name, directory: path.join(directory, name), source: flags.source });
}

function publish(results: BenchResults): void {
  const tables = markdown(results);
  process.stdout.write(tables);
  const text = `${JSON.stringify(results, null, 1)}\n`;
  if (flags.json !== undefined) writeFileSync(flags.json, text);
  if (!flags.write) return;
  const folder = path.join(ROOT, 'bench/results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `${results.meta['date']}.json`), text);
  if (!writeInto(path.join(ROOT, 'docs/BENCHMARKS.md'), tables)) {
    process.stderr.write('docs/BENCHMARKS.md has no markers for the tables\n');
  }
}

function roundedMetrics(metrics: Metrics): Metrics {
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, rounded(value)]));
}

function tell(what: string, metrics: Metrics): void {
  const shown = Object.entries(metrics).map(([name, value]) => `${name}=${rounded(value, 3)}`);
  process.stderr.write(`${what}: ${shown.join(' ')}\n`);
}
