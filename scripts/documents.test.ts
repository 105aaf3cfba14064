/**
 * Runs the command blocks of README and docs as a reader would, in order, each document from
 * a clean data directory. Only the port is another one, so that nothing is disturbed.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { type CommandBlock, commandBlocks } from './command-blocks.ts';

const ROOT = join(import.meta.dirname, '..');
const READY_WITHIN_MS = 120_000;
const run = promisify(execFile);

interface Reading {
  readonly port: number;
  readonly env: NodeJS.ProcessEnv;
  readonly dir: string;
  readonly running: ChildProcess[];
}

let reading: Reading | undefined;

afterEach(async () => {
  for (const child of reading?.running ?? []) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGINT');
    if (child.exitCode === null) await ended;
  }
  if (reading !== undefined) await rm(reading.dir, { recursive: true, force: true });
  reading = undefined;
});

describe('documents', async () => {
  const docs = (await readdir(join(ROOT, 'docs'))).filter((name) => name.endsWith('.md'));
  for (const document of ['README.md', ...docs.map((name) => `docs/${name}`)]) {
    const blocks = commandBlocks(await readFile(join(ROOT, document), 'utf8'));
    const runnable = blocks.filter((block) => block.tag.kind === 'run');
    if (runnable.length === 0) continue;
    it(`${document}: ${runnable.length} command blocks do what they say`, async () => {
      reading = await begin();
      for (const block of runnable) await follow(reading, document, block);
    }, 300_000);
  }

  it('the README has commands', async () => {
    const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
    expect(commandBlocks(readme).filter(({ tag }) => tag.kind === 'run').length).toBeGreaterThan(2);
  });
});

async function begin(): Promise<Reading> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-docs-'));
  const port = await freePort();
  const env = {
    ...process.env,
    NODE_OPTIONS: '',
    HOLDFAST_PORT: String(port),
    HOLDFAST_DIR: join(dir, 'data'),
    HOLDFAST_URL: `http://127.0.0.1:${port}`,
  };
  return { port, env, dir, running: [] };
}

async function follow(state: Reading, document: string, block: CommandBlock): Promise<void> {
  const text = block.text.replaceAll('4437', String(state.port));
  if (block.tag.kind === 'run' && block.tag.background) {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', `exec ${text}`], {
      cwd: ROOT,
      env: state.env,
      stdio: 'ignore',
    });
    state.running.push(child);
    await ready(state.port, child);
    return;
  }
  try {
    await run('bash', ['-euo', 'pipefail', '-c', text], { cwd: ROOT, env: state.env });
  } catch (cause) {
    throw new Error(`${document}:${block.line} failed`, { cause });
  }
}

async function ready(port: number, child: ChildProcess): Promise<void> {
  const until = Date.now() + READY_WITHIN_MS;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (answer?.status === 200) return;
    if (Date.now() > until) throw new Error('it never became ready');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port);
        else reject(new Error('no port'));
      });
    });
  });
}
