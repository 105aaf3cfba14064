/**
 * `SIGKILL` at a random moment, many times, of a process whose node has writers of key-value stores:
 * puts, conditional puts, batches, deletes, entries with an expiry, and one entry that all of them
 * count up. Nothing acknowledged is lost, no value is half, no batch is half, no update is lost, and
 * versions rise over all lives.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { SeededRandom } from '@holdfast/testkit';
import { afterAll, expect, it } from 'vitest';
import { type KvFound, KvLives } from './kv-lives.ts';
import { expectWhole } from './sequence.ts';

const CYCLES = Number(process.env['HOLDFAST_KILL_KV'] ?? 10);
const SEED = Number(process.env['HOLDFAST_KILL_SEED'] ?? 1);
const WRITERS = 8;
/** Acknowledgements before a kill. */
const MOST_OPERATIONS = 900;
const MOST_DELAY_MS = 6;
const WRITER = fileURLToPath(new URL('kv-writers.ts', import.meta.url));
const REPLAY = `HOLDFAST_KILL_SEED=${SEED} HOLDFAST_KILL_KV=${CYCLES} npx vitest run packages/node/test/kill/kv-kills`;

const dir = mkdtempSync(path.join(tmpdir(), 'holdfast-kill-kv-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

type Line = KvFound | { readonly writer: number; readonly n: number; readonly version: number };

class Processes {
  readonly lives = new KvLives(WRITERS);

  /** Until it is killed. */
  async live(operations: number, delayMs: number): Promise<void> {
    const firsts = this.lives.writers.map(({ done }) => String(done));
    const arguments_ = ['--conditions', 'x-source', '--import', 'tsx', WRITER, dir, ...firsts];
    const child = spawn(process.execPath, arguments_, { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await this.#follow(child, operations, delayMs);
    } finally {
      child.kill('SIGKILL');
    }
  }

  async #follow(child: ChildProcess, operations: number, delayMs: number): Promise<void> {
    let left = operations;
    let versions = 0; // above everything acknowledged in earlier lives
    for await (const text of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
      const line = JSON.parse(text) as Line;
      if ('entries' in line) {
        this.lives.found(line);
        versions = this.lives.highest;
        continue;
      }
      if (!('writer' in line)) throw new Error(`a writer ended: ${text}`);
      this.lives.acknowledged(line, versions);
      if (--left === 0) setTimeout(() => child.kill('SIGKILL'), delayMs);
    }
    if (left > 0) throw new Error('the process ended by itself');
  }
}

it(`${CYCLES} kills under writers of stores: what is there is what was acknowledged (${REPLAY})`, async () => {
  const random = new SeededRandom(SEED);
  const processes = new Processes();
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    await processes.live(1 + random.integer(MOST_OPERATIONS), random.integer(MOST_DELAY_MS));
    if (cycle % 5 === 4) await expectWhole(dir);
  }
  await processes.live(1, 0);
  const { operations, unheard, counted } = processes.lives;
  console.log(`kill: ${JSON.stringify({ cycles: CYCLES, operations, unheard, counted })}`);
  expect(counted).toBeGreaterThan(CYCLES);
}, 300_000);
