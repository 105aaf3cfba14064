/**
 * Opens a database: lock, layout, manifest, tables, engines, log, replay. Creates it when
 * the directory is empty.
 *
 * Invariants
 * 1. Nothing is changed before the lock is held and the layout and manifest were understood, and
 *    the keys given are those of the layout.
 * 2. A new directory gets its layout last: one without a layout that holds a log or more than
 *    a first manifest is a damaged database, not a new one.
 * 3. Leftovers are removed only after everything the manifest names was opened.
 * 4. Damage of one copy of what rests twice, or of stream bytes, does not stop an open: it is
 *    noted, and mended or named once the database runs.
 */
import {
  BlockCodec,
  type Clock,
  cut,
  type DirectoryLock,
  type FileSystem,
  HoldfastError,
  type KeyRing,
  LIMITS,
  type Logger,
  type Lsn,
  type Random,
  type ShardId,
  SILENT,
} from '@holdfast/core';
import { type Log, openLog } from '@holdfast/log';
import type { ObjectStore } from '@holdfast/objects';
import {
  BlockCache,
  type Compactor,
  InlineCompactor,
  type Manifest,
  ManifestStore,
  type MendedCopy,
  Table,
  tableFileName,
} from '@holdfast/tables';
import { checkArchiveState, IdleArchiveMemory } from './backup/archive/archive-state.ts';
import { type BackupParts, type BackupSettings, DatabaseBackup } from './backup/database-backup.ts';
import { Checkpointer } from './checkpointer.ts';
import { damageOf, DamageList, pathIn } from './damage-list.ts';
import { Database } from './database.ts';
import { DatabaseShard } from './database-shard.ts';
import type { Engine } from './engine.ts';
import { EngineRegistry } from './engine-registry.ts';
import { ExtentStore } from './extent-store.ts';
import { FilePins } from './file-pins.ts';
import {
  assertShardCount,
  encodeLayout,
  type Layout,
  mendLayout,
  readLayout,
  settleLayout,
  writeLayout,
} from './layout.ts';
import { KeyCare, type KeyCareParts } from './key-care.ts';
import { LayoutKeeper } from './layout-keeper.ts';
import { assertKeysOf, withActiveKey } from './layout-keys.ts';
import { removeLeftovers } from './leftovers.ts';
import { ManifestKeeper } from './manifest-keeper.ts';
import { Quarantine } from './quarantine.ts';
import { Scrubber, type ScrubberParts } from './scrubber.ts';
import { problemOf, verifyMetadata, verifyState } from './state-verify.ts';
import { Suspects } from './suspects.ts';
import { TableMerger } from './table-merger.ts';

export interface DatabaseComponents {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  /** Merges tables; default: in this thread. */
  readonly compactor?: Compactor;
  /** Encrypts a new database, and opens an encrypted one: `KeyRing`. */
  readonly keys?: KeyRing;
  /** Where backups go: the archive begins with the open. Stays its owner's. */
  readonly objects?: ObjectStore;
}

export interface DatabaseSettings {
  readonly dir: string;
  /** For a new database; an existing one must have been created with it, if given. */
  readonly shardCount?: number;
  /** Log bytes between checkpoints. Smaller: quicker start, more writing. */
  readonly checkpointLogBytes?: number;
  readonly segmentTargetBytes?: number;
  readonly preallocateBytes?: number;
  readonly diskReserveBytes?: number;
  readonly blockCacheBytes?: number;
  /** Between two passes of the scrub; 0: no scrub, and no second copies of tables. */
  readonly scrubIntervalMs?: number;
  /** What a pass reads. Smaller: longer passes, a calmer disk. */
  readonly scrubBytesPerSecond?: number;
  /** How the archive goes; of use with `objects`. */
  readonly backup?: BackupSettings;
}

export async function openDatabase(
  components: DatabaseComponents,
  settings: DatabaseSettings,
  engines: readonly Engine[],
): Promise<Database> {
  if (settings.shardCount !== undefined) assertShardCount(settings.shardCount);
  const registry = new EngineRegistry(engines);
  await components.fileSystem.makeDirectory(settings.dir);
  const lock = await components.fileSystem.lockDirectory(settings.dir);
  const opening = new Opening(components, settings, registry, lock);
  try {
    return await opening.run();
  } catch (error) {
    await opening.abandon();
    throw error;
  }
}

type Optional = 'keys' | 'objects';
type Components = Required<Omit<DatabaseComponents, Optional>> & Pick<DatabaseComponents, Optional>;

/** The steps of opening, with what has to be given back when one of them fails. */
class Opening {
  readonly #components: Components;
  readonly #settings: DatabaseSettings;
  readonly #registry: EngineRegistry;
  readonly #lock: DirectoryLock;
  readonly #cache: BlockCache;
  readonly #suspects = new Suspects();
  readonly #damages: DamageList;
  readonly #quarantine: Quarantine;
  readonly #reserveBytes: number;
  #log: Log | undefined;
  #backup: DatabaseBackup | undefined;
  #extents: ExtentStore | undefined;
  #shards: DatabaseShard[] = [];

  constructor(
    components: DatabaseComponents,
    settings: DatabaseSettings,
    registry: EngineRegistry,
    lock: DirectoryLock,
  ) {
    this.#components = {
      logger: SILENT,
      compactor: new InlineCompactor(components),
      ...components,
    };
    this.#damages = new DamageList(this.#components);
    this.#reserveBytes = settings.diskReserveBytes ?? LIMITS.diskReserveBytes;
    this.#quarantine = new Quarantine(this.#components, settings.dir, this.#reserveBytes);
    this.#settings = settings;
    this.#registry = registry;
    this.#lock = lock;
    this.#cache = new BlockCache(settings.blockCacheBytes ?? LIMITS.blockCacheBytes);
  }

  async run(): Promise<Database> {
    const { fileSystem, clock, logger } = this.#components;
    const { layout, codec, manifest: keeper, damage } = await this.#openState();
    const cleanStart = keeper.current.cleanShutdown;
    await this.#enterKey(layout);
    await this.#raiseEpoch(keeper, damage);
    const onDamage = this.#suspects.hear;
    const pins = new FilePins({ logger });
    const shared = { fileSystem, codec, cache: this.#cache, logger, onDamage, pins };
    const extents = await this.#openFiles(shared, keeper);
    const log = await this.#openLog(layout.current, keeper.current);
    const backup = await this.#openBackup(log, codec, layout, { manifest: keeper, pins, onDamage });
    const { dir } = this.#settings;
    const state = { shards: this.#shards, extents, manifest: keeper };
    const floor = log.floor('checkpoint');
    floor.raise(leastApplied(keeper.current));
    const database = new Database(
      {
        ...state,
        dir,
        clock,
        logger,
        log,
        registry: this.#registry,
        cleanStart,
        copyId: layout.current.copyId,
        checkpointLogBytes: this.#settings.checkpointLogBytes ?? LIMITS.checkpointLogBytes,
        verifyState: async () => [
          ...(await verifyMetadata(dir, layout, keeper)),
          ...(await checkArchiveState({ fileSystem, codec, dir })).map((error) =>
            problemOf(error, dir),
          ),
          ...(await verifyState(state)),
        ],
        damages: this.#damages,
        backup,
        stopMerging: () => this.#components.compactor.close(),
        release: () => this.abandon(),
      },
      leastApplied(keeper.current),
    );
    await this.#loadEngines(database, log, leastApplied(keeper.current));
    const mirrored = await removeLeftovers(shared, dir, keeper.current);
    const keyCare = this.#keyCare(database, { ...state, codec, log, layout });
    const scrubber = this.#scrubber(database, keyCare, { ...state, log, layout });
    const onDropped = (path: string): void => scrubber.dropped(path);
    database.start({
      checkpointer: new Checkpointer(shared, {
        ...state,
        dir,
        registry: this.#registry,
        floor,
        appliedLsn: () => database.lsnOfCut(),
        onDropped,
      }),
      merger: new TableMerger(
        { ...shared, compactor: this.#components.compactor },
        { ...state, dir, databaseId: layout.current.databaseId, onDropped },
      ),
      scrubber,
      keyCare,
    });
    scrubber.start(mirrored);
    return database;
  }

  #keyCare(
    database: Database,
    state: Pick<KeyCareParts, 'codec' | 'shards' | 'extents' | 'manifest' | 'log' | 'layout'>,
  ): KeyCare {
    const { fileSystem, objects } = this.#components;
    const place = { fileSystem, codec: state.codec, dir: this.#settings.dir };
    return new KeyCare({
      ...state,
      idleMemory: objects === undefined ? new IdleArchiveMemory(place) : undefined,
      logger: this.#components.logger,
      registry: this.#registry,
      checkpoint: (rewrite) => database.checkpointWith(rewrite === undefined ? {} : { rewrite }),
      rewriteTable: (fileId) => database.rewriteTable(fileId),
      merged: () => database.merged(),
    });
  }

  #scrubber(
    database: Database,
    keyCare: KeyCare,
    state: Pick<ScrubberParts, 'shards' | 'extents' | 'manifest' | 'log' | 'layout'>,
  ): Scrubber {
    return new Scrubber(
      {
        ...this.#components,
        ...state,
        dir: this.#settings.dir,
        reserveBytes: this.#reserveBytes,
        registry: this.#registry,
        suspects: this.#suspects,
        damages: this.#damages,
        quarantine: this.#quarantine,
        checkpoint: (rewrite) => database.checkpointWith(rewrite === undefined ? {} : { rewrite }),
        reencryption: (pace) => keyCare.reencryption(pace),
      },
      {
        intervalMs: this.#settings.scrubIntervalMs ?? LIMITS.scrubIntervalMs,
        bytesPerSecond: this.#settings.scrubBytesPerSecond ?? LIMITS.scrubBytesPerSecond,
      },
    );
  }

  /** The active key may be a new one: the layout names it before its first use. */
  async #enterKey(layout: LayoutKeeper): Promise<void> {
    const { keys } = this.#components;
    if (keys !== undefined) await layout.edit((current) => withActiveKey(current, keys));
  }

  /** A new manifest, in both copies, also mends the one that was opened. */
  async #raiseEpoch(keeper: ManifestKeeper, damage: HoldfastError | undefined): Promise<void> {
    if (damage !== undefined) await this.#quarantine.keep(pathIn(damage));
    await keeper.edit((current) => ({
      ...current,
      writerEpoch: current.writerEpoch + 1,
      cleanShutdown: false,
    }));
    await cut('database.epochRaised');
    if (damage !== undefined) this.#reportMended({ error: damage, repaired: true });
  }

  #reportMended({ error, repaired }: MendedCopy): void {
    this.#damages.report(damageOf(error, repaired));
  }

  /** The writer of the repository it becomes only once everything is loaded: others may be it now. */
  async #openBackup(
    log: Log,
    codec: BlockCodec,
    layout: LayoutKeeper,
    files: Pick<BackupParts, 'manifest' | 'pins' | 'onDamage'>,
  ): Promise<DatabaseBackup | undefined> {
    const { objects, ...components } = this.#components;
    if (objects === undefined) return undefined;
    const { databaseId, shardCount } = layout.current;
    this.#backup = await DatabaseBackup.open(
      {
        ...components,
        ...files,
        ...{ objects, codec, log, databaseId, shardCount, dir: this.#settings.dir },
        layout: () => encodeLayout(layout.current),
      },
      this.#settings.backup ?? {},
    );
    return this.#backup;
  }

  /** Gives back everything held; also the way a database is closed. */
  async abandon(): Promise<void> {
    await this.#backup?.close({ archive: false });
    await this.#log?.close().catch(() => undefined);
    await this.#extents?.close();
    for (const shard of this.#shards) {
      for (const table of shard.tables) await table.retire();
    }
    await this.#components.compactor.close();
    await this.#lock.release();
  }

  async #openState(): Promise<OpenedState> {
    const { fileSystem, clock } = this.#components;
    const { dir } = this.#settings;
    const stored = await readLayout(fileSystem, dir);
    if (stored === undefined) return this.#create();
    const { keys } = this.#components;
    assertKeysOf(stored, keys, dir);
    const codec = new BlockCodec(stored.databaseId, keys);
    const { store, manifest, damage } = await ManifestStore.open({ fileSystem, codec }, dir);
    if (manifest === undefined) {
      throw new HoldfastError(
        'FILE_MISSING',
        `data directory has no manifest, restore it from a copy path=${dir}`,
      );
    }
    const layout = await settleLayout(fileSystem, dir, stored, manifest.shards.length);
    this.#assertSameShards(layout, manifest);
    await this.#mendLayout(layout, stored.damage);
    return {
      layout: new LayoutKeeper(this.#components, dir, layout),
      codec,
      manifest: new ManifestKeeper(store, manifest, clock),
      damage,
    };
  }

  #assertSameShards(layout: Layout, manifest: Manifest): void {
    if (layout.shardCount !== manifest.shards.length) {
      throw new HoldfastError(
        'FORMAT_INVALID',
        `layout and manifest do not belong together, restore both from one copy layoutShards=${layout.shardCount} manifestShards=${manifest.shards.length}`,
      );
    }
    const wanted = this.#settings.shardCount;
    if (wanted !== undefined && wanted !== layout.shardCount) {
      throw new HoldfastError(
        'INVALID_SETTINGS',
        `data directory has another shard count: leave the setting out, or run "holdfast rebalance" shardCount=${layout.shardCount} wanted=${wanted}`,
      );
    }
  }

  async #create(): Promise<OpenedState> {
    const { fileSystem, clock, random, keys } = this.#components;
    const { dir } = this.#settings;
    await this.#assertNothingThere();
    const plain: Layout = {
      databaseId: random.bytes(16),
      shardCount: this.#settings.shardCount ?? LIMITS.defaultShardCount,
    };
    const layout = keys === undefined ? plain : withActiveKey(plain, keys);
    await fileSystem.makeDirectory(logDirectory(dir));
    const codec = new BlockCodec(layout.databaseId, keys);
    const { store } = await ManifestStore.open({ fileSystem, codec }, dir);
    const keeper = new ManifestKeeper(store, emptyManifest(layout.shardCount), clock);
    await keeper.edit((current) => current);
    await cut('database.created');
    await writeLayout(fileSystem, dir, layout);
    await this.#mendLayout(layout, undefined);
    return {
      layout: new LayoutKeeper(this.#components, dir, layout),
      codec,
      manifest: keeper,
      damage: undefined,
    };
  }

  /** Puts the mirror beside the layout, or the layout beside its mirror. */
  async #mendLayout(layout: Layout, damage: HoldfastError | undefined): Promise<void> {
    const { fileSystem } = this.#components;
    const mended = await mendLayout(fileSystem, this.#settings.dir, layout, {
      mirrorExpected: damage !== undefined,
      beforeReplace: (path) => this.#quarantine.keep(path),
    });
    for (const copy of mended) this.#reportMended(copy);
  }

  /** Removes what a creation that was cut short left; refuses anything else (invariant 2). */
  async #assertNothingThere(): Promise<void> {
    const { fileSystem } = this.#components;
    const { dir } = this.#settings;
    const names = await fileSystem.list(dir);
    const segments = names.includes('log') ? await fileSystem.list(logDirectory(dir)) : [];
    const unfinished = names.filter((name) => FIRST_MANIFEST.test(name) || name.endsWith('.tmp'));
    const foreign = names.filter((name) => !unfinished.includes(name) && !EXPECTED.test(name));
    if (segments.length > 0 || foreign.length > 0) {
      throw new HoldfastError(
        'FILE_MISSING',
        `directory is not empty and has no layout.json: name an empty directory, or restore the layout from a copy path=${dir} found=${[...foreign, ...segments][0]}`,
      );
    }
    for (const name of unfinished) await fileSystem.unlink(`${dir}/${name}`);
  }

  async #openFiles(
    shared: ConstructorParameters<typeof ExtentStore>[0],
    keeper: ManifestKeeper,
  ): Promise<ExtentStore> {
    const { dir } = this.#settings;
    const extents = new ExtentStore(shared, dir, () => keeper.claimFileId());
    this.#extents = extents;
    for (const info of keeper.current.extentFiles) {
      const error = await extents.open(info);
      if (error === undefined || extents.file(info.fileId) !== undefined) continue;
      const shard = info.shard as ShardId;
      const path = extents.pathOf(info.fileId);
      this.#damages.report({ ...damageOf(error, false), path, shard });
    }
    for (const [id, { tables }] of keeper.current.shards.entries()) {
      const shard = new DatabaseShard(id as ShardId, extents);
      this.#shards.push(shard);
      for (const info of tables) {
        const table = await Table.open(shared, `${dir}/${tableFileName(info.fileId)}`, info);
        shard.setTables([...shard.tables, table]);
      }
    }
    return extents;
  }

  async #openLog(layout: Layout, manifest: Manifest): Promise<Log> {
    const { fileSystem, clock, random, logger, keys } = this.#components;
    const log = await openLog(
      { fileSystem, clock, random, logger, ...(keys === undefined ? {} : { keys }) },
      {
        dir: logDirectory(this.#settings.dir),
        databaseId: layout.databaseId,
        lock: false,
        ...pick(this.#settings, ['segmentTargetBytes', 'preallocateBytes', 'diskReserveBytes']),
      },
    );
    this.#log = log;
    const newest = manifest.shards.reduce((max, shard) => Math.max(max, shard.appliedLsn), 0);
    const oldest = log.segments()[0]?.firstLsn ?? log.nextLsn;
    if (log.durableLsn < newest || oldest > leastApplied(manifest) + 1) {
      throw new HoldfastError(
        'LSN_GAP',
        `log and state do not meet, restore both from one copy logFirstLsn=${oldest} logLastLsn=${log.durableLsn} checkpointLsn=${newest}`,
      );
    }
    return log;
  }

  async #loadEngines(database: Database, log: Log, applied: Lsn): Promise<void> {
    const { engines } = this.#registry;
    await cut('database.filesOpened');
    for (const engine of engines) engine.attach(database);
    for (const shard of this.#shards) {
      for (const engine of engines) await engine.load(shard);
    }
    await cut('database.rowsLoaded');
    for await (const record of log.replay({ from: (applied + 1) as Lsn })) {
      const operations = this.#registry.decode(record.type, record.shard, record.payload);
      database.replay(operations, record.lsn);
    }
    await cut('database.replayed');
    await this.#backup?.enter();
    for (const engine of engines) engine.opened();
  }
}

interface OpenedState {
  readonly layout: LayoutKeeper;
  readonly codec: BlockCodec;
  readonly manifest: ManifestKeeper;
  /** Of the newest manifest, when its mirror stood in for it. */
  readonly damage: HoldfastError | undefined;
}

/** The log's folder, and what a lock (also one that a kill left half made) is called. */
const EXPECTED = /^(log|LOCK.*)$/;
const FIRST_MANIFEST = /^manifest-0*1(?:\.mirror)?$/;

function logDirectory(dir: string): string {
  return `${dir}/log`;
}

function leastApplied(manifest: Manifest): Lsn {
  return manifest.shards.reduce<number>(
    (least, shard) => Math.min(least, shard.appliedLsn),
    Number.MAX_SAFE_INTEGER,
  ) as Lsn;
}

function emptyManifest(shardCount: number): Manifest {
  return {
    generation: 0,
    previousDigest: Buffer.alloc(32),
    writerEpoch: 0,
    nextFileId: 1,
    cleanShutdown: true,
    writtenAtMs: 0,
    shards: Array.from({ length: shardCount }, () => ({ appliedLsn: 0 as Lsn, tables: [] })),
    extentFiles: [],
  };
}

function pick<T extends object, K extends keyof T>(
  from: T,
  keys: readonly K[],
): Partial<Pick<T, K>> {
  const picked: Partial<Pick<T, K>> = {};
  for (const key of keys) if (from[key] !== undefined) picked[key] = from[key];
  return picked;
}
