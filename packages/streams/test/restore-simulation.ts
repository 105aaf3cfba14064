/** Histories of `restore-history.ts`, each restored to every LSN. */
import { createSecretKey } from 'node:crypto';
import { KeyRing, NodeRandom } from '@holdfast/core';
import { type HistoryRange, runHistories } from '@holdfast/testkit';
import { recordHistory, type RestoreHistory } from './restore-history.ts';
import { expectRestored } from './restored-streams.ts';

export interface RestoreTotals {
  histories: number;
  lsns: number;
  snapshots: number;
  crashes: number;
  /** Restores in the middle of a history, from which it went on. */
  restores: number;
}

/** And the seed. */
const REPLAY = 'npm run simulate -- --only restore --histories 1 --seed';
const COMMITS = 100;

/** @param encrypted default: every other one. */
export async function runRestoreHistories(
  range: HistoryRange,
  encrypted?: boolean,
): Promise<RestoreTotals> {
  const totals = { histories: 0, lsns: 0, snapshots: 0, crashes: 0, restores: 0 };
  await runHistories(range, REPLAY, async (seed) => {
    const keys = (encrypted ?? seed % 2 === 0) ? ring() : undefined;
    const history = await recordHistory({ seed, commits: COMMITS, keys });
    totals.lsns += await restoreAt(history, everyLsn(history));
    totals.histories++;
    totals.snapshots += history.snapshots;
    totals.crashes += history.crashes;
    totals.restores += history.restores;
  });
  return totals;
}

export function ring(): KeyRing {
  return new KeyRing([createSecretKey(Buffer.alloc(32, 7))], new NodeRandom());
}

export function* everyLsn({ lastLsn }: RestoreHistory): Generator<number> {
  for (let lsn = 1; lsn <= lastLsn; lsn++) yield lsn;
}

/** Resolves to how many restores were the model's state; rejects with the first that is not. */
export async function restoreAt(history: RestoreHistory, lsns: Iterable<number>): Promise<number> {
  let restored = 0;
  for (const lsn of lsns) {
    const state = history.states.get(lsn);
    if (state === undefined) throw new Error(`the model does not know lsn=${lsn}`);
    await expectRestored(history, lsn, state);
    restored++;
  }
  return restored;
}
