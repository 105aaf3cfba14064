import { JSON_TYPE, OCTETS, PREFIX, type BenchTarget } from './bench-target.ts';
import { closedLoop, eachOnce } from './closed-loop.ts';
import { headerOf, LoadConnection, requestBytes } from './load-connection.ts';
import {
  cpuSeconds,
  median,
  now,
  percentile,
  residentMiB,
  sleep,
  type Metrics,
} from './measure.ts';
import { freshName, type Scale, type Scenario } from './scenario.ts';

const PIECE_BYTES = 64 * 1024;
const TAIL_BYTES = 10 * 1024;
/** A waiter or reader that was not served by then makes the sample fail. */
const GIVE_UP_MS = 60_000;

interface History {
  readonly name: string;
  readonly bytes: number;
  /** Offset before the last append. */
  readonly beforeTail: string;
}

/** One long stream per target, kept for all rounds. */
const histories = new Map<BenchTarget, Promise<History>>();

function history(target: BenchTarget, scale: Scale): Promise<History> {
  let known = histories.get(target);
  if (known === undefined) histories.set(target, (known = fill(target, scale.historyBytes)));
  return known;
}

async function fill(target: BenchTarget, bytes: number): Promise<History> {
  const name = freshName('history');
  await target.create(name);
  const pieces = Math.round(bytes / PIECE_BYTES);
  const piece = requestBytes('POST', PREFIX + name, OCTETS, Buffer.alloc(PIECE_BYTES, 0x62));
  const { errors } = await eachOnce(target, 8, pieces, () => piece);
  if (errors > 0) throw new Error(`${target.name}: ${errors} appends failed`);
  const head = await target.once('HEAD', name);
  const beforeTail = headerOf(head.head, 'stream-next-offset') ?? '';
  await target.once('POST', name, OCTETS, Buffer.alloc(TAIL_BYTES, 0x63));
  return { name, bytes: pieces * PIECE_BYTES + TAIL_BYTES, beforeTail };
}

async function catchUp(target: BenchTarget, scale: Scale, readers: number): Promise<Metrics> {
  const { name, bytes } = await history(target, scale);
  const connections = await LoadConnection.openMany(target.port, readers);
  const readOnce = async (connection: LoadConnection): Promise<void> => {
    let [read, at] = [0, '-1'];
    for (;;) {
      const answer = await connection.send(requestBytes('GET', `${PREFIX}${name}?offset=${at}`));
      if (answer.status !== 200) throw new Error(`${target.name}: catch-up ${answer.status}`);
      read += answer.bodyBytes;
      at = headerOf(answer.head, 'stream-next-offset') ?? '';
      if (headerOf(answer.head, 'stream-up-to-date') !== undefined) break;
    }
    if (read !== bytes) throw new Error(`${target.name}: read ${read} of ${bytes} bytes`);
  };
  await readOnce(connections[0] as LoadConnection);
  let reads = 0;
  const [begun, cpu] = [now(), cpuSeconds(target.pid)];
  await Promise.all(
    connections.map(async (connection) => {
      do {
        await readOnce(connection);
        reads++;
      } while (now() - begun < scale.measureMs);
    }),
  );
  const seconds = (now() - begun) / 1_000;
  for (const connection of connections) connection.close();
  const megabytes = (reads * bytes) / 1e6;
  return {
    mbPerSecond: megabytes / seconds,
    reads,
    serverCpuUsPerMb: ((cpuSeconds(target.pid) - cpu) / megabytes) * 1e6,
  };
}

async function tailRead(target: BenchTarget, scale: Scale): Promise<Metrics> {
  const { name, beforeTail } = await history(target, scale);
  const bytes = requestBytes('GET', `${PREFIX}${name}?offset=${beforeTail}`);
  return closedLoop(target, {
    connections: 16,
    warmupMs: scale.warmupMs,
    measureMs: scale.measureMs,
    next: () => ({ bytes }),
  });
}

async function longPoll(target: BenchTarget, scale: Scale): Promise<Metrics> {
  const name = freshName('longpoll');
  let offset = await target.create(name, JSON_TYPE);
  const waiters = await LoadConnection.openMany(target.port, scale.waiters);
  const writer = await LoadConnection.open(target.port);
  const body = JSON.stringify({ pad: 'x'.repeat(90) });
  const append = requestBytes('POST', PREFIX + name, JSON_TYPE, body);
  const [last, each]: [number[], number[]] = [[], []];
  const cpu = cpuSeconds(target.pid);
  for (let round = 0; round < scale.waiterRounds; round++) {
    const path = `${PREFIX}${name}?offset=${offset}&live=long-poll`;
    const request = requestBytes('GET', path);
    let begun = 0;
    const served = waiters.map(async (waiter) => {
      const answer = await waiter.send(request);
      if (answer.status !== 200) throw new Error(`${target.name}: long-poll ${answer.status}`);
      each.push(now() - begun);
      return headerOf(answer.head, 'stream-next-offset') ?? '';
    });
    // All of them are parked by then; what a server needs to park is not measured here.
    await sleep(150);
    begun = now();
    await writer.send(append);
    offset = (await Promise.all(served))[0] as string;
    last.push(now() - begun);
  }
  for (const connection of [...waiters, writer]) connection.close();
  const used = cpuSeconds(target.pid) - cpu;
  await target.removeStream(name);
  return {
    lastMs: median(last),
    p50Ms: percentile(each, 0.5),
    p99Ms: percentile(each, 0.99),
    serverCpuUsPerOp: (used / each.length) * 1e6,
  };
}

/** As many appends as the slowest reader follows with a window of 8. */
async function fanOut(target: BenchTarget, scale: Scale, count: number): Promise<Metrics> {
  const WINDOW = 8;
  const name = freshName('sse');
  await target.create(name, JSON_TYPE);
  const readers = await LoadConnection.openMany(target.port, count);
  const seen = new Int32Array(count);
  let ready = 0;
  await Promise.all(
    readers.map((reader, index) => {
      const first = { pending: true };
      let carry = '';
      const request = requestBytes('GET', `${PREFIX}${name}?offset=now&live=sse`);
      return reader.listen(request, (bytes) => {
        if (first.pending) {
          first.pending = false;
          ready++;
        }
        const text = carry + bytes.toString('latin1');
        for (let at = text.indexOf('"n":'); at >= 0; at = text.indexOf('"n":', at + 4)) {
          (seen[index] as number)++;
        }
        carry = text.slice(-3);
      });
    }),
  );
  await until(() => ready === count, `${target.name}: readers connected`);
  const writer = await LoadConnection.open(target.port);
  const body = JSON.stringify({ n: 0, pad: 'x'.repeat(90) });
  const append = requestBytes('POST', PREFIX + name, JSON_TYPE, body);
  let sent = 0;
  const slowest = (): number => seen.reduce((least, value) => Math.min(least, value), sent);
  const [begun, cpu] = [now(), cpuSeconds(target.pid)];
  while (now() - begun < scale.measureMs) {
    await writer.send(append);
    sent++;
    while (sent - slowest() >= WINDOW && now() - begun < scale.measureMs) await sleep(0);
  }
  await until(() => slowest() === sent, `${target.name}: everything delivered`);
  const seconds = (now() - begun) / 1_000;
  const used = cpuSeconds(target.pid) - cpu;
  for (const connection of [...readers, writer]) connection.close();
  await target.removeStream(name);
  return {
    deliveriesPerSecond: (sent * count) / seconds,
    appendsPerSecond: sent / seconds,
    serverCpuUsPerDelivery: (used / (sent * count)) * 1e6,
  };
}

/** Readers that never read: what they cost the server in memory. */
async function stalledReaders(target: BenchTarget, scale: Scale): Promise<Metrics> {
  const piece = Buffer.alloc(PIECE_BYTES, 0x64);
  const pieces = Math.ceil(scale.stalledBytes / PIECE_BYTES);
  const [quiet, watched] = [freshName('quiet'), freshName('watched')];
  for (const name of [quiet, watched]) await target.create(name);
  const fillStream = (name: string): Promise<unknown> => {
    const request = requestBytes('POST', PREFIX + name, OCTETS, piece);
    return eachOnce(target, 1, pieces, () => request);
  };
  // The appends themselves belong to the base line.
  await fillStream(quiet);
  const readers = await LoadConnection.openMany(target.port, scale.stalledReaders);
  for (const reader of readers) {
    await reader.listen(
      requestBytes('GET', `${PREFIX}${watched}?offset=-1&live=sse`),
      () => undefined,
    );
    reader.pause();
  }
  const before = residentMiB(target.pid);
  await fillStream(watched);
  await sleep(100);
  const stalledMiB = residentMiB(target.pid) - before;
  for (const reader of readers) reader.close();
  for (const name of [quiet, watched]) await target.removeStream(name);
  return { stalledMiB };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const begun = now();
  while (!condition()) {
    if (now() - begun > GIVE_UP_MS) throw new Error(`gave up: ${what}`);
    await sleep(2);
  }
}

export const READ_SCENARIOS: readonly Scenario[] = [
  { id: 'catch-up-1-reader', run: (target, scale) => catchUp(target, scale, 1) },
  { id: 'catch-up-8-readers', run: (target, scale) => catchUp(target, scale, 8) },
  { id: 'tail-read', run: tailRead },
  { id: 'long-poll', run: longPoll },
  { id: 'sse-few', run: (target, scale) => fanOut(target, scale, scale.fewSubscribers) },
  { id: 'sse-many', run: (target, scale) => fanOut(target, scale, scale.manySubscribers) },
  { id: 'stalled-readers', run: stalledReaders, fresh: true },
];
