/**
 * Question: how many durable appends a second does the engine take inside a process, without
 * HTTP, beside the bare loop of batched write + fdatasync on the same disk?
 *
 * Success: at least 200 000 acknowledged appends/s of 100 B with 64 in flight.
 * Speed of light: the bare loop with as many bytes a batch, measured before and after.
 *
 *   node --import tsx bench/in-process.bench.ts [--quick] [--source] [--json FILE] [--dir DIR]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { openNode } from '@holdfast/node';
import { median, now, percentile, rounded, sleep, type Metrics } from './measure.ts';
import { bareBatchedCommits } from './speed-of-light.ts';

const GOAL_PER_SECOND = 200_000;
const APPEND_BYTES = 100;
const POINTS = [
  { inFlight: 1, streams: 1 },
  { inFlight: 64, streams: 1 },
  { inFlight: 64, streams: 64 },
  { inFlight: 1024, streams: 64 },
] as const;

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    dir: { type: 'string', default: os.tmpdir() },
    json: { type: 'string' },
  },
});
const [warmupMs, measureMs, rounds] = flags.quick ? [20, 100, 1] : [500, 2_000, 3];

const directory = mkdtempSync(path.join(flags.dir, 'holdfast-in-process-'));
const results: Record<string, Metrics[]> = {};
try {
  for (let round = 0; round < rounds; round++) {
    for (const point of POINTS) {
      const { inFlight, streams } = point;
      const label = `${inFlight} in flight, ${streams} streams`;
      const bare = await bareBatchedCommits(directory, inFlight, APPEND_BYTES, measureMs);
      const ours = await appends(inFlight, streams);
      (results[`bare loop, ${inFlight} a batch`] ??= []).push(bare);
      (results[label] ??= []).push({
        ...ours,
        ofBare: (ours['perSecond'] ?? 0) / (bare['perSecond'] ?? 1),
      });
    }
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
report();

async function appends(inFlight: number, streams: number): Promise<Metrics> {
  const dir = mkdtempSync(path.join(directory, 'node-'));
  const node = await openNode({ dir });
  try {
    const payload = Buffer.alloc(APPEND_BYTES, 0x61);
    const names = Array.from({ length: streams }, (_, index) => `in-process/${index}`);
    const handles = await Promise.all(names.map((name) => node.streams.open(name)));
    let [stopping, measuring, count] = [false, false, 0];
    const samples: number[] = [];
    const loop = async (index: number): Promise<void> => {
      const handle = handles[index % streams];
      while (!stopping && handle !== undefined) {
        const begun = now();
        await handle.append(payload);
        if (!measuring) continue;
        count++;
        if (count % 16 === 0) samples.push(now() - begun);
      }
    };
    const loops = Array.from({ length: inFlight }, (_, index) => loop(index));
    await sleep(warmupMs);
    const [begun, cpu] = [now(), process.cpuUsage()];
    measuring = true;
    await sleep(measureMs);
    measuring = false;
    const seconds = (now() - begun) / 1_000;
    const used = process.cpuUsage(cpu);
    stopping = true;
    await Promise.all(loops);
    return {
      perSecond: count / seconds,
      p50Ms: percentile(samples, 0.5),
      p99Ms: percentile(samples, 0.99),
      cpuUsPerAppend: (used.user + used.system) / count,
    };
  } finally {
    await node.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

function report(): void {
  const lines = ['| | appends/s | p50 | p99 | CPU per append | of the bare loop |'];
  lines.push('| --- | ---: | ---: | ---: | ---: | ---: |');
  for (const [label, samples] of Object.entries(results)) {
    const of = (name: string): number =>
      median(samples.map((sample) => sample[name] ?? Number.NaN));
    const cell = (name: string, unit: string, scale = 1): string => {
      const value = of(name) * scale;
      return Number.isNaN(value) ? '–' : `${rounded(value, 3)}${unit}`;
    };
    const rate = Math.round(of('perSecond')).toLocaleString('en');
    const times = [cell('p50Ms', ' ms'), cell('p99Ms', ' ms'), cell('cpuUsPerAppend', ' µs')];
    lines.push(`| ${[label, rate, ...times, cell('ofBare', ' %', 100)].join(' | ')} |`);
  }
  const reached = median(
    (results['64 in flight, 1 streams'] ?? []).map((m) => m['perSecond'] ?? 0),
  );
  const verdict =
    reached >= GOAL_PER_SECOND
      ? 'reached'
      : `short: ${Math.round((reached / GOAL_PER_SECOND) * 100)} %`;
  lines.push(
    '',
    `Goal of ${GOAL_PER_SECOND.toLocaleString('en')}/s with 64 in flight: ${verdict}.`,
  );
  process.stdout.write(`${lines.join('\n')}\n`);
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(results, null, 1)}\n`);
}
