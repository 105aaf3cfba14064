/**
 * Keeps the number of tables small: merges tables of one size tier in the background, off
 * the main thread when the compactor is a worker.
 *
 * Invariants
 * 1. One merge at a time per database. Inputs stay readable until the manifest without them
 *    is durable, and stay where they are for as long as somebody pins them.
 * 2. A merge that cannot get space, or whose output cannot be written, is dropped and planned
 *    anew later; nothing is lost by it. Only a manifest of unknown state is final.
 * 3. A table that cannot be read stays as it is and is merged no more: damage costs its own
 *    rows, not the writing of others. It is named by `run`, and the scrubber hears of it. Only
 *    damage of both copies comes that far.
 * 4. The merged table is open before the manifest names it; the shard's list changes in the
 *    turn after.
 */
import {
  type BlockCodec,
  cut,
  type FileId,
  type FileSystem,
  type HoldfastError,
  isHoldfastError,
  LIMITS,
  type Logger,
  systemErrorCode,
} from '@holdfast/core';
import {
  type BlockCache,
  type CompactionPlan as Plan,
  type Compactor,
  type DamageListener,
  originalOf,
  planCompaction,
  Table,
  tableFileName,
  type TableInfo,
} from '@holdfast/tables';
import type { DatabaseShard } from './database-shard.ts';
import type { FilePins } from './file-pins.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';
import { isSpaceError } from './storage-errors.ts';

export interface TableMergerComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly cache: BlockCache;
  readonly compactor: Compactor;
  readonly logger: Logger;
  readonly onDamage: DamageListener;
  readonly pins: FilePins;
}

/** Neighbours of one shard that become one table. */
type CompactionPlan = Pick<Plan, 'tables' | 'dropTombstones'>;

/** An error is damage that the next plan goes around. */
type Outcome = 'merged' | 'postponed' | HoldfastError;

export class TableMerger {
  readonly #components: TableMergerComponents;
  readonly #dir: string;
  readonly #databaseId: Buffer;
  readonly #shards: readonly DatabaseShard[];
  readonly #manifest: ManifestKeeper;
  readonly #onDropped: (path: string) => void;
  /** Tables that no merge reads again in this life. I3. */
  readonly #damaged = new Set<number>();
  #running: Promise<void> = Promise.resolve();

  constructor(
    components: TableMergerComponents,
    state: {
      dir: string;
      databaseId: Buffer;
      shards: readonly DatabaseShard[];
      manifest: ManifestKeeper;
      /** Nothing of the table at this path is needed any more. */
      onDropped: (path: string) => void;
    },
  ) {
    this.#components = components;
    this.#dir = state.dir;
    this.#databaseId = state.databaseId;
    this.#shards = state.shards;
    this.#manifest = state.manifest;
    this.#onDropped = state.onDropped;
  }

  /**
   * Merges until no tier is full; resolves when there is nothing left to do, with the first
   * damage it went around. A rejection is final.
   */
  run(): Promise<HoldfastError | undefined> {
    const done = this.#running.then(() => this.#mergeAll());
    this.#running = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }

  /** Writes one table anew, which puts it under the active key; resolves as `run` does. */
  rewrite(fileId: number): Promise<HoldfastError | undefined> {
    const done = this.#running.then(() => this.#rewrite(fileId));
    this.#running = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }

  /** Resolves once nothing that was asked for is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #rewrite(fileId: number): Promise<HoldfastError | undefined> {
    for (const shard of this.#shards) {
      const tables = this.#manifest.current.shards[shard.id]?.tables ?? [];
      const info = tables.find((table) => table.fileId === fileId);
      if (info === undefined || this.#damaged.has(fileId)) continue;
      const outcome = await this.#merge(shard, { tables: [info], dropTombstones: false });
      return typeof outcome === 'string' ? undefined : outcome;
    }
    return undefined; // merged meanwhile
  }

  async #mergeAll(): Promise<HoldfastError | undefined> {
    let damage: HoldfastError | undefined;
    for (const shard of this.#shards) {
      for (;;) {
        const tables = this.#manifest.current.shards[shard.id]?.tables ?? [];
        const plan = planCompaction(tables, LIMITS.tablesPerTier, this.#damaged);
        if (plan === undefined) break;
        const outcome = await this.#merge(shard, plan);
        if (outcome === 'postponed') break;
        if (outcome !== 'merged') damage ??= outcome; // the next plan goes around it
      }
    }
    return damage;
  }

  async #merge(shard: DatabaseShard, plan: CompactionPlan): Promise<Outcome> {
    const fileId = this.#manifest.claimFileId();
    let table: Table | undefined;
    try {
      table = await this.#compact(plan, fileId);
    } catch (error) {
      await this.#remove(fileId);
      return this.#notMerged(plan, fileId, error);
    }
    try {
      await this.#publish(shard, plan, table?.info);
    } catch (error) {
      await table?.retire();
      if (!isSpaceError(error)) throw error;
      await this.#remove(fileId); // what it took may be what is missing
      return this.#postponed(error);
    }
    await cut('database.merged');
    await this.#swap(shard, plan, table);
    return 'merged';
  }

  /** The merged table, synced and open; `undefined` when no row was left. I4. */
  async #compact(plan: CompactionPlan, fileId: FileId): Promise<Table | undefined> {
    const path = this.#path(fileId);
    const { keys } = this.#components.codec;
    const merged = await this.#components.compactor.compact({
      databaseId: this.#databaseId,
      ...(keys === undefined ? {} : { keys }),
      inputs: plan.tables.map((info) => ({ path: this.#path(info.fileId), info })),
      dropTombstones: plan.dropTombstones,
      output: { path, fileId },
    });
    await this.#components.fileSystem.syncDirectory(this.#dir);
    await cut('database.compacted');
    return merged === undefined ? undefined : Table.open(this.#components, path, merged);
  }

  /** Before the manifest was touched: nothing has happened but an output nobody names. I2, I3. */
  #notMerged(plan: CompactionPlan, output: FileId, error: unknown): Outcome {
    if (isSpaceError(error)) return this.#postponed(error);
    const final =
      !isHoldfastError(error) || error.kind === 'closed' || error.code === 'INVARIANT_VIOLATED';
    if (final) throw error;
    const { path: copy } = error.details;
    const path = typeof copy === 'string' ? originalOf(copy) : undefined;
    const named = plan.tables.filter((info) => this.#path(info.fileId) === path);
    if (named.length === 0 && (error.kind !== 'corrupt' || path === this.#path(output))) {
      return this.#postponed(error);
    }
    // Damage that names no file may be in any of them.
    for (const { fileId } of named.length > 0 ? named : plan.tables) this.#damaged.add(fileId);
    this.#components.logger.warn('database.tablesNotMerged', { code: error.code });
    this.#components.onDamage(error);
    return error;
  }

  #postponed(error: unknown): Outcome {
    this.#components.logger.warn('database.compactionPostponed', { reason: String(error) });
    return 'postponed';
  }

  async #publish(
    shard: DatabaseShard,
    plan: CompactionPlan,
    merged: TableInfo | undefined,
  ): Promise<void> {
    const gone = fileIdsOf(plan);
    await this.#manifest.edit((current) => ({
      ...current,
      shards: current.shards.map((entry, id) =>
        id === shard.id
          ? { ...entry, tables: replaceRun(entry.tables, gone, (info) => info.fileId, merged) }
          : entry,
      ),
    }));
  }

  async #swap(
    shard: DatabaseShard,
    plan: CompactionPlan,
    merged: Table | undefined,
  ): Promise<void> {
    const gone = fileIdsOf(plan);
    const replaced = shard.tables.filter((old) => gone.has(old.info.fileId));
    shard.setTables(replaceRun(shard.tables, gone, (old) => old.info.fileId, merged));
    for (const old of replaced) {
      try {
        await old.retire();
        await this.#components.pins.drop(old.info.fileId, () => old.discard());
      } catch (error) {
        this.#leftover(old.info.fileId, error);
      }
      this.#onDropped(old.path);
    }
  }

  /** No manifest names the file: what cannot be removed now goes at the next start. */
  async #remove(fileId: FileId): Promise<void> {
    try {
      await this.#components.fileSystem.unlink(this.#path(fileId));
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return;
      this.#leftover(fileId, error);
    }
  }

  #leftover(fileId: FileId, error: unknown): void {
    this.#components.logger.warn('database.leftoverStays', { fileId, reason: String(error) });
  }

  #path(fileId: FileId): string {
    return `${this.#dir}/${tableFileName(fileId)}`;
  }
}

function fileIdsOf(plan: CompactionPlan): ReadonlySet<number> {
  return new Set(plan.tables.map((info) => info.fileId));
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
