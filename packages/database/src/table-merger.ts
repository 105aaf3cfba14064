/**
 * Keeps the number of tables small: merges tables of one size tier in the background, off
 * the main thread when the compactor is a worker.
 *
 * Invariants
 * 1. One merge at a time per database. Inputs stay readable until the manifest without them
 *    is durable.
 * 2. A merge that cannot get space is dropped and planned anew later; nothing is lost by it.
 */
import { type BlockCodec, cut, type FileSystem, LIMITS, type Logger } from '@holdfast/core';
import {
  type BlockCache,
  type CompactionPlan,
  type Compactor,
  planCompaction,
  Table,
  tableFileName,
  type TableInfo,
} from '@holdfast/tables';
import type { DatabaseShard } from './database-shard.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';
import { isSpaceError } from './space-error.ts';

export interface TableMergerComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly cache: BlockCache;
  readonly compactor: Compactor;
  readonly logger: Logger;
}

export class TableMerger {
  readonly #components: TableMergerComponents;
  readonly #dir: string;
  readonly #databaseId: Buffer;
  readonly #shards: readonly DatabaseShard[];
  readonly #manifest: ManifestKeeper;
  #running: Promise<void> = Promise.resolve();

  constructor(
    components: TableMergerComponents,
    state: {
      dir: string;
      databaseId: Buffer;
      shards: readonly DatabaseShard[];
      manifest: ManifestKeeper;
    },
  ) {
    this.#components = components;
    this.#dir = state.dir;
    this.#databaseId = state.databaseId;
    this.#shards = state.shards;
    this.#manifest = state.manifest;
  }

  /** Merges until no tier is full; resolves when there is nothing left to do. */
  run(): Promise<void> {
    const done = this.#running.then(() => this.#mergeAll());
    this.#running = done.catch(() => undefined);
    return done;
  }

  async #mergeAll(): Promise<void> {
    for (const shard of this.#shards) {
      for (;;) {
        const tables = this.#manifest.current.shards[shard.id]?.tables ?? [];
        const plan = planCompaction(tables, LIMITS.tablesPerTier);
        if (plan === undefined || !(await this.#merge(shard, plan))) break;
      }
    }
  }

  async #merge(shard: DatabaseShard, plan: CompactionPlan): Promise<boolean> {
    const fileId = this.#manifest.claimFileId();
    const path = this.#path(fileId);
    let merged: TableInfo | undefined;
    try {
      merged = await this.#components.compactor.compact({
        databaseId: this.#databaseId,
        inputs: plan.tables.map((info) => ({ path: this.#path(info.fileId), info })),
        dropTombstones: plan.dropTombstones,
        output: { path, fileId },
      });
      await this.#components.fileSystem.syncDirectory(this.#dir);
    } catch (error) {
      if (!isSpaceError(error)) throw error;
      this.#components.logger.warn('database.compactionPostponed', {});
      return false;
    }
    await cut('database.compacted');
    await this.#swap(shard, plan, merged, path);
    return true;
  }

  async #swap(
    shard: DatabaseShard,
    plan: CompactionPlan,
    merged: TableInfo | undefined,
    path: string,
  ): Promise<void> {
    const gone = new Set<number>(plan.tables.map((info) => info.fileId));
    await this.#manifest.edit((current) => ({
      ...current,
      shards: current.shards.map((entry, id) =>
        id === shard.id
          ? { ...entry, tables: replaceRun(entry.tables, gone, (info) => info.fileId, merged) }
          : entry,
      ),
    }));
    const table =
      merged === undefined ? undefined : await Table.open(this.#components, path, merged);
    const replaced = shard.tables.filter((old) => gone.has(old.info.fileId));
    shard.setTables(replaceRun(shard.tables, gone, (old) => old.info.fileId, table));
    for (const old of replaced) {
      await this.#components.fileSystem.unlink(this.#path(old.info.fileId));
      await old.retire();
    }
  }

  #path(fileId: TableInfo['fileId']): string {
    return `${this.#dir}/${tableFileName(fileId)}`;
  }
}

/** `merged` takes the place of the entries in `gone`, which are neighbours. */
function replaceRun<T>(
  entries: readonly T[],
  gone: ReadonlySet<number>,
  fileIdOf: (entry: T) => number,
  merged: T | undefined,
): T[] {
  const at = entries.findIndex((entry) => gone.has(fileIdOf(entry)));
  const kept = entries.filter((entry) => !gone.has(fileIdOf(entry)));
  if (merged !== undefined) kept.splice(at, 0, merged);
  return kept;
}
