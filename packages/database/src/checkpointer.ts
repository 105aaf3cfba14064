/**
 * Checkpoints: one cut of the log over every shard becomes tables and extent files, named
 * by one manifest edit; only then may the log drop segments.
 *
 * Invariants
 * 1. Collecting is one turn between two batches: what is written is exactly the effects up to
 *    the cut, so `appliedLsn` of every shard is the cut.
 * 2. Files are synced, and their names too, before the manifest names them; the manifest is
 *    durable before memory is given up, files are deleted or the log is cut.
 * 3. A full disk leaves everything as it was, to be tried again: the frozen rows and extents
 *    stay readable from memory, the log keeps its segments. Any other failure is final.
 * 4. Nothing but `collect` and `ExtentRewriter` changes rows that own extents, and both run
 *    here, one at a time.
 */
import {
  type BlockCodec,
  cut,
  type FileId,
  type FileSystem,
  type Logger,
  type Lsn,
  type ShardId,
} from '@holdfast/core';
import type { LogFloor } from '@holdfast/log';
import {
  type BlockCache,
  type ExtentFileInfo,
  type ExtentFileWriter,
  type Manifest,
  type Memtable,
  Table,
  tableFileName,
  type TableInfo,
  writeTable,
} from '@holdfast/tables';
import type { DatabaseShard } from './database-shard.ts';
import type { EngineRegistry } from './engine-registry.ts';
import { moveOwners, type Rewrite, rewriteExtents } from './extent-rewrite.ts';
import type { ExtentStore } from './extent-store.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';

export interface CheckpointerComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly cache: BlockCache;
  readonly logger: Logger;
}

export interface CheckpointerState {
  readonly dir: string;
  readonly shards: readonly DatabaseShard[];
  readonly extents: ExtentStore;
  readonly manifest: ManifestKeeper;
  readonly registry: EngineRegistry;
  readonly floor: LogFloor;
  /** LSN up to which effects are visible; read within the collecting turn. */
  readonly appliedLsn: () => Lsn;
}

/** A collected cut on its way to disk; kept until it is there. */
interface Cut {
  readonly lsn: Lsn;
  readonly shards: readonly { readonly shard: DatabaseShard; readonly rows: Memtable }[];
  readonly writers: ReadonlyMap<ShardId, ExtentFileWriter>;
  readonly freed: ReadonlyMap<number, number>;
  readonly rewrite: Rewrite | undefined;
}

export interface CheckpointOptions {
  /** Collect every shard, changed or not: what is kept in memory only is written too. */
  readonly all?: boolean;
  /** The database is closing in good order. */
  readonly clean?: boolean;
}

export class Checkpointer {
  readonly #components: CheckpointerComponents;
  readonly #state: CheckpointerState;
  #pending: Cut | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(components: CheckpointerComponents, state: CheckpointerState) {
    this.#components = components;
    this.#state = state;
  }

  /** Runs after any checkpoint under way. A rejection with `ENOSPC` may be tried again. */
  run(options: CheckpointOptions = {}): Promise<void> {
    const done = this.#running.then(() => this.#run(options));
    this.#running = done.catch(() => undefined);
    return done;
  }

  async #run(options: CheckpointOptions): Promise<void> {
    if (this.#pending !== undefined) await this.#write(this.#pending, false);
    const rewrite = await rewriteExtents(this.#components, this.#state);
    if (rewrite === undefined && options.clean !== true && this.#nothingNew(options)) return;
    await cut('database.beforeCollect');
    this.#pending = this.#collect(options, rewrite);
    await this.#write(this.#pending, options.clean === true);
  }

  #nothingNew(options: CheckpointOptions): boolean {
    const written = this.#state.manifest.current.shards.every(
      (shard) => shard.appliedLsn === this.#state.appliedLsn(),
    );
    return written && options.all !== true && !this.#state.shards.some((shard) => shard.dirty);
  }

  #collect(options: CheckpointOptions, rewrite: Rewrite | undefined): Cut {
    const { registry, extents, shards } = this.#state;
    const lsn = this.#state.appliedLsn();
    const collected = shards.filter((shard) => options.all === true || shard.dirty);
    for (const shard of collected) {
      for (const engine of registry.engines) engine.collect(shard);
    }
    if (rewrite !== undefined) moveOwners(rewrite, this.#state);
    const changed = shards.filter((shard) => shard.dirty || collected.includes(shard));
    const frozen = changed.map((shard) => ({ shard, rows: shard.freeze() }));
    return { lsn, shards: frozen, rewrite, ...extents.endCollect() };
  }

  async #write(collected: Cut, clean: boolean): Promise<void> {
    const extentFiles = await this.#writeExtents(collected);
    const tables = await this.#writeTables(collected);
    await cut('database.filesWritten');
    await this.#components.fileSystem.syncDirectory(this.#state.dir);
    const dropped: number[] = [];
    await this.#state.manifest.edit((current) => {
      dropped.length = 0;
      return nextManifest(current, collected, tables, extentFiles, clean, dropped);
    });
    await cut('database.manifestCommitted');
    await this.#adopt(collected, tables, extentFiles, dropped);
    this.#pending = undefined;
    this.#state.floor.raise(collected.lsn);
  }

  async #writeExtents(collected: Cut): Promise<Map<number, ExtentFileInfo & { shard: number }>> {
    const files = new Map<number, ExtentFileInfo & { shard: number }>();
    for (const [shard, writer] of collected.writers) {
      const info = await this.#state.extents.writeFile(writer, writer.fileId);
      files.set(info.fileId, { ...info, shard });
    }
    if (collected.rewrite !== undefined) {
      const { info, shard } = collected.rewrite;
      files.set(info.fileId, { ...info, shard });
    }
    return files;
  }

  async #writeTables(collected: Cut): Promise<Map<ShardId, TableInfo>> {
    const written = new Map<ShardId, TableInfo>();
    for (const { shard, rows } of collected.shards) {
      const fileId = this.#state.manifest.claimFileId();
      const firstLsn = (this.#state.manifest.current.shards[shard.id]?.appliedLsn ?? 0) + 1;
      const info = await writeTable(
        this.#components,
        {
          path: this.#tablePath(fileId),
          fileId,
          firstLsn: Math.min(firstLsn, collected.lsn) as Lsn,
          lastLsn: collected.lsn,
        },
        rows.scan({}),
      );
      if (info !== undefined) written.set(shard.id, info);
    }
    return written;
  }

  async #adopt(
    collected: Cut,
    tables: ReadonlyMap<ShardId, TableInfo>,
    extentFiles: ReadonlyMap<number, ExtentFileInfo>,
    dropped: readonly number[],
  ): Promise<void> {
    const { extents, registry } = this.#state;
    for (const info of extentFiles.values()) {
      if (!dropped.includes(info.fileId)) await extents.settle(info);
      else extents.abandon(info.fileId);
    }
    for (const { shard } of collected.shards) {
      const info = tables.get(shard.id);
      const table =
        info === undefined
          ? undefined
          : await Table.open(this.#components, this.#tablePath(info.fileId), info);
      shard.thaw(table === undefined ? shard.tables : [table, ...shard.tables]);
      for (const engine of registry.engines) engine.checkpointed(shard);
    }
    for (const fileId of dropped) await extents.drop(fileId);
  }

  #tablePath(fileId: FileId): string {
    return `${this.#state.dir}/${tableFileName(fileId)}`;
  }
}

/** The manifest after a cut; files without a live byte are left out and listed in `dropped`. */
function nextManifest(
  current: Manifest,
  collected: Cut,
  tables: ReadonlyMap<ShardId, TableInfo>,
  extentFiles: ReadonlyMap<number, ExtentFileInfo & { shard: number }>,
  clean: boolean,
  dropped: number[],
): Manifest {
  const added = [...extentFiles.values()].map((info) => ({
    ...info,
    liveBytes:
      collected.rewrite?.info.fileId === info.fileId
        ? collected.rewrite.liveBytes
        : info.payloadBytes,
  }));
  const files = [...current.extentFiles, ...added].map((file) => ({
    ...file,
    liveBytes: file.liveBytes - (collected.freed.get(file.fileId) ?? 0),
  }));
  const kept = files.filter((file) => {
    const live = file.liveBytes > 0 && collected.rewrite?.replaces.has(file.fileId) !== true;
    if (!live) dropped.push(file.fileId);
    return live;
  });
  return {
    ...current,
    cleanShutdown: clean,
    shards: current.shards.map((shard, id) => {
      const info = tables.get(id as ShardId);
      return {
        appliedLsn: collected.lsn,
        tables: info === undefined ? shard.tables : [info, ...shard.tables],
      };
    }),
    extentFiles: kept,
  };
}
