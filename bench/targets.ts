/** The numbers to reach, as the table in docs/BENCHMARKS.md states them. */
import type { TargetName } from './bench-target.ts';

export interface Goal {
  readonly scenario: string;
  readonly label: string;
  readonly metric: string;
  readonly unit: string;
  /** `more`: the ratio must be at least the goal. `less`: at most. */
  readonly better: 'more' | 'less';
  /** Ratio of ours to the peer's. */
  readonly against: Partial<Record<Exclude<TargetName, 'holdfast'>, number>>;
  /** Our own value, whatever others need. */
  readonly absolute?: number;
}

const more = (
  scenario: string,
  label: string,
  metric: string,
  unit: string,
  file: number,
  memory?: number,
): Goal => ({
  scenario,
  label,
  metric,
  unit,
  better: 'more',
  against: { 'npm-file': file, ...(memory === undefined ? {} : { 'npm-memory': memory }) },
});

export const GOALS: readonly Goal[] = [
  more(
    'append-1-stream-c64',
    'appends of 100 B, one stream, 64 connections',
    'perSecond',
    '/s',
    35,
    0.9,
  ),
  more('append-1-stream-c1', 'the same with 1 connection', 'perSecond', '/s', 3.5),
  more(
    'append-64-streams-c64',
    'appends over 64 streams, 64 connections',
    'perSecond',
    '/s',
    16,
    1,
  ),
  more('many-streams', 'appends over 10 000 streams, 64 connections', 'perSecond', '/s', 16, 1),
  {
    scenario: 'many-streams',
    label: 'failed appends over 10 000 streams',
    metric: 'errors',
    unit: '',
    better: 'less',
    against: {},
    absolute: 0,
  },
  more(
    'json-batches',
    'JSON batches of 100, 16 connections',
    'messagesPerSecond',
    'messages/s',
    13,
    1.4,
  ),
  more('catch-up-1-reader', 'catch-up of 100 MB, 1 reader', 'mbPerSecond', 'MB/s', 3.5, 2),
  more('catch-up-8-readers', 'catch-up of 100 MB, 8 readers', 'mbPerSecond', 'MB/s', 3.5, 2),
  more(
    'tail-read',
    'read of the last 10 KiB of 100 MB, 16 connections',
    'perSecond',
    '/s',
    1000,
    4,
  ),
  {
    scenario: 'long-poll',
    label: 'long-poll, 500 waiters, last one served',
    metric: 'lastMs',
    unit: 'ms',
    better: 'less',
    against: { 'npm-file': 0.12, 'npm-memory': 0.8 },
  },
  more('sse-few', 'SSE deliveries, 500 readers', 'deliveriesPerSecond', '/s', 45, 2),
  more('sse-many', 'SSE deliveries, 2000 readers', 'deliveriesPerSecond', '/s', 45, 2),
  more(
    'mixed',
    'mixed: 70 % append, 20 % tail read, 10 % HEAD, 64 SSE',
    'perSecond',
    '/s',
    20,
    1.9,
  ),
  more('many-streams', 'creates', 'createsPerSecond', '/s', 4),
  {
    scenario: 'memory',
    label: 'memory during all of it (peak resident)',
    metric: 'peakMiB',
    unit: 'MiB',
    better: 'less',
    against: { 'npm-file': 1, 'npm-memory': 0.5 },
  },
  {
    scenario: 'stalled-readers',
    label: '50 stalled readers',
    metric: 'stalledMiB',
    unit: 'MiB',
    better: 'less',
    against: {},
    absolute: 64,
  },
  {
    scenario: 'cold-start',
    label: 'start with 10 000 streams and 1 GB',
    metric: 'readyMs',
    unit: 'ms',
    better: 'less',
    against: { 'npm-file': 1 },
  },
  {
    scenario: 'cold-start',
    label: 'the same after a kill',
    metric: 'afterKillMs',
    unit: 'ms',
    better: 'less',
    against: {},
  },
];
