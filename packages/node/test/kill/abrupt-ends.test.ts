/**
 * Ends that only a real process meets: killed while it starts, while it drains, by a second
 * signal, by its own memory, and stopped and continued. After each of them everything
 * acknowledged is there once and in order, and every byte of the directory checks.
 */
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { SeededRandom } from '@holdfast/testkit';
import { expect, test } from 'vitest';
import { expectStatus, inParallel, JSON_TYPE, OCTETS, request } from '../http-request.ts';
import { ServerProcess } from '../server-process.ts';
import { expectWhole, Sequence } from './sequence.ts';

const SEED = Number(process.env['HOLDFAST_KILL_SEED'] ?? 1);
const STARTS = Number(process.env['HOLDFAST_KILL_STARTS'] ?? 12);
const CREATIONS = Number(process.env['HOLDFAST_KILL_CREATIONS'] ?? 8);
const DRAINS = Number(process.env['HOLDFAST_KILL_DRAINS'] ?? 6);
const CHECKPOINTING = fileURLToPath(new URL('../checkpointing-server.ts', import.meta.url));
const REPLAY = `HOLDFAST_KILL_SEED=${SEED} npx vitest run packages/node/test/kill`;

test(`killed ${STARTS} times while it recovers: the recovery of a recovery loses nothing (${REPLAY})`, async () => {
  await using server = await ServerProcess.start({
    command: [process.execPath, '--conditions', 'x-source', '--import', 'tsx', CHECKPOINTING],
  });
  const sequence = new Sequence(server, 'recovered', 2_000);
  const random = new SeededRandom(SEED);
  await sequence.append(400);
  await server.kill();
  let early = 0;
  for (let start = 0; start < STARTS; start++) {
    if (!(await server.killDuringStart('opens', random.integer(90)))) early++;
    // Now and then it lives on for a while, so that there is something new to recover.
    if (start % 4 !== 3) continue;
    await server.restart();
    await sequence.check();
    await sequence.append(100);
    await server.kill();
  }
  await server.restart();
  await sequence.check();
  await server.kill();
  await expectWhole(server.dataDir);
  console.log(`kill: ${STARTS} starts killed, ${early} of them before they were ready`);
  expect(early).toBeGreaterThan(0);
}, 300_000);

test(`killed ${CREATIONS} times while it creates its directory: the next start serves (${REPLAY})`, async () => {
  await using server = await ServerProcess.start({
    command: [process.execPath, '--conditions', 'x-source', '--import', 'tsx', CHECKPOINTING],
  });
  const dir = server.dataDir as string;
  const random = new SeededRandom(SEED);
  let early = 0;
  for (let creation = 0; creation < CREATIONS; creation++) {
    await server.kill();
    rmSync(dir, { recursive: true });
    mkdirSync(dir);
    // Most of it is made in the first milliseconds.
    if (!(await server.killDuringStart('opens', random.integer(40)))) early++;
    await server.restart();
    const sequence = new Sequence(server, `new/${creation}`);
    await sequence.append(3);
    await sequence.check();
  }
  await server.kill();
  await expectWhole(dir);
  console.log(`kill: ${CREATIONS} creations killed, ${early} of them before they were ready`);
  expect(early).toBeGreaterThan(0);
}, 300_000);

test(`killed ${DRAINS} times while it drains: what was acknowledged until then is kept (${REPLAY})`, async () => {
  await using server = await ServerProcess.start();
  const random = new SeededRandom(SEED);
  const sequences = [0, 1, 2, 3].map((i) => new Sequence(server, `drained/${i}`, 5_000));
  let cut = 0;
  for (let drain = 0; drain < DRAINS; drain++) {
    for (const sequence of sequences) sequence.start();
    const live = http.get(`${server.stream('drained/0')}?offset=now&live=sse`).on('error', ignore);
    await new Promise((resolve) => setTimeout(resolve, 150 + random.integer(150)));
    server.signal('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, random.integer(60)));
    if (server.running) cut++;
    await server.kill();
    live.destroy();
    await Promise.all(sequences.map((sequence) => sequence.stop()));
    await server.restart();
    for (const sequence of sequences) await sequence.check();
  }
  await server.kill();
  await expectWhole(server.dataDir);
  console.log(`kill: ${DRAINS} drains, ${cut} of them killed before they were over`);
  expect(cut).toBeGreaterThan(0);
}, 300_000);

test('a second SIGTERM ends it at once, and nothing acknowledged is lost', async () => {
  await using server = await ServerProcess.start();
  const sequence = new Sequence(server, 'twice', 1_000);
  await sequence.append(50);
  sequence.start();
  // A request that never ends keeps the drain from ending.
  const upload = http.request(server.stream('twice'), { method: 'POST', headers: JSON_TYPE });
  upload.on('error', ignore).write('[');
  await new Promise((resolve) => setTimeout(resolve, 100));
  server.signal('SIGTERM');
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(server.running).toBe(true);
  server.signal('SIGTERM');
  expect(await server.ended()).toEqual({ code: 130, signal: null });
  await sequence.stop();
  upload.destroy();
  await server.restart();
  await sequence.check();
  expect(await server.stop()).toBe(0);
  await expectWhole(server.dataDir);
}, 180_000);

test('out of memory is a kill: what was acknowledged before the abort is there', async () => {
  await using server = await ServerProcess.start({
    env: { NODE_OPTIONS: '--max-old-space-size=48' },
  });
  const acknowledged = new Set<string>();
  const name = (index: number): string => `memory/${index}/${'long-name-'.repeat(90)}`;
  // Metadata of streams lives in memory: enough of them fill any heap.
  await inParallel(60_000, 48, async (index) => {
    if (!server.running) return;
    const put = request('PUT', server.stream(name(index)), { headers: OCTETS, body: 'kept' });
    const answer = await put.catch(() => undefined);
    if (answer?.status === 201) acknowledged.add(name(index));
  });
  expect(server.running).toBe(false);
  expect(server.stderr).toContain('heap out of memory');
  await server.kill();
  await using roomy = await ServerProcess.start({ dataDir: server.dataDir as string });
  await inParallel(Math.min(acknowledged.size, 600), 32, async (index) => {
    // From both ends: the newest are the ones that could be missing.
    const names = [...acknowledged];
    const one = index % 2 === 0 ? names[index >> 1] : names[names.length - 1 - (index >> 1)];
    const answer = await expectStatus(200, 'GET', roomy.stream(one as string));
    expect(answer.text).toBe('kept');
  });
  console.log(`kill: out of memory after ${acknowledged.size} streams`);
  expect(acknowledged.size).toBeGreaterThan(100);
  await roomy.kill();
  await expectWhole(roomy.dataDir);
}, 300_000);

test('stopped and continued: requests wait, windows run out, order and data stay', async () => {
  await using server = await ServerProcess.start();
  const sequence = new Sequence(server, 'paused');
  const short = server.stream('short');
  const long = server.stream('long');
  await expectStatus(201, 'PUT', short, { headers: { ...OCTETS, 'stream-ttl': '2' }, body: 's' });
  await expectStatus(201, 'PUT', long, { headers: { ...OCTETS, 'stream-ttl': '60' }, body: 'l' });
  await sequence.append(20);
  sequence.start();
  for (let pause = 0; pause < 3; pause++) {
    const poll = request('GET', `${server.stream('long')}?offset=now&live=long-poll`);
    server.signal('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 900));
    const waiting = request('GET', long);
    server.signal('SIGCONT');
    expect((await waiting).text).toBe('l');
    expect((await poll).status).toBe(204);
  }
  await expectStatus(404, 'GET', short);
  await sequence.stop();
  await sequence.check();
  expect(await server.stop()).toBe(0);
  await server.restart();
  await sequence.check();
  await expectStatus(404, 'GET', short);
  await expectStatus(200, 'GET', long);
}, 180_000);

test('out of file handles: no new connections, no checkpoints, but appends; and all comes back with them', async () => {
  await using server = await ServerProcess.start({
    command: [
      ...['bash', '-c', 'ulimit -n 300 && exec "$0" "$@"'],
      ...[process.execPath, '--conditions', 'x-source', '--import', 'tsx', CHECKPOINTING],
    ],
    args: ['--checkpoint-every-ms', '200'],
  });
  const sequence = new Sequence(server, 'handles', 100);
  await sequence.append(50);
  const idle = await Promise.all(Array.from({ length: 400 }, () => connect(server.port)));
  // The connection of the sequence was there before, and the log is open.
  await sequence.append(30);
  while (!server.stderr.includes('checkpoint ended: STORAGE_UNAVAILABLE')) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  for (const socket of idle) socket.destroy();
  await sequence.append(50);
  await sequence.check();
  expect(server.running).toBe(true);
  await server.kill();
  await server.restart();
  await sequence.check();
  await server.kill();
  await expectWhole(server.dataDir);
}, 180_000);

/** A connection that says nothing. */
async function connect(port: number): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1').on('error', ignore);
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  return socket;
}

function ignore(): void {}
