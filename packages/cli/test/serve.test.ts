import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { CommandProcess, runCommand } from './command-process.ts';

const root = mkdtempSync(path.join(tmpdir(), 'holdfast-cli-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const started: CommandProcess[] = [];
afterEach(async () => {
  for (const process of started.splice(0)) await process.stop();
});

async function serve(...args: string[]): Promise<{ server: CommandProcess; url: string }> {
  const server = new CommandProcess(['serve', '--json', '--port', '0', ...args]);
  started.push(server);
  return { server, url: (JSON.parse(await server.firstLine()) as { url: string }).url };
}

let directories = 0;
function newDirectory(): string {
  return path.join(root, `d${directories++}`);
}

const JSON_TYPE = { 'content-type': 'application/json' };

describe('holdfast serve', () => {
  it('--json prints exactly one line once it answers, and SIGINT drains and ends with 0', async () => {
    const dir = newDirectory();
    const { server, url } = await serve(dir);
    const announced = JSON.parse(server.stdout) as object;
    expect(Object.keys(announced)).toEqual(['url', 'dataDir', 'version', 'pid']);
    expect(announced).toMatchObject({ dataDir: dir, pid: server.child.pid });
    const stream = `${url}/v1/stream/s`;
    expect((await fetch(stream, { method: 'PUT', headers: JSON_TYPE, body: '1' })).status).toBe(
      201,
    );
    const offset = '0000000000000001_0000000000000002';
    const poll = fetch(`${stream}?offset=${offset}&live=long-poll`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    server.signal('SIGINT');
    expect((await poll).status).toBe(204);
    const { code, stdout, stderr } = await server.ended;
    expect([code, stdout.split('\n').length]).toEqual([0, 2]);
    expect(stderr).toContain('1 stream, all durable');
  });

  it('for people: what it is, and three lines that work as they are pasted', async () => {
    const server = new CommandProcess(['serve', '--port', '0', '--memory']);
    started.push(server);
    await server.seen('Ctrl-C stops it');
    expect(server.stdout).toBe('');
    expect(server.stderr).toMatch(/holdfast \d+\.\d+\.\d+/);
    expect(server.stderr).toContain('in memory');
    const lines = server.stderr.match(/curl .*/g) ?? [];
    expect(lines).toHaveLength(3);
    const url = /url +(\S+)/.exec(server.stderr)?.[1] ?? '';
    expect(lines.every((line) => line.includes(url))).toBe(true);
    server.signal('SIGTERM');
    expect((await server.ended).code).toBe(0);
  });

  it('a second signal ends at once', async () => {
    const { server, url } = await serve('--memory', '--drain-timeout-ms', '60000');
    await fetch(`${url}/v1/stream/s`, { method: 'PUT' });
    const upload = fetch(`${url}/v1/stream/s`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from('x')) }),
      duplex: 'half',
    } as RequestInit).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 200));
    server.signal('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(server.child.exitCode).toBe(null);
    server.signal('SIGINT');
    expect((await server.ended).code).toBe(130);
    await upload;
  });

  it('the command itself works in a pipe: data on stdout, the rest on stderr', async () => {
    const { url } = await serve('--memory');
    const env = { HOLDFAST_URL: url };
    expect((await runCommand(['stream', 'create', 's'], { env })).stdout).toBe('');
    const append = ['stream', 'append', 's', '--lines'];
    expect((await runCommand(append, { env, input: '{"n":1}\n{"n":2}\n' })).code).toBe(0);
    const { code, stdout } = await runCommand(['stream', 'read', 's'], { env });
    expect([code, stdout]).toEqual([0, '{"n":1}\n{"n":2}\n']);
    const tail = new CommandProcess(['stream', 'tail', 's', '--from', 'start'], env);
    started.push(tail);
    await tail.seen('{"n":2}');
    await fetch(`${url}/v1/stream/s`, { method: 'POST', headers: JSON_TYPE, body: '{"n":3}' });
    await tail.seen('{"n":3}');
    tail.signal('SIGINT');
    const ended = await tail.ended;
    expect([ended.code, ended.stdout]).toEqual([0, '{"n":1}\n{"n":2}\n{"n":3}\n']);
  });
});
