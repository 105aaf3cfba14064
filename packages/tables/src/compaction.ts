import type { BlockCodec, Clock, FileId, FileSystem } from '@holdfast/core';
import type { Pace } from './pace.ts';
import type { TableInfo } from './table-info.ts';

export interface CompactionPlan {
  /** Tables `from` to `to - 1` of the list, newest first, are replaced by one. */
  readonly from: number;
  readonly to: number;
  readonly tables: readonly TableInfo[];
  /** The oldest table is included, so that a tombstone has nothing left to hide. */
  readonly dropTombstones: boolean;
}

/** @param tables newest first. */
export function planCompaction(
  tables: readonly TableInfo[],
  tablesPerTier: number,
): CompactionPlan | undefined {
  throw new Error(`soon ${String([tables, tablesPerTier])}`);
}

export interface CompactionInput {
  readonly path: string;
  readonly info: TableInfo;
}

/** All of it can be posted to a thread. */
export interface CompactionJob {
  /** 16 bytes; see `BlockCodec`. */
  readonly databaseId: Uint8Array;
  /** Newest first. */
  readonly inputs: readonly CompactionInput[];
  readonly output: { readonly path: string; readonly fileId: FileId };
  readonly dropTombstones: boolean;
}

export interface CompactionComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly pace?: Pace;
}

export function compactTables(
  components: CompactionComponents,
  job: Omit<CompactionJob, 'databaseId'>,
): Promise<TableInfo | undefined> {
  throw new Error(`soon ${String([components, job])}`);
}

/** Merges tables somewhere. One job at a time; more wait in line. */
export interface Compactor {
  /**
   * The new table, synced, or `undefined` when no row was left. The caller syncs the
   * directory. Rejects with effect `none`: a half-written output is an orphan.
   */
  compact(job: CompactionJob): Promise<TableInfo | undefined>;
  /** What runs is given up and rejects with `CLOSED`. Idempotent. */
  close(): Promise<void>;
}

export class InlineCompactor implements Compactor {
  constructor(components: { readonly fileSystem: FileSystem; readonly clock: Clock }) {
    void components;
  }
  compact(job: CompactionJob): Promise<TableInfo | undefined> {
    throw new Error(`soon ${String(job)}`);
  }
  async close(): Promise<void> {}
}
