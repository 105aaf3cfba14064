/** Closed loop: every connection has one request outstanding and sends the next on its answer. */
import type { BenchTarget } from './bench-target.ts';
import { LoadConnection, type Answer } from './load-connection.ts';
import { cpuSeconds, now, percentile, sleep, type Metrics } from './measure.ts';

export interface LoopRequest {
  readonly bytes: Buffer;
  readonly isHead?: boolean;
  readonly onAnswer?: (answer: Answer) => void;
}

export interface LoopOptions {
  readonly connections: number;
  readonly warmupMs: number;
  readonly measureMs: number;
  /** What connection `index` sends next. */
  readonly next: (index: number) => LoopRequest;
}

/** Latency samples kept; beyond it every further one is counted but not sorted. */
const MAX_SAMPLES = 500_000;

export async function closedLoop(target: BenchTarget, options: LoopOptions): Promise<Metrics> {
  const connections = await LoadConnection.openMany(target.port, options.connections);
  const samples: number[] = [];
  let [operations, errors, bytes, measuring, stopping] = [0, 0, 0, false, false];
  const loops = connections.map(
    (connection, index) =>
      new Promise<void>((resolve) => {
        const send = (): void => {
          const request = options.next(index);
          const begun = now();
          connection.sendThen(
            request.bytes,
            (answer) => {
              const good = answer.status >= 200 && answer.status < 300;
              if (!good) errors++;
              else if (measuring) {
                operations++;
                bytes += answer.bodyBytes;
                if (samples.length < MAX_SAMPLES) samples.push(now() - begun);
              }
              if (good) request.onAnswer?.(answer);
              if (stopping || answer.status === 0) resolve();
              else send();
            },
            request.isHead === true,
          );
        };
        send();
      }),
  );
  await sleep(options.warmupMs);
  const [begun, cpu, own] = [now(), cpuSeconds(target.pid), process.cpuUsage()];
  measuring = true;
  await sleep(options.measureMs);
  measuring = false;
  const seconds = (now() - begun) / 1_000;
  const used = cpuSeconds(target.pid) - cpu;
  const mine = process.cpuUsage(own);
  stopping = true;
  await Promise.all(loops);
  for (const connection of connections) connection.close();
  return {
    perSecond: operations / seconds,
    mbPerSecond: bytes / seconds / 1e6,
    p50Ms: percentile(samples, 0.5),
    p99Ms: percentile(samples, 0.99),
    errors,
    serverCpuUsPerOp: operations === 0 ? Number.NaN : (used / operations) * 1e6,
    serverCores: used / seconds,
    clientCores: (mine.user + mine.system) / 1e6 / seconds,
  };
}

/** `count` requests over some connections; gives seconds and how many were not 2xx. */
export async function eachOnce(
  target: BenchTarget,
  connections: number,
  count: number,
  request: (index: number) => Buffer,
): Promise<{ seconds: number; errors: number; cpu: number }> {
  const open = await LoadConnection.openMany(target.port, Math.min(connections, count));
  let [next, errors] = [0, 0];
  const [begun, cpu] = [now(), cpuSeconds(target.pid)];
  await Promise.all(
    open.map(async (connection) => {
      while (next < count) {
        const answer = await connection.send(request(next++));
        if (answer.status < 200 || answer.status >= 300) errors++;
      }
    }),
  );
  const seconds = (now() - begun) / 1_000;
  for (const connection of open) connection.close();
  return { seconds, errors, cpu: cpuSeconds(target.pid) - cpu };
}
