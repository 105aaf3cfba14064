import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const EXAMPLE = path.join(REPOSITORY, 'examples/embedded.ts');
const TSX = import.meta.resolve('tsx');

const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-example-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('examples/embedded.ts', () => {
  it('type-checks', () => {
    const tsc = path.join(REPOSITORY, 'node_modules/typescript/bin/tsc');
    const project = path.join(REPOSITORY, 'examples/tsconfig.json');
    execFileSync(process.execPath, [tsc, '-p', project], { stdio: 'pipe' });
  }, 120_000);

  it('prints what it appended, and waits for more instead of ending', async () => {
    const child = spawn(process.execPath, ['--import', TSX, '--conditions', 'x-source', EXAMPLE], {
      cwd: directory,
      env: { ...process.env, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
    child.stderr.setEncoding('utf8').on('data', (part: string) => (text += part));
    const ended = new Promise((resolve) => child.once('close', resolve));
    while (!text.includes('\n') && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(text).toBe("{ text: 'hello' }\n");
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(child.exitCode).toBe(null);
    child.kill('SIGKILL');
    await ended;
  });
});

describe('examples/kv.ts', () => {
  it('prints what it put under its condition, and ends', () => {
    const example = path.join(REPOSITORY, 'examples/kv.ts');
    const text = execFileSync(
      process.execPath,
      ['--import', TSX, '--conditions', 'x-source', example],
      { cwd: directory, env: { ...process.env, NODE_OPTIONS: '' }, encoding: 'utf8' },
    );
    expect(text).toBe('light\n');
  }, 120_000);
});
