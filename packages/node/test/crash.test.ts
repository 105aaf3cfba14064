/**
 * `SIGKILL` at a random acknowledged operation, many times, with writers that retry what got no
 * answer: nothing acknowledged is lost, nothing is there twice, and order is kept.
 */
import { SeededRandom } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import {
  CHAIN_STEPS,
  CrashWorkload,
  FIRST_PLAIN_WRITER,
  SHARED_STREAMS,
  WRITERS,
  type Chain,
  type Message,
  type WriterRecord,
} from './crash-workload.ts';
import { readMessages, request } from './http-request.ts';
import { ServerProcess } from './server-process.ts';

const CYCLES = Number(process.env['HOLDFAST_CRASH_CYCLES'] ?? 50);
const SEED = Number(process.env['HOLDFAST_CRASH_SEED'] ?? 1);
const LEAST_OPERATIONS = 20;
const MOST_OPERATIONS = 400;

it(`${CYCLES} kills of the server (seed ${SEED}): every acknowledged operation survives, once and in order`, async () => {
  await using server = await ServerProcess.start();
  let left = 0;
  let reached: () => void = () => undefined;
  const workload = new CrashWorkload(server, () => {
    if (--left === 0) reached();
  });
  const random = new SeededRandom(SEED);
  const before = new Map<string, Message[]>();
  let failure: Error | undefined;
  workload.hold();
  const running = workload.run().catch((error: Error) => {
    failure = error;
  });

  for (let cycle = 0; cycle < CYCLES; cycle++) {
    left = random.between(LEAST_OPERATIONS, MOST_OPERATIONS);
    const enough = new Promise<void>((resolve) => (reached = resolve));
    workload.resume();
    await Promise.race([enough, running]);
    if (failure !== undefined) throw failure;
    // Not awaited before the signal: what is in flight now stays without an answer.
    const killed = server.kill();
    workload.hold();
    await killed;
    await settled();
    await server.restart();
    await check(server, workload.records, before);
  }

  workload.stop();
  workload.resume();
  await running;
  if (failure !== undefined) throw failure;
  await check(server, workload.records, before);
  const chains = workload.records.flatMap((record) => record.chains);
  for (const chain of chains) await checkChain(server, chain);
  console.log(
    `crash: ${CYCLES} kills, ${workload.acknowledgements} acknowledged operations, ` +
      `${workload.retries} requests retried, ${chains.length} stream lives, seed ${SEED}`,
  );
  expect(workload.retries).toBeGreaterThan(0);
}, 300_000);

/** Requests that the kill cut have heard of it. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

async function check(
  server: ServerProcess,
  records: readonly WriterRecord[],
  before: Map<string, Message[]>,
): Promise<void> {
  for (let index = 0; index < SHARED_STREAMS; index++) {
    const name = `shared/${index}`;
    const messages = await readAgain(server, name, before);
    for (let w = index; w < FIRST_PLAIN_WRITER; w += SHARED_STREAMS) {
      const record = records[w] as WriterRecord;
      const seen = messages.filter((message) => message.w === w).map((message) => message.n);
      // The one in flight may have been written before the kill; its retry is then a duplicate.
      expect([record.acknowledged, record.acknowledged + 1]).toContain(seen.length);
      expect([name, w, seen]).toEqual([name, w, seen.map((_, n) => n)]);
    }
  }
  for (let w = FIRST_PLAIN_WRITER; w < WRITERS; w++) {
    const record = records[w] as WriterRecord;
    const seen = (await readAgain(server, `plain/${w}`, before)).map((message) => message.n);
    const there = new Set(seen);
    expect([w, seen]).toEqual([w, [...there].sort((a, b) => a - b)]);
    expect(record.answered.filter((n) => !there.has(n))).toEqual([]);
    const possible = new Set([...record.answered, ...record.unknown]);
    // The one in flight at this kill is not noted yet.
    expect(seen.filter((n) => !possible.has(n) && n !== possible.size)).toEqual([]);
  }
  for (const record of records) {
    for (const chain of record.chains.slice(-2)) await checkChain(server, chain);
  }
}

/** What was read once stays as it was: later reads only add behind. */
async function readAgain(
  server: ServerProcess,
  name: string,
  before: Map<string, Message[]>,
): Promise<Message[]> {
  const head = await request('HEAD', server.stream(name));
  if (head.status === 404 && !before.has(name)) return [];
  const messages = await readMessages<Message>(server.stream(name));
  const earlier = before.get(name) ?? [];
  expect(messages.slice(0, earlier.length)).toEqual(earlier);
  before.set(name, messages);
  return messages;
}

/** The state of both streams after `done` steps, or after one more that was in flight. */
const STATES: readonly [source: string, fork: string][] = [
  ['404', '404'],
  ['open:', '404'],
  ['open:first;', '404'],
  ['closed:first;last;', '404'],
  ['closed:first;last;', 'open:first;last;'],
  ['410', 'open:first;last;'],
  ['404', '404'],
];

async function checkChain(server: ServerProcess, chain: Chain): Promise<void> {
  const seen = `${await stateOf(server, chain.name)} ${await stateOf(server, `${chain.name}/fork`)}`;
  const possible = [chain.done, chain.done + 1]
    .map((step) => STATES[step])
    .filter((state) => state !== undefined)
    .map((state) => state.join(' '));
  // A cascade may finish a little later than the delete that set it off.
  if (chain.done >= CHAIN_STEPS.length - 1) possible.push('410 404');
  expect([chain.name, chain.done, possible.includes(seen) ? 'possible' : seen]).toEqual([
    chain.name,
    chain.done,
    'possible',
  ]);
}

async function stateOf(server: ServerProcess, name: string): Promise<string> {
  const read = await request('GET', `${server.stream(name)}?offset=-1`);
  if (read.status !== 200) return String(read.status);
  return `${read.headers['stream-closed'] === 'true' ? 'closed' : 'open'}:${read.text}`;
}
