/**
 * `npm run simulate`: crash histories of log, database, archive, snapshots, objects, streams, subscriptions
 * and key-value stores on a simulated disk, of whole nodes with their clients in a virtual world, and of
 * signed records among many peers, more than `npm test` has time for. Prints how many ran; a failure
 * prints the command that replays it.
 *
 *   npm run simulate -- --histories 20000 --seed 1
 *   npm run simulate -- --only streams --histories 1 --seed 1535
 *   npm run simulate -- --only world --histories 1 --seed 42
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { runArchiveHistories } from '../packages/database/test/archive-simulation.ts';
import { runDatabaseHistories } from '../packages/database/test/database-simulation.ts';
import { runSnapshotHistories } from '../packages/database/test/snapshot-simulation.ts';
import { runKvHistories } from '../packages/kv/test/kv-simulation.ts';
import { runLogHistories } from '../packages/log/test/log-simulation.ts';
import { runKvRestoreHistories } from '../packages/node/test/restore/kv-restore-simulation.ts';
import { runKvWorlds } from '../packages/node/test/world/kv-world.ts';
import { runWorldHistories } from '../packages/node/test/world/world-history.ts';
import { runObjectHistories } from '../packages/objects/test/object-simulation.ts';
import { runRecordHistories } from '../packages/records/test/sim/record-simulation.ts';
import { runRestoreHistories } from '../packages/streams/test/restore-simulation.ts';
import { runStreamHistories } from '../packages/streams/test/stream-simulation.ts';
import { runSubscriptionHistories } from '../packages/streams/test/subscription-simulation.ts';

type Run = (options: { seed: number; count: number }) => Promise<{ readonly histories: number }>;

/** Shares by what a history costs: one of a world takes as long as seventy of the log. */
const SIMULATIONS: Readonly<Record<string, { readonly run: Run; readonly share: number }>> = {
  log: { run: runLogHistories, share: 0.675 },
  database: { run: runDatabaseHistories, share: 0.12 },
  backup: { run: runArchiveHistories, share: 0.02 },
  snapshots: { run: runSnapshotHistories, share: 0.005 },
  objects: { run: runObjectHistories, share: 0.115 },
  streams: { run: runStreamHistories, share: 0.05 },
  kv: { run: runKvHistories, share: 0.02 },
  restore: { run: (range) => runRestoreHistories(range), share: 0.0005 },
  'kv-restore': { run: (range) => runKvRestoreHistories(range), share: 0.0005 },
  subscriptions: { run: runSubscriptionHistories, share: 0.01 },
  world: { run: runWorldHistories, share: 0.005 },
  records: { run: runRecordHistories, share: 0.0025 },
  'kv-world': { run: runKvWorlds, share: 0.01 },
};
/** Histories between two lines of progress. */
const CHUNK = 250;

const { values } = parseArgs({
  options: {
    histories: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
});
const histories = whole('histories', values.histories);
const seed = whole('seed', values.seed);

if (values.only === undefined) await runAll();
else await runOne(values.only);

/** Each simulation in a process of its own, all at once. */
async function runAll(): Promise<void> {
  const startedMs = performance.now();
  const runs = Object.entries(SIMULATIONS).map(([name, { share }]) =>
    runChild(name, Math.round(histories * share)),
  );
  const codes = await Promise.all(runs);
  if (codes.some((code) => code !== 0)) {
    process.exitCode = 1;
    return;
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  console.log(`simulated crash histories: ${histories}, no promise broken, ${seconds} s`);
}

function runChild(name: string, count: number): Promise<number> {
  const args = ['--import', 'tsx', '--conditions', 'x-source', import.meta.filename];
  const own = ['--only', name, '--histories', String(count), '--seed', String(seed)];
  const child = spawn(process.execPath, [...args, ...own], { stdio: 'inherit' });
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
}

async function runOne(name: string): Promise<void> {
  const simulation = SIMULATIONS[name];
  if (simulation === undefined) {
    console.error(`no such simulation: ${name}; there are ${Object.keys(SIMULATIONS).join(', ')}`);
    process.exitCode = 2;
    return;
  }
  for (let done = 0; done < histories; done += CHUNK) {
    const count = Math.min(CHUNK, histories - done);
    await simulation.run({ seed: seed + done, count });
    if (process.stderr.isTTY) process.stderr.write(`\r${name}: ${done + count} of ${histories}`);
  }
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  console.log(`${name}: ${histories} histories from seed ${seed}`);
}

function whole(name: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  console.error(`--${name} must be a whole number from 1 on`);
  process.exit(2);
}
