/** Histories of `kv-history.ts`, each restored to every LSN that its model knows. */
import { createSecretKey } from 'node:crypto';
import { KeyRing, NodeRandom } from '@holdfast/core';
import { type HistoryRange, runHistories } from '@holdfast/testkit';
import { recordKvHistory } from './kv-history.ts';
import { expectRestored } from './restored-kv.ts';

export interface KvRestoreTotals {
  histories: number;
  /** Restored to. */
  lsns: number;
  /** Of commits that were on their way when a process ended: their order is not known. */
  unknown: number;
  snapshots: number;
  crashes: number;
  /** Restores in the middle of a history, from which it went on. */
  restores: number;
  /** Entries removed because they were past their expiry. */
  expired: number;
}

/** And the seed. */
const REPLAY = 'npm run simulate -- --only kv-restore --histories 1 --seed';
const COMMITS = 100;

/** @param encrypted default: every other one. */
export async function runKvRestoreHistories(
  range: HistoryRange,
  encrypted?: boolean,
): Promise<KvRestoreTotals> {
  const totals = {
    ...{ histories: 0, lsns: 0, unknown: 0, snapshots: 0 },
    ...{ crashes: 0, restores: 0, expired: 0 },
  };
  await runHistories(range, REPLAY, async (seed) => {
    const keys = (encrypted ?? seed % 2 === 0) ? ring() : undefined;
    const history = await recordKvHistory({ seed, commits: COMMITS, keys });
    for (const lsn of history.states.keys()) await expectRestored(history, lsn);
    totals.histories++;
    totals.lsns += history.states.size;
    totals.unknown += history.lastLsn - history.states.size;
    totals.snapshots += history.snapshots;
    totals.crashes += history.crashes;
    totals.restores += history.restores;
    totals.expired += history.expired;
  });
  return totals;
}

function ring(): KeyRing {
  return new KeyRing([createSecretKey(Buffer.alloc(32, 7))], new NodeRandom());
}
