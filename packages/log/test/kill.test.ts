/** A real process, really killed. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NodeClock, NodeFileSystem, NodeRandom } from '@holdfast/core';
import { openLog } from '@holdfast/log';
import { SeededRandom, runCrashCycles } from '@holdfast/testkit';
import { expect, test } from 'vitest';
import { collect } from './sim-log.ts';

const CHILD = fileURLToPath(new URL('./fixtures/appending-child.ts', import.meta.url));
const cycles = Number(process.env['HOLDFAST_KILLS'] ?? 3);

test(
  'after SIGKILL at any acknowledgement, every acknowledged record is there, each once',
  { timeout: 60_000 + cycles * 20_000 },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-kill-'));
    const dir = join(directory, 'log');
    try {
      const journal = await runCrashCycles<number>({
        random: new SeededRandom(Number(process.env['HOLDFAST_SEED'] ?? 11)),
        cycles,
        maxAcknowledgements: 400,
        command: () => ({
          command: process.execPath,
          cwd: dirname(CHILD),
          args: ['--conditions', 'x-source', '--import', 'tsx', CHILD, dir],
        }),
        isReady: (line) => line['event'] === 'ready',
        acknowledgement: (line) => (typeof line['ack'] === 'number' ? line['ack'] : undefined),
        checkAtRest: (acknowledged) => assertAllThere(dir, acknowledged),
      });
      expect(new Set(journal).size).toBe(journal.length);
      expect(journal.length).toBeGreaterThanOrEqual(cycles);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
);

async function assertAllThere(dir: string, acknowledged: readonly number[]): Promise<void> {
  const log = await openLog(
    { fileSystem: new NodeFileSystem(), clock: new NodeClock(), random: new NodeRandom() },
    { dir, databaseId: Buffer.alloc(16, 7) },
  );
  try {
    const records = await collect(log.replay());
    for (const [index, { lsn, payload }] of records.entries()) {
      assert.equal(lsn, index + 1);
      assert.equal(payload.toString(), String(lsn).repeat(1 + (lsn % 200)));
    }
    assert.ok(Math.max(...acknowledged) <= records.length);
    assert.deepEqual((await log.verify()).problems, []);
  } finally {
    await log.close();
  }
}
