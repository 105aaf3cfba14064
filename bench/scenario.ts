/** What a scenario is, and how big it is in a full and in a quick run. */
import type { BenchTarget } from './bench-target.ts';
import type { Metrics } from './measure.ts';

export interface Scale {
  readonly warmupMs: number;
  readonly measureMs: number;
  readonly rounds: number;
  readonly manyStreams: number;
  readonly historyBytes: number;
  readonly waiters: number;
  readonly waiterRounds: number;
  readonly fewSubscribers: number;
  readonly manySubscribers: number;
  readonly stalledReaders: number;
  readonly stalledBytes: number;
  readonly coldStreams: number;
  readonly coldBytes: number;
  readonly coldStarts: number;
}

export const FULL: Scale = {
  warmupMs: 700,
  measureMs: 2_500,
  rounds: 3,
  manyStreams: 10_000,
  historyBytes: 100e6,
  waiters: 500,
  waiterRounds: 12,
  fewSubscribers: 500,
  manySubscribers: 2_000,
  stalledReaders: 50,
  stalledBytes: 12e6,
  coldStreams: 10_000,
  coldBytes: 1e9,
  coldStarts: 5,
};

/** Seconds in all: shows that the bench runs, says nothing about speed. */
export const QUICK: Scale = {
  warmupMs: 30,
  measureMs: 120,
  rounds: 1,
  manyStreams: 150,
  historyBytes: 3e6,
  waiters: 20,
  waiterRounds: 2,
  fewSubscribers: 10,
  manySubscribers: 20,
  stalledReaders: 5,
  stalledBytes: 1e6,
  coldStreams: 40,
  coldBytes: 2e6,
  coldStarts: 1,
};

export interface Scenario {
  readonly id: string;
  readonly run: (target: BenchTarget, scale: Scale) => Promise<Metrics>;
  /** On servers that have done nothing else before: for what memory costs. */
  readonly fresh?: boolean;
}

let streams = 0;

/** A stream name that was never used before in this run. */
export function freshName(scenario: string): string {
  return `bench-${scenario}-${process.pid}-${streams++}`;
}
