/** Samples of calls made one after the other, or by lanes that each wait for their answer. */
import { now, percentile, type Metrics } from './measure.ts';

export interface CallsWanted {
  readonly count: number;
  /** Lanes. */
  readonly atOnce: number;
  /** Also how long each took; dearer than a read is. */
  readonly latency?: boolean;
}

/** @param call makes call `at`; what it returns is awaited only if it is a promise. */
export async function sampleCalls(
  { count, atOnce, latency = false }: CallsWanted,
  call: (at: number) => unknown,
): Promise<Metrics> {
  const took: number[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const begunMs = latency ? now() : 0;
      const answer = call(next++);
      if (answer instanceof Promise) await answer;
      if (latency) took.push(now() - begunMs);
    }
  };
  const cpu = process.cpuUsage();
  const sinceMs = now();
  await Promise.all(Array.from({ length: atOnce }, lane));
  const ms = now() - sinceMs;
  const { user, system } = process.cpuUsage(cpu);
  const rates = { perSecond: (count * 1_000) / ms, cpuUs: (user + system) / count };
  return latency
    ? { ...rates, p50Ms: percentile(took, 0.5), p99Ms: percentile(took, 0.99) }
    : rates;
}

/** One call that goes over `count` entries. */
export async function sampleWalk(count: number, walk: () => unknown): Promise<Metrics> {
  const cpu = process.cpuUsage();
  const sinceMs = now();
  const found = await walk();
  const ms = now() - sinceMs;
  const { user, system } = process.cpuUsage(cpu);
  if (found !== count) throw new Error(`walked over ${String(found)} entries, not ${count}`);
  return { perSecond: (count * 1_000) / ms, cpuUs: (user + system) / count };
}
