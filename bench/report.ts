/** From results to the tables of docs/BENCHMARKS.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { TargetName } from './bench-target.ts';
import { rounded, type Metrics } from './measure.ts';
import type { ScenarioProfile, Share } from './server-profile.ts';
import { GOALS, type Goal } from './targets.ts';

export interface BenchResults {
  readonly meta: Readonly<Record<string, string | number | boolean>>;
  /** Scenario → server → medians of its metrics. */
  readonly scenarios: Record<string, Partial<Record<TargetName, Metrics>>>;
  /** Scenario → server → every round, to see the noise. */
  readonly rounds: Record<string, Partial<Record<TargetName, Metrics[]>>>;
  readonly failures: string[];
  readonly speedOfLight: Record<string, Metrics>;
  /** Scenario → where our processor time went. */
  readonly profiles: Record<string, ScenarioProfile>;
}

const PEERS = ['npm-file', 'npm-memory'] as const;
const BEGIN = '<!-- servers:begin -->';
const END = '<!-- servers:end -->';

export function markdown(results: BenchResults): string {
  const meta = Object.entries(results.meta).map(([name, value]) => `${name} ${value}`);
  return [
    `Measured: ${meta.join(', ')}. Medians; the client shares the machine.`,
    '',
    ...goalsTable(results),
    '',
    ...costTable(results),
    '',
    ...limitsTable(results),
    ...profileTables(results.profiles),
    ...(results.failures.length === 0
      ? []
      : ['', 'Samples that failed:', '', ...results.failures.map((line) => `- ${line}`)]),
    '',
  ].join('\n');
}

function goalsTable(results: BenchResults): string[] {
  return [
    '| scenario | holdfast | npm file-backed | ratio | npm in memory | ratio | reached |',
    '| --- | ---: | ---: | ---: | ---: | ---: | --- |',
    ...GOALS.filter((goal) => results.scenarios[goal.scenario] !== undefined).map((goal) => {
      const by = results.scenarios[goal.scenario] ?? {};
      const ours = by.holdfast?.[goal.metric];
      const cells = PEERS.flatMap((peer) => {
        // What has no goal against others is a bound of our own.
        const compared = Object.keys(goal.against).length > 0;
        const theirs = compared ? by[peer]?.[goal.metric] : undefined;
        return [show(theirs, goal.unit), ratioCell(goal, peer, ours, theirs)];
      });
      return `| ${[goal.label, show(ours, goal.unit), ...cells, verdict(goal, by)].join(' | ')} |`;
    }),
  ];
}

function ratioCell(
  goal: Goal,
  peer: (typeof PEERS)[number],
  ours: number | undefined,
  theirs: number | undefined,
): string {
  if (ours === undefined || theirs === undefined || !(theirs > 0)) return '–';
  const wanted = goal.against[peer];
  const sign = goal.better === 'more' ? '≥' : '≤';
  return `${rounded(ours / theirs, 3)}×${wanted === undefined ? '' : ` (${sign} ${wanted})`}`;
}

/** `yes`, or by how much it falls short. */
export function verdict(goal: Goal, by: Partial<Record<TargetName, Metrics>>): string {
  const ours = by.holdfast?.[goal.metric];
  if (ours === undefined || Number.isNaN(ours)) return 'not measured';
  const short: string[] = [];
  for (const peer of PEERS) {
    const wanted = goal.against[peer];
    const theirs = by[peer]?.[goal.metric];
    if (wanted === undefined || theirs === undefined || !(theirs > 0)) continue;
    const reached = goal.better === 'more' ? ours / theirs / wanted : (wanted * theirs) / ours;
    if (reached < 1) short.push(`${peer}: ${rounded(reached * 100, 3)} % of the goal`);
  }
  if (goal.absolute !== undefined && ours > goal.absolute) {
    short.push(`${rounded(ours, 3)} against ${goal.absolute}`);
  }
  if (short.length > 0) return `**no** (${short.join('; ')})`;
  return Object.keys(goal.against).length === 0 && goal.absolute === undefined ? '–' : 'yes';
}

function costTable(results: BenchResults): string[] {
  const rows = Object.entries(results.scenarios).flatMap(([scenario, by]) => {
    const cells = (['holdfast', ...PEERS] as const).map((name) => {
      const metrics = by[name];
      const cpu = metrics?.['serverCpuUsPerOp'] ?? metrics?.['serverCpuUsPerDelivery'];
      const wait = metrics?.['p50Ms'];
      return `${show(cpu, 'µs')}, ${show(wait, 'ms')}, ${show(metrics?.['p99Ms'], 'ms')}`;
    });
    if (cells.every((cell) => cell === '–, –, –')) return [];
    return [`| ${[scenario, ...cells].join(' | ')} |`];
  });
  return [
    'Processor time of the server per operation, latency p50 and p99:',
    '',
    '| scenario | holdfast | npm file-backed | npm in memory |',
    '| --- | --- | --- | --- |',
    ...rows,
  ];
}

function limitsTable(results: BenchResults): string[] {
  return [
    'The speed of light in the same run:',
    '',
    '| | /s | p50 | p99 |',
    '| --- | ---: | ---: | ---: |',
    ...Object.entries(results.speedOfLight).map(
      ([name, metrics]) =>
        `| ${name} | ${show(metrics['perSecond'], '')} | ${show(metrics['p50Ms'], 'ms')} | ${show(metrics['p99Ms'], 'ms')} |`,
    ),
  ];
}

function profileTables(profiles: BenchResults['profiles']): string[] {
  const list = (shares: readonly Share[]): string =>
    shares.map(({ name, share }) => `${(share * 100).toFixed(1)} % ${name}`).join('; ');
  return Object.entries(profiles).flatMap(([scenario, { places, functions }]) => [
    '',
    `Where the main thread of holdfast spends its time in \`${scenario}\`: ${list(places)}.`,
    '',
    `By function: ${list(functions.map(({ name, share }) => ({ name: `\`${name}\``, share })))}.`,
  ]);
}

function show(value: number | undefined, unit: string): string {
  if (value === undefined || Number.isNaN(value)) return '–';
  const text = value >= 100 ? Math.round(value).toLocaleString('en') : String(rounded(value, 3));
  return unit === '' ? text : unit.startsWith('/') ? `${text}${unit}` : `${text} ${unit}`;
}

/** Puts the tables between the markers of the document; false when it has none. */
export function writeInto(document: string, tables: string, begin = BEGIN, end = END): boolean {
  const text = readFileSync(document, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) return false;
  writeFileSync(document, `${text.slice(0, from + begin.length)}\n\n${tables}\n${text.slice(to)}`);
  return true;
}
