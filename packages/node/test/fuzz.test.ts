/** Random requests and random bytes from a fixed seed: each answer is below 500, the server stays alive. */
import http from 'node:http';
import { SeededRandom } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { expectStatus, inParallel, OCTETS, readAll } from './http-request.ts';
import { patientExchange } from './raw-exchange.ts';
import { useServer } from './use-server.ts';

const SEED = Number(process.env['HOLDFAST_FUZZ_SEED'] ?? 20_261_120);
const REQUESTS = Number(process.env['HOLDFAST_FUZZ_REQUESTS'] ?? 4_000);
const MUTANTS = Number(process.env['HOLDFAST_FUZZ_MUTANTS'] ?? 1_500);
const WIDTH = 16;
const RAW_IDLE_MS = 100;
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

/** Whole requests in every form; what a mutation makes of them is anybody's guess. */
const FORMS = [
  'GET /v1/stream/a?offset=-1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
  'GET http://localhost/v1/stream/a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://localhost\r\n\r\n',
  'PUT /v1/stream/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc',
  'POST /v1/stream/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n0\r\nT: 1\r\n\r\n',
  'POST /v1/stream/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab',
  'GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
  'CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
  'GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n',
  'HEAD /v1/streams?limit=1 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n',
];
const SPLICES = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '\xff',
  'Host: x\r\n',
  '0\r\n\r\n',
];

it(`${MUTANTS} mutated pipelines of seed ${SEED}: no 5xx, and nothing but whole answers`, async () => {
  const canary = server().stream('raw-canary');
  await expectStatus(201, 'PUT', canary, { headers: OCTETS, body: 'untouched' });
  const random = new SeededRandom(SEED + 1);
  const mutants = Array.from({ length: MUTANTS }, () => mutant(random));
  const bad: string[] = [];
  await inParallel(MUTANTS, WIDTH, async (index) => {
    const bytes = mutants[index] as string;
    const { statuses, text } = await patientExchange(RAW_IDLE_MS, server().port, bytes);
    const strange = text !== '' && !text.startsWith('HTTP/1.1 ');
    const fault = statuses.some((status) => status >= 500);
    if (strange || fault) bad.push(`#${index} ${statuses.join()}: ${JSON.stringify(bytes)}`);
  });
  expect(bad).toEqual([]);
  expect(server().running).toBe(true);
  expect((await readAll(canary)).toString()).toBe('untouched');
}, 60_000);

/** One to three requests behind each other, with up to four changes of their bytes. */
function mutant(random: SeededRandom): string {
  const pick = <T>(from: readonly T[]): T => from[random.integer(from.length)] as T;
  let bytes = Array.from({ length: 1 + random.integer(3) }, () => pick(FORMS)).join('');
  for (let n = random.integer(5); n > 0; n--) {
    const at = random.integer(bytes.length + 1);
    const length = random.integer(8);
    const kinds = [
      () => bytes.slice(0, at) + pick(SPLICES) + bytes.slice(at),
      () => bytes.slice(0, at) + bytes.slice(at + length),
      () => bytes.slice(0, at) + bytes.slice(Math.max(0, at - length)),
      () => bytes.slice(0, at) + String.fromCharCode(random.integer(256)) + bytes.slice(at + 1),
      () => (length === 0 ? bytes.slice(0, at) : bytes),
    ];
    bytes = pick(kinds)();
  }
  return bytes;
}

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
  'sec-fetch-site': ['same-origin', 'cross-site', ''],
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
    path = pick([
      '/',
      '/livez',
      '/readyz',
      '/v1/stream/',
      '/v1/stream/__ds/x',
      '//',
      '/%',
      '*',
      'http://localhost/v1/stream/a',
      'http://evil.example/',
      'x:y',
    ]);
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
