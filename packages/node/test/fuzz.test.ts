/** Random requests from a fixed seed: the server answers each below 500 and stays alive. */
import http from 'node:http';
import { SeededRandom } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { expectStatus, OCTETS, readAll } from './http-request.ts';
import { useServer } from './use-server.ts';

const SEED = Number(process.env['HOLDFAST_FUZZ_SEED'] ?? 20_261_120);
const REQUESTS = Number(process.env['HOLDFAST_FUZZ_REQUESTS'] ?? 4_000);
const WIDTH = 16;
const ANSWER_TIMEOUT_MS = 10_000;

const server = useServer({ longPollTimeoutMs: 20 });

it(`${REQUESTS} random requests of seed ${SEED}: no 5xx, no hang, server alive`, async () => {
  const canary = server().stream('canary');
  await expectStatus(201, 'PUT', canary, { headers: OCTETS, body: 'untouched' });
  const random = new SeededRandom(SEED);
  const requests = Array.from({ length: REQUESTS }, () => randomRequest(random));
  const bad: string[] = [];
  const counts = new Map<number, number>();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < requests.length) {
      const index = next++;
      const made = requests[index] as RandomRequest;
      const status = await answerTo(server().port, made);
      counts.set(status, (counts.get(status) ?? 0) + 1);
      if (status >= 500 || status < 200) bad.push(`#${index} ${status}: ${JSON.stringify(made)}`);
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, worker));
  const told = [...counts].sort(([a], [b]) => a - b).map(([status, n]) => `${status}:${n}`);
  console.log(`fuzz: seed ${SEED}, ${REQUESTS} requests, answers ${told.join(' ')}`);
  if (bad.length > 0) console.log(bad.slice(0, 10).join('\n'));
  expect(bad).toEqual([]);
  expect(server().running).toBe(true);
  expect((await readAll(canary)).toString()).toBe('untouched');
}, 60_000);

interface RandomRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

const METHODS = [
  'GET',
  'GET',
  'GET',
  'POST',
  'POST',
  'POST',
  'PUT',
  'PUT',
  'HEAD',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'LINK',
];
const NAMES = ['a', 'b', 'c', 'd/e', 'f%20g', '.h', '%F0%9F%98%80', 'constructor', 'x'.repeat(300)];
const NUMBERS = [
  '0',
  '1',
  '2',
  '-1',
  '01',
  '1.5',
  '1e9',
  '9007199254740991',
  '9007199254740992',
  '',
  'x',
  '99999999999999999999',
];
const OFFSETS = [
  '-1',
  'now',
  '0000000000000000_0000000000000000',
  '0000000000000001_0000000000000003',
  '0000000000000001_0000000000000004',
  '9999999999999999_9999999999999999',
  '',
  'x',
  '%00',
];
const TYPES = [
  'application/json',
  'text/plain',
  'application/octet-stream',
  'TEXT/Plain; charset=UTF-8',
  'text/html',
  '',
  'x',
  'a/b; c="d',
];
const BODIES = [
  '',
  'x',
  '{}',
  '[1,2,3]',
  '[[],{"a":null}]',
  '[',
  '"\\ud800"',
  '1e999',
  '\u0000\u0001',
  'ü'.repeat(500),
  '[]',
  '{"a":{"a":{"a":1}}}',
  ' '.repeat(2_000),
  '9'.repeat(5_000),
];
const VALUES: Record<string, readonly string[]> = {
  'stream-closed': ['true', 'TRUE', 'false', '', 'x'],
  'stream-ttl': NUMBERS,
  'stream-expires-at': ['2099-01-01T00:00:00Z', '2001-01-01T00:00:00Z', 'x', '', '2099'],
  'stream-seq': ['a', 'b', '', '\u00ff', '1'.repeat(400)],
  'stream-forked-from': [
    '/v1/stream/a',
    '/v1/stream/b',
    '/v1/stream/d/e',
    '/v1/stream/',
    '/',
    'x',
    '',
  ],
  'stream-fork-offset': OFFSETS.slice(0, 7),
  'stream-fork-sub-offset': NUMBERS,
  'producer-id': ['p', '__proto__', '', 'q'.repeat(400)],
  'producer-epoch': NUMBERS,
  'producer-seq': NUMBERS,
  'if-none-match': ['*', '"x"', 'W/"x"', '"', ',,,', ''],
  'content-encoding': ['gzip', 'identity', 'x'],
  'accept-encoding': ['gzip', '*;q=0', ''],
  origin: ['http://127.0.0.1:1', 'null', 'http://evil.example'],
  range: ['bytes=0-1', 'x'],
  expect: ['100-continue', 'x'],
  host: ['127.0.0.1', 'localhost:99999', '[::1]', 'evil.example', ''],
};

function randomRequest(random: SeededRandom): RandomRequest {
  const below = (limit: number): number => random.integer(limit);
  const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;
  const method = pick(METHODS);
  let path = `/v1/stream/${pick(NAMES)}`;
  if (below(20) === 0)
    path = pick(['/', '/livez', '/readyz', '/v1/stream/', '/v1/stream/__ds/x', '//', '/%', '*']);
  const query: string[] = [];
  if (below(2) === 0) query.push(`offset=${pick(OFFSETS)}`);
  if (below(4) === 0) query.push(`live=${pick(['sse', 'long-poll', 'x', ''])}`);
  if (below(6) === 0) query.push(`cursor=${pick(NUMBERS)}`);
  if (below(20) === 0) query.push(pick(['&&', '=', '%', 'offset', 'a[b]=c', '?']));
  if (query.length > 0) path += `?${query.join('&')}`;
  const headers: Record<string, string> = {};
  if (below(4) > 0) headers['content-type'] = pick(TYPES);
  const together = below(3) === 0 ? ['producer-id', 'producer-epoch', 'producer-seq'] : [];
  const single = Array.from({ length: below(3) }, () => pick(Object.keys(VALUES)));
  for (const name of [...together, ...single]) headers[name] = pick(VALUES[name] as string[]);
  return { method, path, headers, body: method === 'GET' || method === 'HEAD' ? '' : pick(BODIES) };
}

/** The status; 0 when the connection broke or nothing came in time. */
function answerTo(port: number, made: RandomRequest): Promise<number> {
  return new Promise((resolve) => {
    const { method, path, body } = made;
    // A fresh connection each: what one request does to its connection is not the next one's.
    const headers: Record<string, string> = { ...made.headers, connection: 'close' };
    if (body !== '') headers['content-length'] = String(Buffer.byteLength(body));
    const finish = (status: number): void => {
      clearTimeout(timer);
      resolve(status);
      sent.destroy();
    };
    const sent = http.request(
      { host: '127.0.0.1', port, method, path, headers, agent: false },
      (r) => {
        // Live events have no end of their own.
        if (r.headers['content-type']?.startsWith('text/event-stream') === true) {
          finish(r.statusCode ?? 0);
          return;
        }
        r.resume()
          .on('end', () => finish(r.statusCode ?? 0))
          .on('error', () => finish(0));
      },
    );
    const timer = setTimeout(() => finish(0), ANSWER_TIMEOUT_MS);
    sent.on('error', () => finish(0));
    sent.end(body === '' ? undefined : body);
  });
}
