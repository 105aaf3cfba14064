/** Time from starting the process to its first answer, with many streams and much data at rest. */
import { OCTETS, PREFIX, type BenchTarget } from './bench-target.ts';
import { eachOnce } from './closed-loop.ts';
import { requestBytes } from './load-connection.ts';
import { median, residentMiB, type Metrics } from './measure.ts';
import type { Scale } from './scenario.ts';

/** One at a time: the npm server loses appends of many streams that come together. */
const FILL_CONNECTIONS = 1;

export async function coldStart(
  targets: readonly BenchTarget[],
  scale: Scale,
): Promise<Map<BenchTarget, Metrics>> {
  const piece = Buffer.alloc(Math.round(scale.coldBytes / scale.coldStreams), 0x65);
  const name = (index: number): string => `${PREFIX}cold/${index}`;
  for (const target of targets) {
    await target.start();
    await eachOnce(target, FILL_CONNECTIONS, scale.coldStreams, (index) =>
      requestBytes('PUT', name(index), OCTETS),
    );
    const { errors } = await eachOnce(target, FILL_CONNECTIONS, scale.coldStreams, (index) =>
      requestBytes('POST', name(index), OCTETS, piece),
    );
    if (errors > 0) throw new Error(`${target.name}: ${errors} appends failed`);
    await target.stop();
  }
  const results = new Map<BenchTarget, Metrics>();
  for (const [way, signal] of [
    ['readyMs', 'SIGTERM'],
    ['afterKillMs', 'SIGKILL'],
  ] as const) {
    const times = new Map(targets.map((target) => [target, [] as number[]]));
    const memory = new Map<BenchTarget, number>();
    for (let round = 0; round <= scale.coldStarts; round++) {
      const order = round % 2 === 0 ? targets : targets.toReversed();
      for (const target of order) {
        const elapsed = await target.start();
        memory.set(target, residentMiB(target.pid));
        const last = await target.once('HEAD', `cold/${scale.coldStreams - 1}`);
        if (last.status !== 200) throw new Error(`${target.name}: lost its streams`);
        await target.stop(signal);
        // The first start of each way follows another kind of stop.
        if (round > 0) times.get(target)?.push(elapsed);
      }
    }
    for (const target of targets) {
      const known = results.get(target) ?? {};
      const ms = median(times.get(target) ?? []);
      results.set(target, { ...known, [way]: ms, rssMiB: memory.get(target) ?? Number.NaN });
    }
  }
  return results;
}
