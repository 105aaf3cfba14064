import { openNode, type HoldfastNode } from '@holdfast/node';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../src/command-line.ts';
import { FakeConsole } from './fake-console.ts';

let node: HoldfastNode;
let url: string;

beforeAll(async () => {
  node = await openNode({ memory: true, maxChunkBytes: 64 });
  ({ url } = await node.listen({ port: 0 }));
});
afterAll(() => node.close());

async function run(command: string | string[], io: FakeConsole = new FakeConsole()) {
  io.env['HOLDFAST_URL'] ??= url;
  const args = typeof command === 'string' ? command.split(' ') : command;
  const code = await runCommandLine(['stream', ...args], io);
  return { code, out: io.stdoutText, err: io.stderrText };
}

async function json(command: string | string[], io?: FakeConsole): Promise<unknown> {
  const args = typeof command === 'string' ? command.split(' ') : command;
  const { code, out, err } = await run([...args, '--json'], io);
  if (code !== 0) throw new Error(`ended with ${code}: ${err}`);
  return JSON.parse(out);
}

function withInput(...input: string[]): FakeConsole {
  const io = new FakeConsole();
  io.input = input.map((text) => Buffer.from(text));
  return io;
}

const END = /^\d{16}_\d{16}$/;

describe('create', () => {
  it('says whether it was made, and is the same twice', async () => {
    const shape = { path: 'c/1', contentType: 'application/json', closed: false };
    expect(await json('create c/1')).toMatchObject({ ...shape, created: true });
    expect(await json('create c/1')).toMatchObject({ ...shape, created: false });
    const { code, out, err } = await run('create c/2');
    expect([code, out, err]).toEqual([0, '', 'created: c/2 (application/json)\n']);
  });

  it('takes type, expiry, closure and first content', async () => {
    const io = withInput('hello ', 'world');
    const made = await json('create c/3 --type text/plain --ttl 60 --closed --body-file -', io);
    expect(made).toMatchObject({ contentType: 'text/plain', closed: true });
    expect(await json('info c/3')).toMatchObject({ closed: true, ttlSeconds: 60 });
    expect((await run('read c/3')).out).toBe('hello world');
  });

  it('of something else at the same path is a conflict', async () => {
    await run('create c/4');
    const { code, err } = await run('create c/4 --type text/plain');
    expect(code).toBe(4);
    expect(err).toContain('[STREAM_EXISTS]');
    expect(err).toContain('holdfast stream info c/4');
  });

  it.each([
    'create c/5 --ttl 1 --expires-at 2030-01-01T00:00:00Z',
    'create c/5 --ttl x',
    'create ../x',
  ])('"%s" is a usage error', async (command) => {
    expect((await run(command)).code).toBe(2);
  });

  it('a file that is not there is 3', async () => {
    expect((await run('create c/6 --body-file nowhere')).code).toBe(3);
  });
});

describe('append', () => {
  it('prints the offset behind what was written', async () => {
    await run('create a/1');
    const { code, out } = await run(['append', 'a/1', '{"n":1}']);
    expect([code, END.test(out.trim())]).toEqual([0, true]);
    const nextOffset = '0000000000000002_0000000000000016';
    expect(await json(['append', 'a/1', '{"n":2}'])).toEqual({
      path: 'a/1',
      nextOffset,
      closed: false,
      duplicate: false,
      requests: 1,
    });
  });

  it('takes standard input and files', async () => {
    await run('create a/2 --type text/plain');
    await run('append a/2', withInput('one '));
    await run('append a/2 -', withInput('two '));
    const io = new FakeConsole();
    io.files.set('f', 'three');
    await run('append a/2 --file f', io);
    expect((await run('read a/2')).out).toBe('one two three');
  });

  it('--lines makes a message of each line, also of one that is an array', async () => {
    await run('create a/3');
    const input = withInput('{"a":1.0}\n\n[1,2]\n', '"x\\n"');
    expect(await json('append a/3 --lines', input)).toMatchObject({ requests: 2 });
    expect((await run('read a/3')).out).toBe('{"a":1.0}\n[1,2]\n"x\\n"\n');
    await run('create a/4 --type text/plain');
    await run('append a/4 --lines', withInput('b\n', 'a\n'));
    expect((await run('read a/4')).out).toBe('b\na\n');
  });

  it('a producer may repeat a whole run, and it is written once', async () => {
    await run('create a/5');
    const lines = Array.from({ length: 2_500 }, (_, i) => `{"i":${i}}`).join('\n');
    const command = 'append a/5 --lines --producer p --epoch 1 --seq 0';
    const first = await json(command, withInput(lines));
    expect(first).toMatchObject({ duplicate: false, requests: 3 });
    expect(await json(command, withInput(lines))).toMatchObject({ duplicate: true, requests: 3 });
    const gap = await run(['append', 'a/5', '1', '--producer', 'p', '--epoch', '1', '--seq', '9']);
    expect([gap.code, gap.err.includes('the next seq is 3')]).toEqual([4, true]);
    const fenced = await run([
      'append',
      'a/5',
      '1',
      '--producer',
      'p',
      '--epoch',
      '0',
      '--seq',
      '3',
    ]);
    expect([fenced.code, fenced.err.includes('PRODUCER_FENCED')]).toEqual([4, true]);
  });

  it('--close is the last append; another is a conflict', async () => {
    await run('create a/6');
    expect(await json(['append', 'a/6', '1', '--close'])).toMatchObject({ closed: true });
    const { code, err } = await run(['append', 'a/6', '2']);
    expect([code, err.includes('STREAM_CLOSED')]).toEqual([4, true]);
  });

  it('--seq keeps writers in order', async () => {
    await run('create a/7');
    expect((await run(['append', 'a/7', '1', '--seq', 'b'])).code).toBe(0);
    expect((await run(['append', 'a/7', '2', '--seq', 'a'])).code).toBe(4);
  });

  it('to a stream that is not there says how to make it', async () => {
    const { code, err } = await run(['append', 'none', '1']);
    expect(code).toBe(3);
    expect(err).toContain('holdfast stream create none');
  });

  it.each([
    [['append', 'a/1', '{']],
    [['append', 'a/1', '']],
    [['append', 'a/1', '1', '--file', 'f']],
    [['append', 'a/1', '1', '--epoch', '1']],
    [['append', 'a/1', '1', '--producer', 'p', '--seq', 'x']],
    [['append', 'a/1', '--lines', '--seq', '1']],
    [['append', 'a/1', '1', '--lines']],
  ])('%j is a usage error', async (command) => {
    expect((await run(command)).code).toBe(2);
  });
});

describe('read', () => {
  it('prints all of a stream larger than one response, byte for byte', async () => {
    await run('create r/1');
    const messages = Array.from({ length: 40 }, (_, i) => `{"z":${i},"a":12345678901234567890}`);
    await run('append r/1 --lines', withInput(messages.join('\n')));
    expect((await run('read r/1')).out).toBe(`${messages.join('\n')}\n`);
  });

  it('--json carries the offset to go on from', async () => {
    await run('create r/2');
    for (const data of ['1', '2', '3']) await run(['append', 'r/2', data]);
    const first = (await run('read r/2 --json')).out.trim().split('\n');
    expect(JSON.parse(first.at(-1) ?? '')).toEqual({
      nextOffset: '0000000000000003_0000000000000006',
      upToDate: true,
      closed: false,
      messages: [1, 2, 3],
    });
    const from = '0000000000000002_0000000000000004';
    expect((await run(`read r/2 --from ${from}`)).out).toBe('3\n');
    expect((await run('read r/2 --from now')).out).toBe('');
    expect((await run('read r/2 --from nonsense')).code).toBe(2);
  });

  it('--json shows text as text and bytes as base64', async () => {
    await run('create r/3 --type text/plain');
    await run(['append', 'r/3', 'é']);
    await run('create r/4 --type application/octet-stream');
    await run(['append', 'r/4', 'é']);
    expect(await json('read r/3')).toMatchObject({ text: 'é' });
    expect(await json('read r/4')).toMatchObject({ base64: 'w6k=' });
  });

  it('--limit-bytes stops at a batch', async () => {
    await run('create r/5 --type text/plain');
    for (let i = 0; i < 4; i++) await run(['append', 'r/5', 'x'.repeat(60)]);
    expect((await run('read r/5 --limit-bytes 1')).out).toHaveLength(60);
    expect((await run('read r/5 --limit-bytes 0')).code).toBe(2);
  });
});

describe('tail', () => {
  it('follows from where it is told to the end of the stream, through every kind', async () => {
    for (const [type, first, rest] of [
      ['application/json', '1', '2'],
      ['text/plain', 'line one\n', 'line two\n'],
      ['application/octet-stream', '\u0001', '\u0002'],
    ] as const) {
      const stream = await node.streams.open(`t/${type}`, { type });
      await stream.append(type === 'application/json' ? 1 : first);
      const io = new FakeConsole();
      const tail = run(`tail t/${type} --from start`, io);
      while (node.stats().liveReaders < 1) await new Promise((resolve) => setTimeout(resolve, 5));
      await stream.append(type === 'application/json' ? 2 : rest, { close: true });
      const { code, out } = await tail;
      expect([type, code, out]).toEqual([
        type,
        0,
        type === 'application/json' ? '1\n2\n' : first + rest,
      ]);
    }
  });

  it('--from now leaves out what was there, and an interrupt ends it with 0', async () => {
    const stream = await node.streams.open('t/now', { type: 'application/json' });
    await stream.append('before');
    const io = new FakeConsole();
    const tail = run('tail t/now --json', io);
    while (node.stats().liveReaders < 1) await new Promise((resolve) => setTimeout(resolve, 5));
    await stream.append('after');
    while (!io.stdoutText.includes('\n')) await new Promise((resolve) => setTimeout(resolve, 5));
    io.interrupt();
    const { code, out } = await tail;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ messages: ['after'], upToDate: true, closed: false });
  });

  it('goes on where it was after connections are cut and refused', async () => {
    const stream = await node.streams.open('t/cut', { type: 'application/json' });
    await stream.append(1);
    const proxy = await flakyProxy();
    try {
      const io = new FakeConsole();
      io.env['HOLDFAST_URL'] = proxy.url;
      const tail = run('tail t/cut --from start', io);
      const connected = async (count: number): Promise<void> => {
        while (proxy.live < count) await new Promise((resolve) => setTimeout(resolve, 5));
      };
      for (let i = 2; i <= 4; i++) {
        await connected(i - 1);
        await stream.append(i);
        while (!io.stdoutText.includes(`${i}\n`)) {
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        proxy.cut();
      }
      await connected(4);
      await stream.close();
      expect(await tail).toMatchObject({ code: 0, out: '1\n2\n3\n4\n' });
      expect(io.stderrText).toContain('trying again');
    } finally {
      proxy.close();
    }
  });

  it('of a stream that is not there is 3', async () => {
    expect((await run('tail none')).code).toBe(3);
  });
});

describe('fork, close, rm, info, ls', () => {
  it('forks at an offset and counts messages from there', async () => {
    await run('create f/1');
    await run(['append', 'f/1', '[1,2,3]']);
    const start = '0000000000000000_0000000000000000';
    expect(await json(`fork f/1 f/2 --at ${start} --sub-offset 2`)).toMatchObject({
      path: 'f/2',
      forkedFrom: 'f/1',
      created: true,
    });
    expect((await run('read f/2')).out).toBe('1\n2\n');
    expect((await run('fork none f/3')).code).toBe(3);
    expect((await run('fork f/1 f/3 --sub-offset 1')).code).toBe(2);
  });

  it('closes, twice if asked to', async () => {
    await run('create f/4');
    expect(await json('close f/4')).toMatchObject({ path: 'f/4', closed: true });
    expect((await run('close f/4')).code).toBe(0);
    expect((await run('close none')).code).toBe(3);
  });

  it('deletes only with --force or a yes', async () => {
    await run('create f/5');
    expect((await run('rm f/5')).code).toBe(2);
    const asked = new FakeConsole();
    asked.stdinIsTerminal = true;
    asked.answer = 'no';
    expect((await run('rm f/5', asked)).code).toBe(1);
    expect((await run('info f/5')).code).toBe(0);
    expect(await json('rm f/5 --force')).toEqual({ path: 'f/5', deleted: true });
    expect((await run('rm f/5 --force')).code).toBe(3);
  });

  it('shows what a stream is', async () => {
    await run('create f/6 --expires-at 2099-01-01T00:00:00Z');
    expect(await json('info f/6')).toEqual({
      path: 'f/6',
      contentType: 'application/json',
      nextOffset: '0000000000000000_0000000000000000',
      closed: false,
      expiresAt: '2099-01-01T00:00:00Z',
    });
    expect((await run('info f/6')).out).toContain('contentType application/json\n');
    expect((await run('info none')).code).toBe(3);
  });

  it('lists by prefix, page by page, with a limit and a place to go on from', async () => {
    for (const name of ['l/a', 'l/b', 'l/c']) await run(`create ${name}`);
    const lines = async (command: string): Promise<string[]> => {
      const { out } = await run(`${command} --json`);
      return out
        .split('\n')
        .filter(Boolean)
        .map((line) => (JSON.parse(line) as { path: string }).path);
    };
    expect(await lines('ls l/')).toEqual(['l/a', 'l/b', 'l/c']);
    expect(await lines('ls l/ --limit 2')).toEqual(['l/a', 'l/b']);
    expect(await lines('ls l/ --after l/b')).toEqual(['l/c']);
    expect((await run('ls l/')).out.split('\n')[0]).toBe('l/a\tapplication/json\t0\t0\topen');
    expect((await run('ls --limit x')).code).toBe(2);
  });
});

describe('the node', () => {
  it('that does not answer is 6, with what to do', async () => {
    const { code, err } = await run('info x --url http://127.0.0.1:1');
    expect(code).toBe(6);
    expect(err).toContain('holdfast serve');
    expect((await run('info x --url nonsense')).code).toBe(2);
  });

  it('speaks through a name it does not know as refused access', async () => {
    const { port } = new URL(url);
    const server = createServer((request, response) => {
      request.resume();
      response.writeHead(403, { 'content-type': 'application/problem+json' });
      response.end('{"code":"HOST_NOT_ALLOWED","detail":"no"}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const other = (server.address() as AddressInfo).port;
    expect(other).not.toBe(Number(port));
    expect((await run(`info x --url http://127.0.0.1:${other}`)).code).toBe(5);
    server.close();
  });
});

/** Passes requests on; `cut` breaks live connections, and the next request after it gets 503. */
async function flakyProxy() {
  let refuse = false;
  let live = 0;
  const open = new Set<AbortController>();
  const server: Server = createServer((request, response) => {
    if (refuse) {
      refuse = false;
      response.writeHead(503).end();
      return;
    }
    const controller = new AbortController();
    open.add(controller);
    response.once('close', () => controller.abort());
    const method = request.method ?? 'GET';
    fetch(url + request.url, { method, signal: controller.signal })
      .then(async (answer) => {
        response.writeHead(answer.status, Object.fromEntries(answer.headers));
        if (request.url?.includes('live=sse') === true) live++;
        for await (const chunk of answer.body ?? []) response.write(chunk);
        response.end();
      })
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get live() {
      return live;
    },
    cut() {
      refuse = true;
      for (const controller of open) controller.abort();
      open.clear();
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
