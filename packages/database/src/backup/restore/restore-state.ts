/**
 * The manifest of a restored database: whether the files that were fetched are the ones it names,
 * and what stands beside it in a directory.
 */
import {
  type BlockCodec,
  type Clock,
  type FileSystem,
  HoldfastError,
  LIMITS,
  type Lsn,
} from '@holdfast/core';
import {
  decodeManifest,
  extentFileName,
  type Manifest,
  manifestFileName,
  ManifestStore,
  mirrorOf,
  readWholeFile,
  replaceWholeFile,
  tableFileName,
} from '@holdfast/tables';
import type { SnapshotManifest } from '../repository/snapshot-manifest.ts';

export interface RestoredPlace {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly dir: string;
}

/** The manifest among the files, and its second copy. Rejects with `FORMAT_INVALID`. */
export async function settleManifest(
  { fileSystem, codec, dir }: RestoredPlace,
  snapshot: SnapshotManifest,
): Promise<void> {
  const { generation } = snapshot;
  const path = `${dir}/${manifestFileName(generation)}`;
  const file = await readWholeFile(fileSystem, path, LIMITS.maxManifestBytes + LIMITS.blockBytes);
  const manifest = decodeManifest(file, codec, { generation, path });
  assertSame(manifest, snapshot);
  await replaceWholeFile(fileSystem, dir, mirrorOf(path), file);
}

/** The manifest of a database in which nothing happened yet, in both copies. */
export async function writeFirstManifest(
  { fileSystem, codec, dir }: RestoredPlace,
  shardCount: number,
  clock: Clock,
): Promise<void> {
  const { store } = await ManifestStore.open({ fileSystem, codec }, dir);
  await store.commit({
    generation: 1,
    previousDigest: store.digest,
    writerEpoch: 0,
    nextFileId: 1,
    cleanShutdown: false,
    writtenAtMs: clock.now(),
    shards: Array.from({ length: shardCount }, () => ({ appliedLsn: 0 as Lsn, tables: [] })),
    extentFiles: [],
  });
}

/** The snapshot says of each file what the manifest of the database says of it. */
function assertSame(manifest: Manifest, snapshot: SnapshotManifest): void {
  const named = new Map(snapshot.files.map((file) => [file.name, file]));
  named.delete(manifestFileName(snapshot.generation));
  const isAtLsn = manifest.shards.every(({ appliedLsn }) => appliedLsn === snapshot.lsn);
  if (!isAtLsn || manifest.shards.length !== snapshot.shardCount) throw contradiction('shards');
  for (const [name, { bytes, digest }] of filesOf(manifest)) {
    const file = named.get(name);
    const isSame = file?.bytes === bytes && file.digest === digest.toString('hex');
    if (!isSame) throw contradiction(name);
    named.delete(name);
  }
  for (const name of named.keys()) throw contradiction(name);
}

function* filesOf(
  manifest: Manifest,
): Generator<readonly [name: string, file: { readonly bytes: number; readonly digest: Buffer }]> {
  for (const { tables } of manifest.shards) {
    for (const table of tables) yield [tableFileName(table.fileId), table];
  }
  for (const file of manifest.extentFiles) yield [extentFileName(file.fileId), file];
}

function contradiction(what: string): HoldfastError {
  return new HoldfastError(
    'FORMAT_INVALID',
    `the snapshot and the manifest in it do not belong together what=${what}`,
  );
}
