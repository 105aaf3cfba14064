/**
 * Requests that two readers could understand differently: each gets one answer, its connection
 * ends, and nothing that stood behind it is ever run. The store says what was run.
 */
import { openNode, type HoldfastNode } from '../src/index.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { exchange } from './raw-exchange.ts';

let node: HoldfastNode;
let port = 0;
beforeAll(async () => {
  node = await openNode({ memory: true, port: 0 });
  ({ port } = await node.listen());
});
afterEach(async () => {
  for (const { path } of node.streams.list().streams) await node.streams.delete(path);
});
afterAll(() => node.close());

const HOST = 'Host: 127.0.0.1\r\n';
/** What an attacker would have run as somebody else's request. */
const SMUGGLED = `PUT /v1/stream/smuggled HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`;
const CHUNKED = 'Transfer-Encoding: chunked';

function put(headers: string, body = ''): string {
  return `PUT /v1/stream/carrier HTTP/1.1\r\n${HOST}Content-Type: text/plain\r\n${headers}\r\n\r\n${body}`;
}

function get(headers: string, target = '/v1/stream/x', version = 'HTTP/1.1'): string {
  return `GET ${target} ${version}\r\n${headers}\r\n${SMUGGLED}`;
}

/** Refused before anything of them is run. */
const REFUSED: [name: string, bytes: string, status: number][] = [
  // Where the body ends.
  ['CL and TE', put(`Content-Length: 6\r\n${CHUNKED}`, `0\r\n\r\n${SMUGGLED}`), 400],
  ['TE and CL', put(`${CHUNKED}\r\nContent-Length: 6`, `0\r\n\r\n${SMUGGLED}`), 400],
  ['TE and CL 0', put(`${CHUNKED}\r\nContent-Length: 0`, `0\r\n\r\n${SMUGGLED}`), 400],
  ['two CL', put('Content-Length: 3\r\nContent-Length: 0', `abc${SMUGGLED}`), 400],
  ['two equal CL', put('Content-Length: 3\r\nContent-Length: 3', `abc${SMUGGLED}`), 400],
  ['a list of CL', put('Content-Length: 3, 3', `abc${SMUGGLED}`), 400],
  ['CL with a plus', put('Content-Length: +3', `abc${SMUGGLED}`), 400],
  ['CL with a minus', put('Content-Length: -3', `abc${SMUGGLED}`), 400],
  ['CL with a space', put('Content-Length: 3 3', `abc${SMUGGLED}`), 400],
  ['CL in hex', put('Content-Length: 0x3', `abc${SMUGGLED}`), 400],
  ['CL with a point', put('Content-Length: 3.0', `abc${SMUGGLED}`), 400],
  ['an empty CL', put('Content-Length: ', SMUGGLED), 400],
  ['CL beyond 64 bits', put('Content-Length: 18446744073709551619', `abc${SMUGGLED}`), 400],
  ['CL with a letter', put('Content-Length: 3a', `abc${SMUGGLED}`), 400],
  // What the coding is.
  ['TE unknown', put('Transfer-Encoding: xchunked', `0\r\n\r\n${SMUGGLED}`), 415],
  ['TE identity behind', put(`${CHUNKED}, identity`, `0\r\n\r\n${SMUGGLED}`), 400],
  ['TE identity', put('Transfer-Encoding: identity', SMUGGLED), 415],
  [
    'TE in two lines',
    put(`${CHUNKED}\r\nTransfer-Encoding: identity`, `0\r\n\r\n${SMUGGLED}`),
    400,
  ],
  ['TE with a tab in the name', put('Transfer-Encoding\t: chunked', `0\r\n\r\n${SMUGGLED}`), 400],
  ['TE with a space in front', put(` ${CHUNKED}`, `0\r\n\r\n${SMUGGLED}`), 400],
  ['TE folded', put('Transfer-Encoding:\r\n chunked', `0\r\n\r\n${SMUGGLED}`), 400],
  ['TE with a vertical tab', put('Transfer-Encoding: \x0bchunked', `0\r\n\r\n${SMUGGLED}`), 400],
  ['TE in quotes', put('Transfer-Encoding: "chunked"', `0\r\n\r\n${SMUGGLED}`), 415],
  ['TE with CR', put('Transfer-Encoding: chun\rked', `0\r\n\r\n${SMUGGLED}`), 400],
  ['TE in HTTP/1.0', put(CHUNKED, `0\r\n\r\n${SMUGGLED}`).replace('HTTP/1.1', 'HTTP/1.0'), 400],
  // Chunks.
  ['a chunk size in no hex', put(CHUNKED, `zz\r\nabc\r\n0\r\n\r\n${SMUGGLED}`), 400],
  ['a chunk size with 0x', put(CHUNKED, `0x3\r\nabc\r\n0\r\n\r\n${SMUGGLED}`), 400],
  ['a chunk size below 0', put(CHUNKED, `-1\r\nabc\r\n0\r\n\r\n${SMUGGLED}`), 400],
  ['a chunk size with a plus', put(CHUNKED, `+3\r\nabc\r\n0\r\n\r\n${SMUGGLED}`), 400],
  ['a chunk size beyond 64 bits', put(CHUNKED, `10000000000000003\r\nabc\r\n0\r\n\r\n`), 400],
  ['an empty chunk size', put(CHUNKED, `\r\nabc\r\n0\r\n\r\n${SMUGGLED}`), 400],
  ['a chunk that ends in LF', put(CHUNKED, `3\nabc\n0\n\n${SMUGGLED}`), 400],
  ['a chunk longer than it says', put(CHUNKED, `1\r\nabc\r\n0\r\n\r\n${SMUGGLED}`), 400],
  // Lines.
  ['bare LF', put('Content-Length: 0').replaceAll('\r\n', '\n') + SMUGGLED, 400],
  ['a bare CR', put('X: a\rContent-Length: 3', `abc${SMUGGLED}`), 400],
  ['NUL in a value', put('X: a\0b', SMUGGLED), 400],
  ['NUL in a name', put('X\0: a', SMUGGLED), 400],
  ['a space before the colon', put('Content-Length : 3', `abc${SMUGGLED}`), 400],
  ['no colon', put('Content-Length', SMUGGLED), 400],
  ['no name', put(': 3', SMUGGLED), 400],
  ['a folded header', put('X: a\r\n Content-Length: 3', SMUGGLED), 400],
  // The request line.
  ['HTTP/0.9', `GET /v1/stream/x\r\n\r\n${SMUGGLED}`, 400],
  ['HTTP/2', get(HOST, '/v1/stream/x', 'HTTP/2.0'), 400],
  ['HTTP/1.2', get(HOST, '/v1/stream/x', 'HTTP/1.2'), 400],
  ['HTTP in small letters', get(HOST, '/v1/stream/x', 'http/1.1'), 400],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['a method in small letters', get(HOST).replace('GET', 'get'), 400],
  ['a method nobody knows', get(HOST).replace('GET', 'GETT'), 400],
  ['a space in the target', get(HOST, '/v1/stream/x y'), 400],
  ['a tab for a space', get(HOST).replace('GET ', 'GET\t'), 400],
  ['no target', get(HOST, ''), 400],
  // Host.
  ['no Host', get(''), 400],
  ['two Hosts', get(`${HOST}Host: evil.example\r\n`), 400],
  ['two equal Hosts', get(HOST + HOST), 400],
  ['Host with a user', get('Host: user@127.0.0.1\r\n'), 400],
  ['Host with a path', get('Host: 127.0.0.1/x\r\n'), 400],
  ['Host with a port that is none', get('Host: 127.0.0.1:http\r\n'), 400],
  ['Host with a list', get('Host: 127.0.0.1, evil.example\r\n'), 400],
  ['an empty Host', get('Host: \r\n'), 400],
  ['absolute without Host', get('', 'http://127.0.0.1/v1/stream/x'), 400],
  ['absolute with a user', get(HOST, 'http://user@127.0.0.1/v1/stream/x'), 400],
  ['an authority for a target', get(HOST, '127.0.0.1:80'), 400],
];

describe('a request that is not clear', () => {
  it.each(REFUSED)('%s: refused, and the connection ends', async (_name, bytes, status) => {
    const answer = await exchange(port, bytes);
    expect(answer.statuses).toEqual([status]);
    expect(answer.closed).toBe(true);
    expect(answer.text).toMatch(/connection: close/i);
    expect(answer.text).toContain('application/problem+json');
    expect(answer.text).toContain('X-Content-Type-Options: nosniff');
    expectNothingRun();
  });

  it('of a foreign host is 403, absolute or not', async () => {
    for (const [target, host] of [
      ['/v1/stream/x', 'evil.example'],
      ['http://evil.example/v1/stream/x', '127.0.0.1'],
    ]) {
      const bytes = `PUT ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
      expect((await exchange(port, bytes)).statuses).toEqual([403]);
    }
    expectNothingRun();
  });
});

describe('what stands behind a whole request', () => {
  it('that is the last one of its connection is not run', async () => {
    const last = `GET /livez HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`;
    for (const behind of [SMUGGLED, 'garbage\r\n\r\n', '\0\0\0']) {
      const answer = await exchange(port, last + behind);
      expect([answer.statuses, answer.closed]).toEqual([[200], true]);
    }
    expectNothingRun();
  });

  it('that HTTP/1.0 sends is not run, unless it keeps the connection', async () => {
    const old = 'GET /livez HTTP/1.0\r\n\r\n';
    expect((await exchange(port, old + SMUGGLED)).statuses).toEqual([200]);
    expectNothingRun();
  });

  it('in the form of a body that GET has is read as that body', async () => {
    const bytes = `GET /livez HTTP/1.1\r\n${HOST}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`;
    expect((await exchange(port, bytes)).statuses).toEqual([200]);
    expectNothingRun();
  });

  it('as an answer to a refused Expect is not run', async () => {
    const bytes = put(`Expect: 200-ok\r\nContent-Length: ${SMUGGLED.length}`, SMUGGLED);
    const answer = await exchange(port, bytes);
    expect(answer.statuses).toEqual([417]);
    expect(answer.text).toContain('EXPECTATION_FAILED');
    expectNothingRun();
  });

  it('in trailers changes nothing: they are no headers', async () => {
    const trailers = 'Stream-Closed: true\r\nHost: evil.example\r\n';
    const bytes = put(`${CHUNKED}\r\nConnection: close`, `1\r\nx\r\n0\r\n${trailers}\r\n`).replace(
      'carrier',
      'trailed',
    );
    expect((await exchange(port, bytes)).statuses).toEqual([201]);
    expect(node.streams.info('trailed').closed).toBe(false);
    await node.streams.delete('trailed');
  });
});

function expectNothingRun(): void {
  expect(node.streams.list().streams).toEqual([]);
}
