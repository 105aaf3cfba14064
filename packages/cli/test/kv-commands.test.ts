import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openNode, type HoldfastNode } from '@holdfast/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../src/command-line.ts';
import { FakeConsole } from './fake-console.ts';

let node: HoldfastNode;
let url: string;

beforeAll(async () => {
  node = await openNode({ memory: true });
  ({ url } = await node.listen({ port: 0 }));
});
afterAll(() => node.close());

async function run(command: string | string[], io: FakeConsole = new FakeConsole()) {
  io.env['HOLDFAST_URL'] ??= url;
  const args = typeof command === 'string' ? command.split(' ') : command;
  const code = await runCommandLine(['kv', ...args], io);
  return { code, out: io.stdoutText, err: io.stderrText };
}

async function lines(command: string | string[], io?: FakeConsole): Promise<unknown[]> {
  const args = typeof command === 'string' ? command.split(' ') : command;
  const { code, out, err } = await run([...args, '--json'], io);
  if (code !== 0) throw new Error(`ended with ${code}: ${err}`);
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
}

function withInput(...input: (string | Uint8Array)[]): FakeConsole {
  const io = new FakeConsole();
  io.input = input.map((part) => Buffer.from(part as string));
  return io;
}

describe('put and get', () => {
  it('give the bytes back as they were, from an argument, a file or standard input', async () => {
    const { code, out } = await run(['put', 'a', 'k', 'two words']);
    expect([code, out]).toEqual([0, '1\n']);
    expect((await run('get a k')).out).toBe('two words');
    await run('put a k', withInput('hel', 'lo\n'));
    expect((await run('get a k')).out).toBe('hello\n');
    await run('put a k -', withInput('dash'));
    expect((await run('get a k')).out).toBe('dash');
    const io = new FakeConsole();
    io.files.set('value.txt', 'of a file');
    await run('put a k --file value.txt', io);
    expect((await run('get a k')).out).toBe('of a file');
    expect((await run('put a k --file nowhere')).code).toBe(3);
    expect((await run('put a k v --file x')).code).toBe(2);
  });

  it('take any key that is not empty', async () => {
    for (const key of ['../x', 'ü€😀/ä', 'a b?c#d', '__proto__', '.']) {
      await run(['put', 'keys', key, key]);
      expect((await run(['get', 'keys', key])).out).toBe(key);
    }
    expect((await run(['put', 'keys', '', 'x'])).code).toBe(2);
    expect((await run(['put', '..', 'k', 'x'])).code).toBe(2);
    expect((await run(['put', '_own', 'k', 'x'])).code).toBe(2);
  });

  it('say with --json what the entry is', async () => {
    const [put] = await lines(['put', 'j', 'k', 'text', '--ttl', '3600.5']);
    expect(put).toMatchObject({ store: 'j', key: 'k' });
    const [text] = await lines('get j k');
    expect(text).toMatchObject({ store: 'j', key: 'k', bytes: 4, text: 'text' });
    expect(text).toHaveProperty('expiresAt');
    expect(text).toMatchObject(put as object);
    await run('put j bytes', withInput(Buffer.from([0xff, 0])));
    expect((await lines('get j bytes'))[0]).toMatchObject({ value: '/wA=' });
  });

  it('of what is not there is 3, with where to look', async () => {
    const { code, err } = await run('get a nothing');
    expect(code).toBe(3);
    expect(err).toContain('[ENTRY_NOT_FOUND]');
    expect(err).toContain('holdfast kv ls a');
  });

  it('under a condition that does not hold is 4, and changes nothing', async () => {
    const version = (await run('put c k 1')).out.trim();
    expect((await run('put c k 2 --if-absent')).code).toBe(4);
    expect((await run(`put c k 2 --if-version ${version}`)).code).toBe(0);
    expect((await run(`put c k 3 --if-version ${version}`)).code).toBe(4);
    expect((await run(`del c k --if-version ${version}`)).code).toBe(4);
    expect((await run('get c k')).out).toBe('2');
    expect((await run('put c new 1 --if-absent')).code).toBe(0);
  });

  it.each([
    'put c k v --if-absent --if-version 1',
    'put c k v --if-version x',
    'put c k v --ttl 0',
    'put c k v --ttl soon',
    'put c k v --expires-at soon',
    'put c k v --ttl 1 --expires-at 2030-01-01T00:00:00Z',
    'ls c --limit 0',
    'ls c --values',
    'ls c --order size',
    'watch c --since -1x',
    'clear c',
    'clear c --all --prefix a',
  ])('"%s" is a usage error', async (command) => {
    expect((await run(command)).code).toBe(2);
  });
});

describe('del and clear', () => {
  it('say whether there was one', async () => {
    await run('put d k v');
    expect(await lines('del d k')).toEqual([{ store: 'd', key: 'k', deleted: true }]);
    expect(await lines('del d k')).toEqual([{ store: 'd', key: 'k', deleted: false }]);
    expect((await run('del d k')).err).toBe('there was no k\n');
  });

  it('ask before many go', async () => {
    for (const key of ['a/1', 'a/2', 'b/1']) await run(['put', 'cl', key, 'x']);
    expect((await run('clear cl --prefix a/')).code).toBe(2); // no terminal to ask on
    expect(await lines('clear cl --prefix a/ --force')).toEqual([{ store: 'cl', deleted: true }]);
    expect((await lines('ls cl')).map((entry) => (entry as { key: string }).key)).toEqual(['b/1']);
    await run('clear cl --all --force');
    expect(await lines('ls cl')).toEqual([]);
  });
});

describe('ls and stores', () => {
  it('go through every page, in either order', async () => {
    const keys = Array.from({ length: 23 }, (_, n) => `k${String((n * 7) % 23).padStart(2, '0')}`);
    for (const key of keys) await run(['put', 'ls', key, 'x']);
    const shown = async (command: string) =>
      (await lines(command)).map((entry) => (entry as { key: string }).key);
    expect(await shown('ls ls')).toEqual([...keys].sort());
    expect(await shown('ls ls --order created --reverse')).toEqual(keys);
    expect(await shown('ls ls k1 --limit 3')).toEqual(['k10', 'k11', 'k12']);
    expect((await lines('ls ls k00 --values'))[0]).toMatchObject({ key: 'k00', text: 'x' });
  });

  it('show people one line each, whatever a key holds', async () => {
    await run(['put', 'shown', 'a\tb\u001b[31m\n', 'x']);
    const { out } = await run('ls shown');
    expect(out).toMatch(/^"a\\tb\\u001b\[31m\\n"\t1\t\d+\t-\n$/);
  });

  it('names the stores', async () => {
    const names = (await lines('stores')).map((store) => (store as { name: string }).name);
    expect(names).toEqual(expect.arrayContaining(['a', 'ls', 'shown']));
    expect((await run('stores')).out.split('\n')).toContain('ls');
  });
});

describe('batch', () => {
  it('does all of its lines or none', async () => {
    const good = ['{"type":"put","key":"a","text":"1"}', '', '{"type":"del","key":"b"}'].join('\n');
    expect((await run('batch b', withInput(good))).out).toMatch(/^changed\t\d+\nunchanged\t0\n$/);
    const bad = [
      '{"type":"put","key":"c","text":"1"}',
      '{"type":"del","key":"a","ifVersion":0}',
    ].join('\n');
    expect((await run('batch b', withInput(bad))).code).toBe(4);
    expect((await run('batch b', withInput('{"type":"put"'))).code).toBe(2);
    expect(await lines('ls b')).toHaveLength(1);
  });
});

/** Ends as Ctrl-C does, once this many lines have come. */
class WatchingConsole extends FakeConsole {
  readonly #lines: number;
  #seen = 0;

  constructor(lines: number) {
    super();
    this.#lines = lines;
  }

  override async out(data: string | Uint8Array): Promise<void> {
    await super.out(data);
    if (++this.#seen === this.#lines) this.interrupt();
  }
}

describe('watch', () => {
  it('prints what changes, and goes on from a number', async () => {
    const store = node.kv.store('w');
    const { version } = await store.put('a', Buffer.from('1'));
    await store.put('b', Buffer.from('2'));
    await store.del('a');
    const all = await run(`watch w --since ${version - 1}`, new WatchingConsole(3));
    expect([all.code, all.out.split('\n').map((line) => line.split('\t')[1])]).toEqual([
      0,
      ['put', 'put', 'del', undefined],
    ]);
    const [b] = await lines(`watch w b --since ${version - 1} --values`, new WatchingConsole(1));
    expect(b).toMatchObject({ seq: version + 1, type: 'put', key: 'b', text: '2' });
  });

  it('connects again by itself, behind what it printed, and throws half an event away', async () => {
    const change = (n: number): string =>
      `event: change\nid: ${n}\ndata: {"type":"put","key":"k${n}","version":${n}}\n\n`;
    const asked: (string | null)[] = [];
    const answers = [
      `event: ready\nid: 4\ndata: {"since":4}\n\n${change(5)}${change(6).slice(0, -1)}`,
      `${change(6)}:\nid: 8\n\nevent: end\nid: 8\ndata: {"code":"DRAINING"}\n\n`,
      `${change(9)}:\nid: 11\n\nid: 12\n`, // a heartbeat is all that tells of 11
      change(13),
    ];
    const server = createServer((request, response) => {
      asked.push(new URL(request.url ?? '', 'http://x').searchParams.get('since'));
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(answers[asked.length - 1] ?? '', () => {
        if (asked.length === 1) response.destroy();
        else if (asked.length <= 3) response.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const io = new WatchingConsole(4);
    io.env['HOLDFAST_URL'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, out } = await run('watch w', io);
    server.closeAllConnections();
    server.close();
    expect(code).toBe(0);
    expect(asked).toEqual([null, '5', '8', '11']);
    expect(out.split('\n').map((line) => line.split('\t')[0])).toEqual(['5', '6', '9', '13', '']);
  });

  it('ends with 3 where the changes are not kept, and says what to do', async () => {
    const { code, err } = await run('watch w --since 9007199254740991');
    expect(code).toBe(3);
    expect(err).toContain('[CHANGES_TRIMMED]');
    expect(err).toContain('without --since');
  });
});
