/**
 * Gives an offline database another number of shards. Rows move to new tables; extents stay
 * where they are, for rows name them by file. FORMAT.md, "Layout".
 *
 * The crash at each line: until the manifest is committed the old layout is current and new
 * tables are leftovers; from then on the announced layout is taken at the next open
 * (`settleLayout`), and the old tables are leftovers.
 */
import {
  assert,
  BlockCodec,
  cut,
  HoldfastError,
  LIMITS,
  type Lsn,
  type ShardId,
} from '@holdfast/core';
import {
  BlockCache,
  type Manifest,
  ManifestStore,
  mergeRows,
  type Row,
  Table,
  tableFileName,
  type TableInfo,
  writeTable,
} from '@holdfast/tables';
import type { Engine } from './engine.ts';
import { announceLayout, assertShardCount, readLayout, settleLayout } from './layout.ts';
import { ManifestKeeper } from './manifest-keeper.ts';
import { type DatabaseComponents, type DatabaseSettings, openDatabase } from './open-database.ts';
import { placeInShard } from './shard-placement.ts';

export interface RebalanceReport {
  readonly from: number;
  readonly to: number;
  readonly rows: number;
}

/**
 * @param settings `shardCount` is the wanted count.
 * @param engines fresh engines: they load the database first, to bring what the log holds into
 * tables, and then tell which shard a row belongs to.
 * @param onProgress called with rows moved so far.
 */
export async function rebalanceDatabase(
  components: DatabaseComponents,
  settings: DatabaseSettings & { readonly shardCount: number },
  engines: readonly Engine[],
  onProgress: (rows: number) => void = () => undefined,
): Promise<RebalanceReport> {
  const { shardCount: to, ...rest } = settings;
  assertShardCount(to);
  if ((await readLayout(components.fileSystem, settings.dir)) === undefined) {
    throw new HoldfastError('FILE_MISSING', `no database there path=${settings.dir}`);
  }
  const database = await openDatabase(components, rest, engines);
  const from = database.shardCount;
  await database.close();
  if (from === to) return { from, to, rows: 0 };
  const lock = await components.fileSystem.lockDirectory(settings.dir);
  try {
    const rows = await moveRows(components, settings.dir, to, engines, onProgress);
    return { from, to, rows };
  } finally {
    await lock.release();
  }
}

async function moveRows(
  components: DatabaseComponents,
  dir: string,
  to: number,
  engines: readonly Engine[],
  onProgress: (rows: number) => void,
): Promise<number> {
  const { fileSystem, clock, keys } = components;
  const layout = await readLayout(fileSystem, dir);
  assert(layout !== undefined, 'layout vanished while the directory was locked');
  const codec = new BlockCodec(layout.databaseId, keys);
  const { store, manifest } = await ManifestStore.open({ fileSystem, codec }, dir);
  assert(manifest !== undefined, 'manifest vanished while the directory was locked');
  if (!manifest.cleanShutdown) {
    throw new HoldfastError(
      'DISK_FULL',
      `no room to bring what the log holds into tables first, free space path=${dir}`,
    );
  }
  const keeper = new ManifestKeeper(store, manifest, clock);
  const shared = { fileSystem, codec, cache: new BlockCache(LIMITS.blockCacheBytes) };
  const sources = await openTables(shared, dir, manifest);
  const progress = { rows: 0, onProgress };
  try {
    const tables: (TableInfo | undefined)[] = [];
    for (let id = 0; id < to; id++) {
      const fileId = keeper.claimFileId();
      const path = `${dir}/${tableFileName(fileId)}`;
      const rows = rowsOfShard(sources, engines, id as ShardId, to, progress);
      tables.push(
        await writeTable(
          shared,
          { path, fileId, firstLsn: 0 as Lsn, lastLsn: appliedLsn(manifest) },
          rows,
        ),
      );
    }
    await fileSystem.syncDirectory(dir);
    await announceLayout(fileSystem, dir, { ...layout, shardCount: to });
    await cut('database.rebalanceAnnounced');
    await keeper.edit((current) => reshard(current, tables));
    await cut('database.rebalanceCommitted');
    await settleLayout(fileSystem, dir, layout, to);
  } finally {
    for (const table of sources.flat()) await table.retire();
  }
  return progress.rows;
}

async function openTables(
  shared: { fileSystem: DatabaseComponents['fileSystem']; codec: BlockCodec; cache: BlockCache },
  dir: string,
  manifest: Manifest,
): Promise<Table[][]> {
  const shards: Table[][] = [];
  for (const { tables } of manifest.shards) {
    const opened: Table[] = [];
    for (const info of tables) {
      opened.push(await Table.open(shared, `${dir}/${tableFileName(info.fileId)}`, info));
    }
    shards.push(opened);
  }
  return shards;
}

/** Counts are powers of two, so a new shard takes rows only from old shards congruent to it. */
function rowsOfShard(
  sources: readonly (readonly Table[])[],
  engines: readonly Engine[],
  id: ShardId,
  to: number,
  progress: { rows: number; readonly onProgress: (rows: number) => void },
): AsyncIterable<Row> {
  const least = Math.min(sources.length, to);
  const feeding = sources.filter((_, old) => old % least === id % least);
  const live = feeding.map((tables) =>
    mergeRows(
      tables.map((table) => table.scan({})),
      { dropTombstones: true },
    ),
  );
  return belonging(mergeRows(live, { dropTombstones: true }), engines, id, to, progress);
}

async function* belonging(
  rows: AsyncIterable<Row>,
  engines: readonly Engine[],
  id: ShardId,
  to: number,
  progress: { rows: number; readonly onProgress: (rows: number) => void },
): AsyncGenerator<Row> {
  for await (const row of rows) {
    const identity = identityOf(engines, row.key);
    if (placeInShard(identity, to) !== id) continue;
    progress.rows++;
    if (progress.rows % 1024 === 0) progress.onProgress(progress.rows);
    yield row;
  }
}

function identityOf(engines: readonly Engine[], key: Buffer): string {
  for (const engine of engines) {
    const identity = engine.identityOf(key);
    if (identity !== undefined) return identity;
  }
  throw new HoldfastError('FORMAT_INVALID', 'a row belongs to no engine; nothing was changed');
}

function reshard(current: Manifest, tables: readonly (TableInfo | undefined)[]): Manifest {
  const applied = appliedLsn(current);
  return {
    ...current,
    shards: tables.map((info) => ({
      appliedLsn: applied,
      tables: info === undefined ? [] : [info],
    })),
    extentFiles: current.extentFiles.map((file) => ({
      ...file,
      shard: file.shard % tables.length,
    })),
  };
}

/** A clean shutdown cut every shard at one LSN. */
function appliedLsn(manifest: Manifest): Lsn {
  const [first] = manifest.shards;
  assert(first !== undefined, 'a manifest has at least one shard');
  assert(
    manifest.shards.every((shard) => shard.appliedLsn === first.appliedLsn),
    'shards were cut at different LSNs',
  );
  return first.appliedLsn;
}
