import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openNode } from '@holdfast/node';
import { runCommandLine } from '../src/command-line.ts';
import { FakeConsole } from './fake-console.ts';

const root = mkdtempSync(path.join(tmpdir(), 'holdfast-offline-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let directories = 0;
function newDirectory(): string {
  return path.join(root, `d${directories++}`);
}

async function run(...args: string[]) {
  const io = new FakeConsole();
  const code = await runCommandLine(args, io);
  return { code, out: io.stdoutText, err: io.stderrText };
}

async function filled(): Promise<string> {
  const dir = newDirectory();
  const node = await openNode({ dir, shardCount: 2 });
  for (let i = 0; i < 8; i++) {
    const stream = await node.streams.open(`s/${i}`, { type: 'application/json' });
    await stream.appendAll([i, 'x'.repeat(100)]);
  }
  await node.close();
  return dir;
}

describe('holdfast verify', () => {
  it('a whole directory is 0', async () => {
    const dir = await filled();
    const { code, out } = await run('verify', dir, '--json');
    expect([code, JSON.parse(out)]).toEqual([0, { dir, ok: true, problems: [] }]);
  });

  it('a flipped byte in any file that holds data is 7, with the file it is in', async () => {
    const dir = await filled();
    const files = readdirSync(dir, { recursive: true })
      .map(String)
      .filter((name) => /table|extent/.test(name));
    expect(files.length).toBeGreaterThan(1);
    for (const name of files) {
      const file = path.join(dir, name);
      const whole = readFileSync(file);
      const bytes = Buffer.from(whole);
      const at = Math.floor(bytes.length / 3);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      writeFileSync(file, bytes);
      const { code, out } = await run('verify', dir, '--json');
      expect([name, code]).toEqual([name, 7]);
      const report = JSON.parse(out) as { ok: boolean; problems: { path: string }[] };
      expect(report.ok).toBe(false);
      expect(JSON.stringify(report.problems)).toContain(path.basename(name));
      const told = await run('verify', dir);
      expect([told.code, told.err.includes('damaged')]).toEqual([7, true]);
      writeFileSync(file, whole);
    }
    expect((await run('verify', dir)).code).toBe(0);
  });

  it('a directory that a node has open is 4, and the node goes on', async () => {
    const dir = await filled();
    const node = await openNode({ dir });
    expect((await run('verify', dir)).code).toBe(4);
    await (await node.streams.open('s/0')).append('still');
    await node.close();
  });
});

describe('holdfast rebalance', () => {
  it('keeps every stream', async () => {
    const dir = await filled();
    const { code, out } = await run('rebalance', dir, '--shards', '8', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ dir, from: 2, to: 8 });
    const node = await openNode({ dir, shardCount: 8 });
    for (let i = 0; i < 8; i++) {
      const messages: unknown[] = [];
      for await (const one of (await node.streams.open(`s/${i}`)).read()) messages.push(one);
      expect(messages).toEqual([i, 'x'.repeat(100)]);
    }
    await node.close();
    expect((await run('verify', dir)).code).toBe(0);
  });

  it.each(['3', '512', '0', 'x'])('--shards %s is a usage error', async (shards) => {
    expect((await run('rebalance', root, '--shards', shards)).code).toBe(2);
  });
});

describe('what is not there', () => {
  it('is 3, and is not made', async () => {
    const dir = newDirectory();
    expect((await run('verify', dir)).code).toBe(3);
    expect((await run('rebalance', dir, '--shards', '2')).code).toBe(3);
    expect(existsSync(dir)).toBe(false);
  });
});

describe('holdfast serve refuses', () => {
  it('a port that is taken, plainly', async () => {
    const node = await openNode({ memory: true });
    const { port } = await node.listen({ port: 0 });
    const { code, out, err } = await run('serve', '--memory', '--port', String(port));
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('another process listens on this port');
    await node.close();
  });

  it('a directory that is open elsewhere', async () => {
    const dir = newDirectory();
    const node = await openNode({ dir });
    const { code, err } = await run('serve', dir, '--port', '0', '--json');
    expect(code).toBe(4);
    expect(JSON.parse(err.trim().split('\n').at(-1) ?? '')).toMatchObject({
      error: { code: 'DIRECTORY_LOCKED', exitCode: 4 },
    });
    await node.close();
  });

  it.each([
    [['--prot', '1'], 'did you mean --port?'],
    [['--port', '70000'], 'setting=port'],
    [['--host', '0.0.0.0', '--memory'], 'access control does not exist'],
    [['dir', '--memory'], 'exclude each other'],
    [['--memory', '--log-level', 'loud'], '--log-level must be one of'],
  ])('%j', async (args, text) => {
    const { code, err } = await run('serve', ...args);
    expect(code).toBe(2);
    expect(err).toContain(text);
  });
});
