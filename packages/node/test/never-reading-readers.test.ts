/**
 * A thousand readers of every kind that never read, while 100 MB are appended: the memory of the
 * server stays bounded, writers do not notice, and every reader can go on from where it got to.
 */
import net from 'node:net';
import { describe, expect, it } from 'vitest';
import { expectStatus, inParallel, readAll, TEXT } from './http-request.ts';
import { hasProcessCounters, residentBytes } from './process-counters.ts';
import { ServerProcess } from './server-process.ts';

const MIB = 1024 * 1024;
const READERS = 1_000;
const MESSAGE_BYTES = 64 * 1024;
const MESSAGES = 1_600;
/** Older than the checkpoint that its size causes: it is read from disk. */
const OLD_MESSAGES = 1_200;
const WARM_READS = 16;
const BOUND_BYTES = 64 * MIB;
/** More than the kernel keeps for one connection: who still gets this was not dropped. */
const DRAINED_BYTES = 8 * MIB;
const START = '0000000000000000_0000000000000000';
const TEST_TIMEOUT_MS = 600_000;

// Memory of the server is read from /proc.
describe.skipIf(!hasProcessCounters)('readers that never read', () => {
  it(
    `${READERS} of them cost less than 64 MiB while 100 MB are appended, and can all resume`,
    async () => {
      await using server = await ServerProcess.start({ longPollTimeoutMs: 120_000 });
      const [old, live, warm] = ['old', 'live', 'warm'].map((name) => server.stream(name)) as [
        string,
        string,
        string,
      ];
      for (const url of [old, live, warm]) await expectStatus(201, 'PUT', url, { headers: TEXT });
      await fill(old, OLD_MESSAGES);
      // The base line is the same with readers that do read, at its most and twice, for memory
      // that was free once is not given back: caches, heap, checkpoints, garbage.
      const before = await mostResident(server.pid, async () => {
        for (let round = 0; round < 2; round++) {
          const bytes = MESSAGES * MESSAGE_BYTES;
          const all = (round + 1) * bytes;
          const followers = Array.from({ length: WARM_READS }, () =>
            followAll(server.port, 'warm', all),
          );
          await fill(warm, MESSAGES);
          await Promise.all(followers);
          await inParallel(WARM_READS, WARM_READS, async () => void (await readAll(old)));
          await inParallel(WARM_READS, WARM_READS, () =>
            followAll(server.port, 'old', OLD_MESSAGES * MESSAGE_BYTES),
          );
        }
      });

      const resting = residentBytes(server.pid);
      const readers = await connectAll(server.port);
      const connected = residentBytes(server.pid);
      const most = await mostResident(server.pid, () => fill(live, MESSAGES));
      console.log(
        `never-reading readers: ${READERS}, appended ${(MESSAGES * MESSAGE_BYTES) / MIB} MiB, ` +
          `resident at most ${inMib(before)} MiB with readers that read, ${inMib(resting)} behind ` +
          `them, ${inMib(connected)} with all connected, ${inMib(most)} at most: ` +
          `+${inMib(most - before)}`,
      );
      await expectAllResume(readers, { old, live });
      expect(most - before).toBeLessThan(BOUND_BYTES);
    },
    TEST_TIMEOUT_MS,
  );
});

/** The most memory the process has while the work is done. */
async function mostResident(pid: number, work: () => Promise<void>): Promise<number> {
  let most = residentBytes(pid);
  const timer = setInterval(() => (most = Math.max(most, residentBytes(pid))), 50);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return Math.max(most, residentBytes(pid));
}

const inMib = (bytes: number): string => (bytes / MIB).toFixed(1);

/** Message `n` of any stream here: all ranges of all streams are known without keeping them. */
function message(n: number): string {
  return String(n)
    .padStart(16, '0')
    .repeat(MESSAGE_BYTES / 16);
}

async function fill(url: string, count: number): Promise<void> {
  // One after the other: message n is number n.
  for (let n = 0; n < count; n++) {
    await expectStatus(204, 'POST', url, { headers: TEXT, body: message(n) });
  }
}

/** Reads by SSE, as fast as it comes, until all of it must have come. */
function followAll(port: number, name: string, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    let left = bytes;
    socket.on('data', (part) => {
      left -= part.length;
      if (left <= 0) socket.destroy();
    });
    socket.on('close', () => resolve());
    socket.write(`GET /v1/stream/${name}?offset=-1&live=sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  });
}

type Kind = 'tail by SSE' | 'catch-up by SSE' | 'catch-up' | 'long-poll, then catch-up';

interface NeverReader {
  readonly kind: Kind;
  readonly socket: net.Socket;
}

const REQUESTS: Record<Kind, readonly string[]> = {
  'tail by SSE': ['live?offset=-1&live=sse'],
  'catch-up by SSE': ['old?offset=-1&live=sse'],
  'catch-up': ['old?offset=-1', 'old?offset=-1', 'old?offset=-1', 'old?offset=-1'],
  'long-poll, then catch-up': ['live?offset=now&live=long-poll', 'old?offset=-1', 'old?offset=-1'],
};

/** Connects them all and sends their requests; nothing is ever taken from the sockets. */
async function connectAll(port: number): Promise<NeverReader[]> {
  const kinds = Object.keys(REQUESTS) as Kind[];
  const readers: NeverReader[] = [];
  await inParallel(READERS, 50, async (index) => {
    const kind = kinds[index % kinds.length] as Kind;
    const socket = net.connect(port, '127.0.0.1').on('error', () => undefined);
    await new Promise((resolve) => socket.once('connect', resolve));
    for (const target of REQUESTS[kind]) {
      socket.write(`GET /v1/stream/${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    }
    readers.push({ kind, socket });
  });
  return readers;
}

/** What a reader got before it was dropped is whole, and the server goes on from its last offset. */
async function expectAllResume(
  readers: readonly NeverReader[],
  urls: { old: string; live: string },
): Promise<void> {
  const resumeAt = { old: new Set<string>(), live: new Set<string>() };
  let dropped = 0;
  await inParallel(readers.length, 50, async (index) => {
    const { kind, socket } = readers[index] as NeverReader;
    const { text, ended } = await drained(socket);
    if (ended) dropped++;
    if (!kind.endsWith('SSE')) {
      // Whatever came of a body is its beginning; a client reads again from the same offset.
      const { body, first } = lastAnswerOf(text);
      expectMessages(body, first);
      return;
    }
    const { data, offset } = eventsOf(text);
    expectMessages(data, 0);
    expect(data.length).toBe(Number(offset.split('_')[1]));
    resumeAt[kind === 'tail by SSE' ? 'live' : 'old'].add(offset);
  });
  console.log(`never-reading readers: ${dropped} were dropped`);
  for (const name of ['old', 'live'] as const) {
    for (const offset of resumeAt[name]) await expectRest(urls[name], offset);
  }
}

/** All that comes until the other side ends or has nothing more to say. */
function drained(socket: net.Socket): Promise<{ text: string; ended: boolean }> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let ended = false;
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text: Buffer.concat(parts).toString('latin1'), ended });
    };
    let timer = setTimeout(finish, 1_000);
    let size = 0;
    socket.on('data', (part) => {
      parts.push(part);
      size += part.length;
      clearTimeout(timer);
      if (size >= DRAINED_BYTES) finish();
      else timer = setTimeout(finish, 300);
    });
    socket.on('end', () => (ended = true));
    socket.on('close', () => {
      ended = true;
      finish();
    });
    socket.resume();
  });
}

/** What came of the body of the last answer with a whole head, and the message it begins with. */
function lastAnswerOf(text: string): { body: string; first: number } {
  const end = text.lastIndexOf('\r\n\r\n');
  const head = text.slice(text.lastIndexOf('HTTP/1.1', end), end);
  const length = Number(/Content-Length: (\d+)/.exec(head)?.[1] ?? 0);
  const next = Number(/Stream-Next-Offset: (\d+)_/.exec(head)?.[1]);
  if (!head.startsWith('HTTP/1.1 200')) return { body: '', first: 0 };
  const body = text.slice(end + 4, end + 4 + length);
  return { body, first: next - length / MESSAGE_BYTES };
}

/** Data of whole events, and the offset behind them. Messages here hold neither CR nor LF. */
function eventsOf(text: string): { data: string; offset: string } {
  // Sizes of chunks and chunks in turn; what stands behind the last CRLF is not whole.
  const chunks = text.slice(text.indexOf('\r\n\r\n') + 4).split('\r\n');
  const data: string[] = [];
  let offset = START;
  for (let i = 1; i < chunks.length - 1; i += 2) {
    const chunk = chunks[i] as string;
    const next = /"streamNextOffset":"([^"]+)"/.exec(chunk)?.[1];
    if (next === undefined) continue; // a heartbeat
    offset = next;
    data.push(/^event: data\ndata:(\d+)\n\n/.exec(chunk)?.[1] ?? '');
  }
  return { data: data.join(''), offset };
}

function expectMessages(body: string, first: number): void {
  for (let n = 0; n * MESSAGE_BYTES < body.length; n++) {
    const part = body.slice(n * MESSAGE_BYTES, (n + 1) * MESSAGE_BYTES);
    const expected = message(first + n);
    if (expected.startsWith(part)) continue;
    let at = 0;
    while (part[at] === expected[at]) at++;
    const found = JSON.stringify(part.slice(at, at + 64));
    throw new Error(`message ${first + n} of ${first} on is another one from byte ${at}: ${found}`);
  }
}

async function expectRest(url: string, offset: string): Promise<void> {
  const first = Number(offset.split('_')[0]);
  const { body, headers } = await expectStatus(200, 'GET', `${url}?offset=${offset}`);
  if (body.length === 0) expect(headers['stream-up-to-date']).toBe('true');
  else expect(body.toString('latin1', 0, MESSAGE_BYTES) === message(first)).toBe(true);
}
