/** Re-reads every byte of the tables and extent files a manifest names. Changes nothing. */
import type { DatabaseShard } from './database-shard.ts';
import type { ExtentStore } from './extent-store.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';

/** One place that is damaged. */
export interface StateProblem {
  readonly path: string;
  /** Byte offset in the file. */
  readonly position: number;
  readonly message: string;
}

export async function verifyState(state: {
  shards: readonly DatabaseShard[];
  extents: ExtentStore;
  manifest: ManifestKeeper;
}): Promise<StateProblem[]> {
  const problems: StateProblem[] = [];
  const report = (problem: StateProblem): void => {
    problems.push(problem);
  };
  for (const shard of state.shards) {
    const { tables } = shard;
    for (const table of tables) table.retain(); // a merge may replace them meanwhile
    try {
      for (const table of tables) await table.verify(report);
    } finally {
      for (const table of tables) table.release();
    }
  }
  for (const { fileId } of state.manifest.current.extentFiles) {
    const file = state.extents.file(fileId);
    if (file === undefined) continue;
    file.retain();
    try {
      await file.verify(report);
    } finally {
      file.release();
    }
  }
  return problems;
}
