/** Promise 7 of the log: one writer, with real processes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOCK_FILE_NAME, NodeFileSystem } from '../src/index.ts';

const CHILD = fileURLToPath(new URL('./fixtures/locking-child.ts', import.meta.url));

const fs = new NodeFileSystem();
const children: ChildProcess[] = [];
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-lock-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(directory, { recursive: true, force: true });
});

interface Claim {
  readonly child: ChildProcess;
  readonly outcome: string;
  readonly message?: string;
}

async function claim(mode: 'hold' | 'leave', path = directory): Promise<Claim> {
  const child = spawn(
    process.execPath,
    ['--conditions', 'x-source', '--import', 'tsx', CHILD, path, mode],
    { stdio: ['ignore', 'pipe', 'inherit'], cwd: dirname(CHILD) },
  );
  children.push(child);
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { child, ...(JSON.parse(line) as { outcome: string; message?: string }) };
}

const lockFile = (): string => join(directory, LOCK_FILE_NAME);

/** Only Linux has the kernel's lock, and a boot id to compare with. */
const skip = process.platform !== 'linux';

describe('directory lock between processes', { skip, timeout: 60_000 }, () => {
  it('refuses a second process, naming the one that holds it', async () => {
    const lock = await fs.lockDirectory(directory);
    const second = await claim('leave');
    expect(second.outcome).toBe('DIRECTORY_LOCKED');
    expect(second.message).toContain(`pid=${process.pid}`);
    expect(second.message).toContain(directory);
    expect(second.message).toMatch(/stop it or use another directory/);
    await lock.release();
    expect((await claim('leave')).outcome).toBe('held');
  });

  it('a lock left by kill -9 does not delay the next start', async () => {
    const first = await claim('hold');
    expect(first.outcome).toBe('held');
    await expect(fs.lockDirectory(directory)).rejects.toMatchObject({
      code: 'DIRECTORY_LOCKED',
      kind: 'fenced',
      effect: 'none',
      details: { pid: first.child.pid },
    });
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    expect(await readdir(directory)).toContain(LOCK_FILE_NAME); // left behind
    const lock = await fs.lockDirectory(directory); // at the first try
    expect(JSON.parse(await readFile(lockFile(), 'utf8'))).toMatchObject({ pid: process.pid });
    await lock.release();
  });

  it('of several processes starting at once exactly one gets it', async () => {
    const claims = await Promise.all([1, 2, 3, 4].map(() => claim('hold')));
    const outcomes = claims.map(({ outcome }) => outcome).sort();
    expect(outcomes).toEqual([...Array<string>(3).fill('DIRECTORY_LOCKED'), 'held']);
  });

  it('holding a lock does not keep a process alive', async () => {
    const { child, outcome } = await claim('leave');
    expect(outcome).toBe('held');
    if (child.exitCode === null) await once(child, 'exit');
    expect(child.exitCode).toBe(0);
  });

  it('a LOCK file alone means nothing, whatever it says', async () => {
    const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    for (const content of ['', '{"pid":', JSON.stringify({ pid: 1, bootId, startedAt: 'x' })]) {
      await writeFile(lockFile(), content);
      await (await fs.lockDirectory(directory)).release();
    }
  });

  it('a LOCK file that cannot be written does not stop a start, nor does its pid get lost', async () => {
    await mkdir(lockFile());
    const lock = await fs.lockDirectory(directory);
    const second = await claim('leave');
    expect(second.outcome).toBe('DIRECTORY_LOCKED');
    expect(second.message).not.toContain('pid=');
    await lock.release();
  });
});

describe('directory lock within a process', () => {
  it('is one lock under every path that leads there', async () => {
    await mkdir(join(directory, 'data'));
    await symlink(join(directory, 'data'), join(directory, 'link'));
    const lock = await fs.lockDirectory(join(directory, 'data'));
    for (const path of ['link', 'data/', 'data/../data']) {
      await expect(fs.lockDirectory(`${directory}/${path}`)).rejects.toMatchObject({
        code: 'DIRECTORY_LOCKED',
        message: expect.stringContaining('this process already') as string,
      });
    }
    await lock.release();
  });

  it('leaves a private file that tells pid, boot and start, and takes it away again', async () => {
    const lock = await fs.lockDirectory(directory);
    const holder = JSON.parse(await readFile(lockFile(), 'utf8')) as Record<string, unknown>;
    expect(Object.keys(holder).sort()).toEqual(['bootId', 'pid', 'startedAt']);
    expect(holder.pid).toBe(process.pid);
    expect((await stat(lockFile())).mode & 0o777).toBe(0o600);
    await Promise.all([lock.release(), lock.release()]);
    expect(await readdir(directory)).toEqual([]);
  });
});

describe('directory lock by file, as on other systems', { skip }, () => {
  const DEAD_PID = 2 ** 22 - 3; // the largest a kernel gives by default is above any in use here
  const realPlatform = process.platform;
  let bootId: string;

  beforeEach(async () => {
    bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    Object.defineProperty(process, 'platform', { value: 'other' });
  });
  afterEach(() => {
    Object.defineProperty(process, 'platform', { value: realPlatform });
  });

  it('refuses while the process in the file lives', async () => {
    await writeFile(lockFile(), JSON.stringify({ pid: process.ppid, bootId, startedAt: 'x' }));
    await expect(fs.lockDirectory(directory)).rejects.toMatchObject({
      code: 'DIRECTORY_LOCKED',
      details: { pid: process.ppid },
    });
    expect(await readdir(directory)).toEqual([LOCK_FILE_NAME]);
  });

  it('takes over from a dead process, an earlier boot, an earlier life of its pid, and garbage', async () => {
    for (const content of [
      JSON.stringify({ pid: DEAD_PID, bootId, startedAt: 'x' }),
      JSON.stringify({ pid: process.ppid, bootId: 'another boot', startedAt: 'x' }),
      JSON.stringify({ pid: process.pid, bootId, startedAt: 'x' }),
      '',
      '{"pid":-1}',
    ]) {
      await writeFile(lockFile(), content);
      const lock = await fs.lockDirectory(directory);
      await expect(fs.lockDirectory(directory)).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
      expect(await readdir(directory)).toEqual([LOCK_FILE_NAME]);
      await lock.release();
      expect(await readdir(directory)).toEqual([]);
    }
  });
});
