import { openNode, type HoldfastNode } from '@holdfast/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../src/command-line.ts';
import { FakeConsole } from './fake-console.ts';

let node: HoldfastNode;
let url: string;

beforeAll(async () => {
  node = await openNode({ memory: true, allowLoopbackWebhooks: true });
  ({ url } = await node.listen({ port: 0 }));
  const chat = await node.streams.open('chat/1', { type: 'application/json' });
  await chat.append({ hi: 1 });
  await node.streams.open('wakes', { type: 'application/json' });
  const leaseTtlMs = 30_000;
  const pull = { type: 'pull-wake', streams: ['chat/2'], wakeStream: 'wakes', leaseTtlMs } as const;
  for (const id of ['b', 'a b', 'c']) await node.subscriptions.put(id, pull);
  await node.subscriptions.put('hook', {
    type: 'webhook',
    pattern: 'chat/*',
    streams: [],
    webhookUrl: 'http://127.0.0.1:9/hook',
    leaseTtlMs,
    description: 'two\nlines \u001b[31m',
  });
});
afterAll(() => node.close());

async function run(args: string[], io: FakeConsole = new FakeConsole()) {
  io.env['HOLDFAST_URL'] ??= url;
  const code = await runCommandLine(['subscription', ...args], io);
  return { code, out: io.stdoutText, err: io.stderrText };
}

describe('subscription ls', () => {
  it('has a line for each, by id', async () => {
    const { code, out } = await run(['ls']);
    expect([code, out]).toEqual([
      0,
      'a b\tpull-wake\tactive\t1\t0\nb\tpull-wake\tactive\t1\t0\n' +
        'c\tpull-wake\tactive\t1\t0\nhook\twebhook\tactive\t1\t0\n',
    ]);
  });

  it('begins and ends where it is told, and is JSON when asked', async () => {
    const { out } = await run(['ls', '--after', 'a b', '--limit', '2', '--json']);
    const lines = out.trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(['b', 'c']);
    expect((await run(['ls', '--limit', '0'])).code).toBe(2);
  });
});

describe('subscription show', () => {
  it('has facts, and where each stream stands', async () => {
    const { code, out } = await run(['show', 'hook']);
    expect(code).toBe(0);
    expect(out).toMatch(/^id {16}hook$/m);
    expect(out).toMatch(/^webhook {11}http:\/\/127\.0\.0\.1:9\/hook$/m);
    expect(out).toMatch(/^description {7}two lines {2}\[31m$/m);
    expect(out).toMatch(/^signing_key {7}ds_/m);
    expect(out).toMatch(/^0{15}1_0{14}\d\d\tglob\tchat\/1$/m);
    const { out: json } = await run(['show', 'a b', '--json']);
    expect(JSON.parse(json)).toMatchObject({ id: 'a b', webhook: null, wake_stream: 'wakes' });
  });

  it('of one that is not there ends with 3', async () => {
    const { code, err } = await run(['show', 'none']);
    expect([code, err]).toEqual([3, expect.stringContaining('SUBSCRIPTION_NOT_FOUND')]);
    expect(err).toContain('holdfast subscription ls');
    expect((await run(['show', '..'])).code).toBe(2);
  });
});

describe('subscription rm', () => {
  it('asks on a terminal, and needs --force without one', async () => {
    expect((await run(['rm', 'b'])).code).toBe(2);
    const io = new FakeConsole();
    io.stdinIsTerminal = true;
    io.answer = 'no';
    expect((await run(['rm', 'b'], io)).code).toBe(1);
    expect(node.subscriptions.get('b').id).toBe('b');
    io.answer = 'yes';
    expect((await run(['rm', 'b'], io)).code).toBe(0);
    expect(() => node.subscriptions.get('b')).toThrow();
    const { out } = await run(['rm', 'a b', '--force', '--json']);
    expect(JSON.parse(out)).toEqual({ id: 'a b', deleted: true });
  });
});
