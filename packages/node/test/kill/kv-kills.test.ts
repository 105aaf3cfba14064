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
import { after, type KvHeld, MORTAL, operationOf } from './kv-operations.ts';
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

interface Found {
  readonly entries: readonly [writer: number, key: string, n: number, version: number][];
  readonly counter: number;
  readonly lastChange: number;
}

type Line = Found | { readonly writer: number; readonly n: number; readonly version: number };

interface Writer {
  /** Operations acknowledged. */
  done: number;
  held: KvHeld;
}

class Lives {
  readonly writers: Writer[] = Array.from({ length: WRITERS }, () => ({
    done: 0,
    held: new Map(),
  }));
  counted = 0;
  /** Of operations on their way at a kill that had happened. */
  unheard = 0;
  highest = 0;
  operations = 0;

  /** Until it is killed. */
  async live(operations: number, delayMs: number): Promise<void> {
    const firsts = this.writers.map(({ done }) => String(done));
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
        this.found(line);
        versions = this.highest;
        continue;
      }
      if (!('writer' in line)) throw new Error(`a writer ended: ${text}`);
      this.acknowledged(line, versions);
      if (--left === 0) setTimeout(() => child.kill('SIGKILL'), delayMs);
    }
    if (left > 0) throw new Error('the process ended by itself');
  }

  acknowledged(
    { writer, n, version }: { writer: number; n: number; version: number },
    versions: number,
  ): void {
    const known = this.writers[writer] as Writer;
    expect(n).toBe(known.done);
    const op = operationOf(writer, n);
    known.held = after(known.held, op, n);
    known.done++;
    if (op.kind === 'count') this.counted++;
    // A delete of nothing changes nothing.
    if (version > 0) expect(version).toBeGreaterThan(versions);
    this.highest = Math.max(this.highest, version);
    this.operations++;
  }

  /** What the last life left: everything acknowledged, and of each writer perhaps one more. */
  found({ entries, counter, lastChange }: Found): void {
    expect(lastChange).toBeGreaterThanOrEqual(this.highest);
    let mayHaveCounted = 0;
    for (const [index, writer] of this.writers.entries()) {
      const own = entries.filter(([of, key]) => of === index && key !== MORTAL);
      const held = shown(new Map(own.map(([, key, n]) => [key, n])));
      const op = operationOf(index, writer.done);
      const further = after(writer.held, op, writer.done);
      if (op.kind === 'count') mayHaveCounted++;
      expect([shown(writer.held), shown(further)]).toContain(held);
      if (held !== shown(further) || held === shown(writer.held)) continue;
      this.unheard++;
      writer.held = further; // and it is done once more
    }
    for (const [writer, key, n] of entries) {
      expect([writer, key, n >= 0]).toEqual([writer, key, true]); // whole
    }
    expect(counter).toBeGreaterThanOrEqual(this.counted);
    expect(counter).toBeLessThanOrEqual(this.counted + mayHaveCounted);
    this.counted = counter;
    this.highest = Math.max(this.highest, lastChange);
  }
}

function shown(held: KvHeld): string {
  return JSON.stringify([...held].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

it(`${CYCLES} kills under writers of stores: what is there is what was acknowledged (${REPLAY})`, async () => {
  const random = new SeededRandom(SEED);
  const lives = new Lives();
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    await lives.live(1 + random.integer(MOST_OPERATIONS), random.integer(MOST_DELAY_MS));
    if (cycle % 5 === 4) await expectWhole(dir);
  }
  await lives.live(1, 0);
  const { operations, unheard, counted } = lives;
  console.log(`kill: ${JSON.stringify({ cycles: CYCLES, operations, unheard, counted })}`);
  expect(counted).toBeGreaterThan(CYCLES);
}, 300_000);
