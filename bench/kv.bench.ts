/**
 * Question: how fast are the stores of the engine beside raw LMDB (and `node:sqlite`, where Node has
 * it), what do tiers cost beside the stores they are made of, and how fast does a lost primary come
 * back?
 *
 *   node --conditions x-source --import tsx bench/kv.bench.ts [--quick] [--only a,b] [--rounds N]
 *     [--entries N] [--json FILE] [--write] [--dir DIR]
 *
 * Success, of raw LMDB's rate in the same run: gets in memory 0.5, from rows 0.1, 64 durable puts at
 * once 1, scans 0.5; tiers add at most 3 us of processor time to a get; 30 000 entries of 1 KiB a
 * second are restored into LMDB or SQLite. Speed of light: raw LMDB, which checks nothing and keeps no
 * order of creation.
 *
 * Rounds take turns, so that a noisy machine hits all of them. `--write` puts the tables into
 * docs/BENCHMARKS.md and the numbers into bench/results/. For `node:sqlite` run it with Node 24.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type KvCase, type KvScale, openStores } from './kv-cases.ts';
import { type TierCase, TierStores } from './kv-tier-cases.ts';
import { medians, rounded, type Metrics } from './measure.ts';
import { writeInto } from './report.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FULL = { rounds: 5, entries: 100_000, gets: 200_000, puts: 20_000, tierEntries: 50_000 };
const QUICK = { rounds: 1, entries: 10_000, gets: 20_000, puts: 2_000, tierEntries: 5_000 };

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    entries: { type: 'string' },
    dir: { type: 'string', default: os.tmpdir() },
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
});
const base = flags.quick ? QUICK : FULL;
const scale: KvScale = {
  ...base,
  rounds: Number(flags.rounds ?? base.rounds),
  entries: Number(flags.entries ?? base.entries),
};
const wanted = flags.only?.split(',');
const isWanted = ({ id }: { readonly id: string }): boolean =>
  wanted === undefined || wanted.some((start) => id.startsWith(start));

interface Measured {
  readonly label: string;
  readonly bySubject: Record<string, Metrics>;
  readonly rounds: Record<string, Metrics[]>;
  /** As a row of the table. */
  readonly row: readonly string[];
}

const measured: Record<string, Measured> = {};
const directory = mkdtempSync(path.join(flags.dir, 'holdfast-kv-'));
try {
  await measureStores();
  await measureTiers();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
publish();

async function measureStores(): Promise<void> {
  if (wanted?.every((id) => id.startsWith('tier') || id.startsWith('restore'))) return;
  const stores = await openStores(directory, scale);
  try {
    for (const each of stores.cases.filter(isWanted)) {
      const rounds: Record<string, Metrics[]> = {};
      for (let round = 0; round <= scale.rounds; round++) {
        for (const subject of each.subjects) {
          const metrics = await each.sample(subject, round);
          if (round > 0) (rounds[subject.name] ??= []).push(metrics);
        }
      }
      const bySubject = mediansOf(rounds);
      measured[each.id] = { label: each.label, bySubject, rounds, row: storeRow(each, bySubject) };
      process.stderr.write(`| ${measured[each.id]?.row.join(' | ')} |\n`);
    }
  } finally {
    await stores.close();
  }
}

async function measureTiers(): Promise<void> {
  if (wanted?.every((id) => !id.startsWith('tier') && !id.startsWith('restore'))) return;
  const stores = await TierStores.open(directory, scale);
  try {
    const cases = (await stores.cases()).filter(isWanted);
    const rounds: Record<string, Metrics[]> = {};
    for (let round = 0; round < scale.rounds; round++) {
      for (const each of cases) (rounds[each.id] ??= []).push(await each.sample(round));
    }
    for (const each of cases) {
      const ofCase = { holdfast: rounds[each.id] ?? [] };
      const bySubject = mediansOf(ofCase);
      const row = tierRow(each, bySubject['holdfast'] ?? {});
      measured[each.id] = { label: each.label, bySubject, rounds: ofCase, row };
      process.stderr.write(`| ${row.join(' | ')} |\n`);
    }
  } finally {
    await stores.close();
  }
}

function mediansOf(rounds: Record<string, Metrics[]>): Record<string, Metrics> {
  return Object.fromEntries(
    Object.entries(rounds).map(([name, each]) => [name, roundedAll(medians(each))]),
  );
}

function roundedAll(metrics: Metrics): Metrics {
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, rounded(value)]));
}

function storeRow({ label, goal }: KvCase, by: Record<string, Metrics>): string[] {
  const cell = (name: string): string => {
    const metrics = by[name];
    return metrics === undefined ? '–' : `${rate(metrics)}, ${metrics['cpuUs']} µs`;
  };
  const ratio = (by['holdfast']?.['perSecond'] ?? 0) / (by['lmdb']?.['perSecond'] ?? Number.NaN);
  const verdict = goal === undefined ? '' : ratio >= goal ? ` (≥ ${goal})` : ` (**no**: ≥ ${goal})`;
  const cells = ['holdfast', 'lmdb', 'sqlite'].map(cell);
  return [label, ...cells, `${rounded(ratio, 2)}${verdict}`];
}

function tierRow({ label, goal }: TierCase, metrics: Metrics): string[] {
  const { moreUs, cpuUs } = metrics;
  const value =
    moreUs === undefined
      ? `${rate(metrics)}, ${cpuUs} µs`
      : `${rounded(moreUs, 3)} µs more than ${metrics['aloneUs']} µs`;
  if (goal === undefined) return [label, value, ''];
  const reached = metrics[goal.of] ?? Number.NaN;
  const holds = goal.least === undefined ? reached <= (goal.most ?? 0) : reached >= goal.least;
  const bound = goal.least === undefined ? `≤ ${goal.most} µs` : `≥ ${goal.least}/s`;
  return [label, value, holds ? bound : `**no**: ${bound}`];
}

function rate(metrics: Metrics): string {
  return `${Math.round(metrics['perSecond'] ?? 0).toLocaleString('en')}/s`;
}

function tables(): string {
  const rows = (of: 'store' | 'tier'): string[] =>
    Object.values(measured)
      .filter(({ row }) => (of === 'store') === row.length > 3)
      .map(({ row }) => `| ${row.join(' | ')} |`);
  return [
    'Rates, and processor time of a call; medians.',
    '',
    '| | holdfast | raw lmdb | node:sqlite | of lmdb |',
    '| --- | ---: | ---: | ---: | ---: |',
    ...rows('store'),
    '',
    '| tiers | | goal |',
    '| --- | ---: | --- |',
    ...rows('tier'),
    '',
  ].join('\n');
}

function publish(): void {
  process.stdout.write(`${tables()}`);
  const date = new Date().toISOString().slice(0, 10);
  const cpus = `${os.cpus().length} × ${os.cpus()[0]?.model ?? '?'}`;
  const meta = { date, node: process.version, cpus, kernel: os.release(), ...scale };
  const text = `${JSON.stringify({ meta, measured }, null, 1)}\n`;
  if (flags.json !== undefined) writeFileSync(flags.json, text);
  if (!flags.write) return;
  const folder = path.join(ROOT, 'bench/results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `${date}-kv.json`), text);
  const markers = ['<!-- kv:begin -->', '<!-- kv:end -->'] as const;
  if (!writeInto(path.join(ROOT, 'docs/BENCHMARKS.md'), tables(), ...markers)) {
    process.stderr.write('docs/BENCHMARKS.md has no markers for the tables\n');
  }
}
