import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SeededRandom, runCrashCycles, type ChildLine, type CrashOptions } from '../src/index.ts';

const CHILD = fileURLToPath(new URL('./fixtures/counting-child.ts', import.meta.url));

let directory: string;
let file: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-crash-'));
  file = join(directory, 'numbers');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function options(seed: number, mode: string): CrashOptions<number> {
  return {
    random: new SeededRandom(seed),
    cycles: 3,
    maxAcknowledgements: 40,
    command: () => ({
      command: process.execPath,
      cwd: dirname(CHILD),
      args: ['--conditions', 'x-source', '--import', 'tsx', CHILD, file, mode],
    }),
    isReady: (line: ChildLine) => line.event === 'ready' || line.event === 'listening',
    checkAtRest: (journal) => assertAllThere(journal),
  };
}

/** Every acknowledged number stands in the file, at its place. */
async function assertAllThere(journal: readonly number[]): Promise<void> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  for (const number of journal) assert.equal(Number(lines[number - 1]), number);
}

const acknowledgement = (line: ChildLine): number | undefined =>
  typeof line.ack === 'number' ? line.ack : undefined;

describe('crash harness', { timeout: 60_000 }, () => {
  it('kills a printing child at acknowledgements and finds all of them afterwards', async () => {
    const journal = await runCrashCycles({ ...options(1, 'print'), acknowledgement });
    expect(journal.length).toBeGreaterThanOrEqual(3);
    // Read to the end: what the child said after the kill was decided is in the journal, too.
    expect(journal[0]).toBe(1);
  });

  it('finds out a child that acknowledges before it wrote', async () => {
    const run = runCrashCycles({ ...options(2, 'lie'), maxAcknowledgements: 3, acknowledgement });
    await expect(run).rejects.toThrow(/crash cycle failed seed=2 cycle=\d acknowledged=\d+/);
  });

  it('drives a server on the port it printed, and sees it again after each kill', async () => {
    const seen: number[] = [];
    const journal = await runCrashCycles<number>({
      ...options(3, 'serve'),
      drive: async (child) => {
        const { port } = await child.ready;
        for (;;) {
          const response = await fetch(`http://127.0.0.1:${String(port)}/`, { method: 'POST' });
          child.acknowledge(Number(await response.text()));
        }
      },
      checkRunning: async (_child, sofar) => {
        seen.push(sofar.length);
        if (sofar.length > 0) await assertAllThere(sofar);
      },
    });
    expect(seen.length).toBe(3);
    expect(new Set(journal).size).toBe(journal.length);
  });

  it('a child that ends before it is ready fails at once, with its last words', async () => {
    const run = runCrashCycles<number>({
      ...options(4, 'print'),
      command: () => ({ command: process.execPath, args: ['-e', 'throw new Error("no luck")'] }),
    });
    await expect(run).rejects.toThrow(/ended before it was ready[\s\S]*no luck/);
  });

  it('a child that ends by itself is a failure, not a kill', async () => {
    const script = 'console.log(JSON.stringify({ event: "ready" })); setTimeout(() => {}, 50)';
    const run = runCrashCycles<number>({
      ...options(6, 'print'),
      command: () => ({ command: process.execPath, args: ['-e', script] }),
    });
    await expect(run).rejects.toThrow(/ended by itself/);
  });

  it('a command that cannot be started fails at once', async () => {
    const run = runCrashCycles<number>({
      ...options(5, 'print'),
      command: () => ({ command: join(directory, 'no-such-program'), args: [] }),
    });
    await expect(run).rejects.toThrow(/ended before it was ready[\s\S]*ENOENT/);
  });
});
