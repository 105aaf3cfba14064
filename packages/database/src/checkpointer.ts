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
 * 4. Nothing but `collect` and `rewriteExtents` changes rows that own extents, and both run
 *    here, one at a time.
 * 5. New files are open before the manifest names them: what follows its commit cannot fail,
 *    so a cut is written again only while no manifest names its files. Its file ids are given
 *    out once, and a second attempt replaces the files of the first.
 */
import {
  assert,
  type BlockCodec,
  cut,
  type FileId,
  type FileSystem,
  LIMITS,
  type Logger,
  type Lsn,
  type ShardId,
  Turns,
} from '@holdfast/core';
import type { LogFloor } from '@holdfast/log';
import {
  type BlockCache,
  type DamageListener,
  type ExtentFile,
  type ExtentFileWriter,
  type Manifest,
  type Memtable,
  Table,
  tableFileName,
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
  readonly onDamage: DamageListener;
}

export interface CheckpointerState {
  readonly dir: string;
  readonly shards: readonly DatabaseShard[];
  readonly extents: ExtentStore;
  readonly manifest: ManifestKeeper;
  readonly registry: EngineRegistry;
  readonly floor: LogFloor;
  /**
   * LSN up to which effects are visible; read within the collecting turn. Throws once the
   * database failed: memory may then hold what no record says.
   */
  readonly appliedLsn: () => Lsn;
  /** Nothing of the file at this path is needed any more. */
  readonly onDropped: (path: string) => void;
}

/** A collected cut on its way to disk; kept until it is there. */
interface Cut {
  readonly lsn: Lsn;
  readonly shards: readonly CutShard[];
  readonly writers: ReadonlyMap<ShardId, ExtentFileWriter>;
  readonly freed: ReadonlyMap<number, number>;
  readonly rewrite: Rewrite | undefined;
}

interface CutShard {
  readonly shard: DatabaseShard;
  readonly rows: Memtable;
  /** Of its table. */
  readonly fileId: FileId;
}

/** The files of a cut, synced and open, before the manifest names them. */
interface NewFiles {
  readonly tables: ReadonlyMap<ShardId, Table>;
  readonly extentFiles: readonly ExtentFile[];
}

export interface CheckpointOptions {
  /** Collect every shard, changed or not: what is kept in memory only is written too. */
  readonly all?: boolean;
  /** The database is closing in good order. */
  readonly clean?: boolean;
  /** Copies extents that the cut moves; default: those of sparse files. Must not reject. */
  readonly rewrite?: () => Promise<Rewrite | undefined>;
}

export class Checkpointer {
  readonly #components: CheckpointerComponents;
  readonly #state: CheckpointerState;
  /** Extent files that no rewrite reads again in this life: damage was found in them. */
  readonly #damaged = new Set<number>();
  #pending: Cut | undefined;
  readonly #turns: Turns = new Turns();

  constructor(components: CheckpointerComponents, state: CheckpointerState) {
    this.#components = components;
    this.#state = state;
  }

  /** Runs after any checkpoint under way. A rejection with `ENOSPC` may be tried again. */
  run(options: CheckpointOptions = {}): Promise<void> {
    return this.#turns.run(() => this.#run(options));
  }

  async #run(options: CheckpointOptions): Promise<void> {
    if (this.#pending !== undefined) await this.#write(this.#pending, false);
    const rewrite = (await this.#hasRoomToCopy(options))
      ? await (options.rewrite?.() ?? rewriteExtents(this.#components, this.#state, this.#damaged))
      : undefined;
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

  /**
   * On a disk that is nearly full the cut goes first: it lets the log go and drops what was
   * deleted. A copy made before could take the very room that the cut needs.
   */
  async #hasRoomToCopy(options: CheckpointOptions): Promise<boolean> {
    if (this.#nothingNew(options)) return true;
    const { fileSystem } = this.#components;
    const free = await fileSystem.freeBytes(this.#state.dir).catch(() => Infinity);
    return free >= LIMITS.checkpointLogBytes + LIMITS.extentRewriteBytes;
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
    const frozen = changed.map((shard) => ({
      shard,
      rows: shard.freeze(),
      fileId: this.#state.manifest.claimFileId(),
    }));
    return { lsn, shards: frozen, rewrite, ...extents.endCollect() };
  }

  async #write(collected: Cut, clean: boolean): Promise<void> {
    const files = await this.#writeFiles(collected);
    const dropped: number[] = [];
    try {
      await cut('database.filesWritten');
      await this.#components.fileSystem.syncDirectory(this.#state.dir);
      await this.#state.manifest.edit((current) => {
        dropped.length = 0;
        return nextManifest(current, collected, files, clean, dropped);
      });
    } catch (error) {
      await giveBack(files);
      throw error;
    }
    await cut('database.manifestCommitted');
    this.#adopt(collected, files);
    await cut('database.adopted');
    this.#pending = undefined;
    this.#state.floor.raise(collected.lsn);
    for (const fileId of dropped) await this.#drop(fileId);
  }

  /** I5. A rejection leaves no file open. */
  async #writeFiles(collected: Cut): Promise<NewFiles> {
    const files = { tables: new Map<ShardId, Table>(), extentFiles: [] as ExtentFile[] };
    const { extents } = this.#state;
    try {
      for (const writer of collected.writers.values()) {
        files.extentFiles.push(await extents.openFile(await extents.writeFile(writer)));
      }
      if (collected.rewrite !== undefined) {
        files.extentFiles.push(await extents.openFile(collected.rewrite.info));
      }
      for (const changed of collected.shards) {
        const table = await this.#writeTable(changed, collected.lsn);
        if (table !== undefined) files.tables.set(changed.shard.id, table);
      }
      return files;
    } catch (error) {
      await giveBack(files);
      throw error;
    }
  }

  async #writeTable({ shard, rows, fileId }: CutShard, lsn: Lsn): Promise<Table | undefined> {
    const firstLsn = (this.#state.manifest.current.shards[shard.id]?.appliedLsn ?? 0) + 1;
    const path = this.#tablePath(fileId);
    const info = await writeTable(
      this.#components,
      { path, fileId, firstLsn: Math.min(firstLsn, lsn) as Lsn, lastLsn: lsn },
      rows.scan({}),
    );
    return info === undefined ? undefined : Table.open(this.#components, path, info);
  }

  /** Within one turn: reads and merges see the shards before or after. */
  #adopt(collected: Cut, files: NewFiles): void {
    const { extents, registry } = this.#state;
    for (const file of files.extentFiles) extents.settle(file);
    for (const { shard } of collected.shards) {
      const table = files.tables.get(shard.id);
      shard.thaw(table === undefined ? shard.tables : [table, ...shard.tables]);
      for (const engine of registry.engines) engine.checkpointed(shard);
    }
  }

  /** No manifest names the file: what cannot be removed now goes at the next start. */
  async #drop(fileId: number): Promise<void> {
    this.#damaged.delete(fileId);
    this.#state.onDropped(this.#state.extents.pathOf(fileId));
    try {
      await this.#state.extents.drop(fileId);
    } catch (error) {
      this.#components.logger.warn('database.leftoverStays', { fileId, reason: String(error) });
    }
  }

  #tablePath(fileId: FileId): string {
    return `${this.#state.dir}/${tableFileName(fileId)}`;
  }
}

async function giveBack(files: NewFiles): Promise<void> {
  for (const file of [...files.tables.values(), ...files.extentFiles]) await file.retire();
}

/** The manifest after a cut; files without a live byte are left out and listed in `dropped`. */
function nextManifest(
  current: Manifest,
  collected: Cut,
  files: NewFiles,
  clean: boolean,
  dropped: number[],
): Manifest {
  const { rewrite, freed } = collected;
  const all = [...current.extentFiles, ...newExtentFiles(collected, files)].map((file) => ({
    ...file,
    liveBytes: file.liveBytes - (freed.get(file.fileId) ?? 0),
  }));
  const kept = all.filter((file) => {
    // Bytes freed twice would soon drop a file that rows still point into.
    assert(file.liveBytes >= 0, `more bytes freed than there were fileId=${file.fileId}`);
    const live = file.liveBytes > 0 && rewrite?.replaces.has(file.fileId) !== true;
    if (!live) dropped.push(file.fileId);
    return live;
  });
  return {
    ...current,
    cleanShutdown: clean,
    shards: current.shards.map((shard, id) => {
      const table = files.tables.get(id as ShardId);
      return {
        appliedLsn: collected.lsn,
        tables: table === undefined ? shard.tables : [table.info, ...shard.tables],
      };
    }),
    extentFiles: kept,
  };
}

function newExtentFiles(
  { rewrite, writers }: Cut,
  { extentFiles }: NewFiles,
): Manifest['extentFiles'][number][] {
  const shardOf = new Map([...writers].map(([shard, writer]) => [writer.fileId, shard]));
  return extentFiles.map(({ info }) =>
    rewrite?.info.fileId === info.fileId
      ? { ...info, shard: rewrite.shard, liveBytes: rewrite.liveBytes }
      : { ...info, shard: shardOf.get(info.fileId) as ShardId, liveBytes: info.payloadBytes },
  );
}
