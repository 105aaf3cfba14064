/** A real process that writes to real tiers, really killed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCrashCycles, SeededRandom } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { openRealTiers } from './fixtures/real-tiers.ts';
import { gather, valueOf } from './tiered-stores.ts';

const CHILD = fileURLToPath(new URL('./fixtures/writing-child.ts', import.meta.url));
const CYCLES = Number(process.env['HOLDFAST_KILLS'] ?? 3);

type Ack = readonly [key: string, number: number];

/** The newest acknowledged number of each key; a delete is a negative one. */
function newest(journal: readonly Ack[]): Map<string, number> {
  const last = new Map<string, number>();
  for (const [key, number] of journal) last.set(key, number);
  return last;
}

async function check(
  directory: string,
  journal: readonly Ack[],
  mode: string,
  lives: number,
): Promise<void> {
  const { store, primary, backup, close } = await openRealTiers(directory, {
    backupMode: mode === 'async' ? 'async' : 'sync',
  });
  await store.drain();
  const unheard = new Map<string, number>();
  for (const [key, number] of newest(journal)) {
    const found = await valueOf(store, key);
    for (const tier of [primary, backup]) expect(await valueOf(tier, key), key).toBe(found);
    if (found === (number < 0 ? undefined : String(number))) continue;
    // A later one is there that nobody was told of: one of each lane was on its way.
    if (found !== undefined) expect(Number(found), key).toBeGreaterThan(Math.abs(number));
    const lane = key.slice(0, 1);
    unheard.set(lane, (unheard.get(lane) ?? 0) + 1);
  }
  // Earlier lives left one each, too, unless it was written again since.
  for (const count of unheard.values()) expect(count).toBeLessThanOrEqual(lives);
  for (const lane of [0, 1, 2, 3]) {
    expect(await valueOf(store, `${lane}-pair-two`)).toBe(await valueOf(store, `${lane}-pair-one`));
  }
  expect(await gather(store.verify())).toEqual([]);
  expect(store.status()).toMatchObject({ divergent: 0, fenced: false });
  await close();
}

describe.each(['sync', 'async'])('SIGKILL of a process with tiers, %s', (mode) => {
  it(
    'what was acknowledged is in both tiers after the next start',
    { timeout: 60_000 + CYCLES * 20_000 },
    async () => {
      const directory = await mkdtemp(join(tmpdir(), 'holdfast-tiers-'));
      try {
        const journal = await runCrashCycles<Ack>({
          random: new SeededRandom(Number(process.env['HOLDFAST_SEED'] ?? 5)),
          cycles: CYCLES,
          maxAcknowledgements: 300,
          command: () => ({
            command: process.execPath,
            cwd: dirname(CHILD),
            args: ['--conditions', 'x-source', '--import', 'tsx', CHILD, directory, mode],
          }),
          isReady: (line) => line['event'] === 'ready',
          acknowledgement: (line) => line['ack'] as Ack | undefined,
          checkAtRest: (acknowledged, cycle) => check(directory, acknowledged, mode, cycle + 1),
        });
        expect(journal.length).toBeGreaterThanOrEqual(CYCLES);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    },
  );
});
