/**
 * One seed is one history: otherwise a failure could not be replayed. Other versions of Node are
 * compared in the same way by `.ci/node-smoke`.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { traceOf } from './world-history.ts';

const SEEDS = [1, 2, 3, 5, 8, 13];

it('does the same for the same seed, in this process and in another one', async () => {
  const first: string[] = [];
  const second: string[] = [];
  for (const seed of SEEDS) first.push(`${seed} ${await traceOf(seed)}`);
  for (const seed of [...SEEDS].reverse()) second.unshift(`${seed} ${await traceOf(seed)}`);
  expect(second).toEqual(first);
  const script = path.join(import.meta.dirname, 'print-traces.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...['--import', 'tsx', '--conditions', 'x-source'],
    script,
    ...SEEDS.map(String),
  ]);
  expect(stdout.trim().split('\n')).toEqual(first);
  expect(new Set(first.map((line) => line.split(' ')[1])).size).toBe(SEEDS.length);
}, 300_000);
