/** Re-reads every byte of what rests outside of the log. Changes nothing. */
import type { HoldfastError } from '@holdfast/core';
import type { DatabaseShard } from './database-shard.ts';
import type { ExtentStore } from './extent-store.ts';
import type { LayoutKeeper } from './layout-keeper.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';

/** One place that is damaged. */
export interface StateProblem {
  readonly path: string;
  /** Byte offset in the file. */
  readonly position: number;
  readonly message: string;
}

/** Both copies of layout and manifest. */
export async function verifyMetadata(
  dir: string,
  layout: LayoutKeeper,
  manifest: ManifestKeeper,
): Promise<StateProblem[]> {
  const errors = [...(await layout.check()), ...(await manifest.check())];
  return errors.map((error) => problemOf(error, dir));
}

/** Tables and extent files. */
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
    if (file === undefined) {
      const error = state.extents.unreadable(fileId);
      if (error !== undefined) report(problemOf(error, state.extents.pathOf(fileId)));
      continue;
    }
    file.retain();
    try {
      await file.verify(report);
    } finally {
      file.release();
    }
  }
  return problems;
}

/** @param path when the error names none. */
export function problemOf(error: HoldfastError, path: string): StateProblem {
  const { path: where, position } = error.details;
  return {
    path: typeof where === 'string' ? where : path,
    position: typeof position === 'number' ? position : 0,
    message: error.message,
  };
}
