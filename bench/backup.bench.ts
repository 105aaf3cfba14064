/**
 * Question: what does a snapshot cost those who append meanwhile, and how fast is a restore?
 *
 *   npm run build && node --import tsx bench/backup.bench.ts [--gib N] [--key] [--rounds N]
 *
 * A server with a folder as its repository is filled. Appends of 100 B over 16 connections are then
 * measured in windows: without a snapshot, while a full one is made, and without again. Then the
 * database is restored and the same bytes are copied with `cp`, one after the other.
 */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BenchTarget, OCTETS, PREFIX } from './bench-target.ts';
import { closedLoop, eachOnce } from './closed-loop.ts';
import { requestBytes } from './load-connection.ts';
import { median, now, residentMiB, rounded, type Metrics } from './measure.ts';

const { values: flags } = parseArgs({
  options: {
    gib: { type: 'string', default: '5' },
    key: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
  },
});

const MAIN = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url));
const STREAMS = 64;
const PIECE = 1024 * 1024;
const WINDOW_MS = 2_000;

const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-bench-'));
const data = path.join(directory, 'data');
const repository = path.join(directory, 'repository');
const keyFile = path.join(directory, 'key');
writeFileSync(keyFile, randomBytes(32), { mode: 0o600 });
const keyFlags = flags.key ? ['--key-file', keyFile] : [];

const target = new BenchTarget({
  name: 'holdfast',
  source: false,
  directory: data,
  serveArgs: ['--backup', repository, '--snapshot-interval-ms', '0', ...keyFlags],
});

try {
  await target.start();
  await fill(Number(flags.gib));
  await target.create('load');
  await appendWindow(); // the first one warms up
  for (let round = 0; round < Number(flags.rounds); round++) await snapshotUnderLoad();
  await target.stop();
  await restoreBesideCopy();
} finally {
  await target.stop();
  rmSync(directory, { recursive: true, force: true });
}

async function fill(gib: number): Promise<void> {
  for (let index = 0; index < STREAMS; index++) await target.create(`fill/${index}`);
  const piece = randomBytes(PIECE);
  const count = Math.round((gib * 1024 * 1024 * 1024) / PIECE);
  const { seconds, errors } = await eachOnce(target, 8, count, (index) =>
    requestBytes('POST', `${PREFIX}fill/${index % STREAMS}`, OCTETS, piece),
  );
  if (errors > 0) throw new Error(`${errors} appends failed`);
  console.log(`filled: ${gib} GiB, ${rounded((gib * 1024) / seconds)} MiB/s`);
}

function appendWindow(): Promise<Metrics> {
  const bytes = requestBytes('POST', `${PREFIX}load`, OCTETS, Buffer.alloc(100, 0x61));
  return closedLoop(target, {
    connections: 16,
    warmupMs: 200,
    measureMs: WINDOW_MS,
    next: () => ({ bytes }),
  });
}

async function snapshotUnderLoad(): Promise<void> {
  const before = [await appendWindow(), await appendWindow(), await appendWindow()];
  const rest = residentMiB(target.pid);
  let ended = false;
  const begun = now();
  const snapshot = createSnapshot().finally(() => {
    ended = true;
  });
  const during: Metrics[] = [];
  let peak = rest;
  const sampler = setInterval(() => {
    peak = Math.max(peak, residentMiB(target.pid));
  }, 50);
  while (!ended) during.push(await appendWindow());
  clearInterval(sampler);
  await snapshot;
  const seconds = (now() - begun) / 1_000;
  const after = [await appendWindow(), await appendWindow(), await appendWindow()];
  const without = [...before, ...after];
  const ratio = p99(during) / p99(without);
  console.log(
    `full snapshot: ${rounded(seconds)} s; p99 ${rounded(p99(without))} ms without, ${rounded(p99(during))} ms while, x${ratio.toFixed(2)}; ` +
      `appends ${rounded(rate(without))}/s without, ${rounded(rate(during))}/s while; memory +${rounded(peak - rest)} MiB`,
  );
}

async function createSnapshot(): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${target.port}/v1/admin/snapshots`, {
    method: 'POST',
    headers: { 'holdfast-admin': '1', 'content-type': 'application/json' },
    body: JSON.stringify({ full: true }),
  });
  const lines = (await response.text()).trim().split('\n');
  const last = JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown>;
  if (!response.ok || last['result'] === undefined) throw new Error(JSON.stringify(last));
}

async function restoreBesideCopy(): Promise<void> {
  const mib = Number(execFileSync('du', ['-sm', repository], { encoding: 'utf8' }).split('\t')[0]);
  for (const verify of ['quick', 'full']) {
    const into = path.join(directory, `restored-${verify}`);
    const seconds = await timed(process.execPath, [
      ...[MAIN, 'restore', repository, into, '--verify', verify, ...keyFlags],
    ]);
    console.log(`restore, verify ${verify}: ${rounded(mib / seconds)} MiB/s`);
    rmSync(into, { recursive: true, force: true });
    const copy = path.join(directory, 'copy');
    const copied = await timed('sh', ['-c', `cp -r "${repository}" "${copy}" && sync`]);
    console.log(
      `bare copy and sync: ${rounded(mib / copied)} MiB/s, ratio ${rounded(copied / seconds)}`,
    );
    rmSync(copy, { recursive: true, force: true });
  }
}

function timed(program: string, args: readonly string[]): Promise<number> {
  const begun = now();
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], { stdio: ['ignore', 'ignore', 'inherit'] });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) resolve((now() - begun) / 1_000);
      else reject(new Error(`${program} ended with ${code}`));
    });
  });
}

function p99(windows: readonly Metrics[]): number {
  return median(windows.map((window) => window['p99Ms'] ?? Number.NaN));
}

function rate(windows: readonly Metrics[]): number {
  return median(windows.map((window) => window['perSecond'] ?? Number.NaN));
}
