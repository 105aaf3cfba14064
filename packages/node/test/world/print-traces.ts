/**
 * Prints the trace of each world asked for, one line a seed. Two runs that print the same did the
 * same: whatever process, machine or version of Node they ran on.
 *
 *   node --import tsx --conditions x-source packages/node/test/world/print-traces.ts 1 2 3
 */
import { traceOf } from './world-history.ts';

async function print(seeds: readonly string[]): Promise<void> {
  for (const seed of seeds) console.log(`${seed} ${await traceOf(Number(seed))}`);
}

await print(process.argv.slice(2));
