/**
 * One moment of a running database, held still: a manifest whose files keep their names until the
 * cut is given back. What the database goes on with is beside it.
 *
 * Invariants
 * 1. Every shard stands at one LSN, and nothing is in memory only: the checkpoint before it took all.
 * 2. The files are pinned in the turn in which their manifest was the current one.
 */
import { createHash } from 'node:crypto';
import {
  assert,
  type Clock,
  type FileSystem,
  isHoldfastError,
  type Logger,
  type Lsn,
} from '@holdfast/core';
import type { Log, LogFloor } from '@holdfast/log';
import {
  type DamageListener,
  extentFileName,
  type Manifest,
  manifestFileName,
  mirrorOf,
  tableFileName,
} from '@holdfast/tables';
import type { FilePins, Pin } from '../../file-pins.ts';
import type { ManifestKeeper } from '../../manifest-keeper.ts';
import { copyInMemory, copyOnDisk, type SourceFile } from './part-upload.ts';

/** What a snapshot is made of. */
export interface SnapshotSource {
  readonly dir: string;
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly log: Log;
  readonly manifest: ManifestKeeper;
  readonly pins: FilePins;
  /** Writes a checkpoint of every shard, changed or not. */
  readonly checkpoint: () => Promise<void>;
  /** Effects up to here are visible. */
  readonly appliedLsn: () => Lsn;
  /** Hears of damage in a file. */
  readonly onDamage: DamageListener;
}

export interface SnapshotCut {
  readonly manifest: Manifest;
  readonly lsn: Lsn;
  /** Wall clock of the batch of `lsn`; of the manifest when the log no longer says. */
  readonly committedAtMs: number;
  /** Every file of the manifest, and the manifest. */
  readonly files: readonly SourceFile[];
  readonly pin: Pin;
}

/** The caller gives the pin back, whatever happens. */
export async function takeCut(source: SnapshotSource): Promise<SnapshotCut> {
  const { log, manifest: keeper, pins } = source;
  const floor = log.floor('snapshot'); // the record of the cut is read once more
  let pin: Pin | undefined;
  try {
    floor.raise(Math.max(0, source.appliedLsn() - 1) as Lsn);
    await log.roll();
    await source.checkpoint();
    const seen = await keeper.look((manifest, file) => {
      pin = pins.pin(fileIdsOf(manifest)); // I2
      return { manifest, file, pin };
    });
    const lsn = lsnOf(seen.manifest);
    const committedAtMs = (await committedAt(source, lsn)) ?? seen.manifest.writtenAtMs;
    return {
      manifest: seen.manifest,
      lsn,
      committedAtMs,
      files: filesOf(source, seen.manifest, seen.file),
      pin: seen.pin,
    };
  } catch (error) {
    await pin?.release();
    throw error;
  } finally {
    releaseFloor(floor, source);
  }
}

function lsnOf(manifest: Manifest): Lsn {
  const lsn = manifest.shards[0]?.appliedLsn ?? (0 as Lsn);
  const isOne = manifest.shards.every(({ appliedLsn }) => appliedLsn === lsn);
  assert(isOne, 'a checkpoint left shards at different positions'); // I1
  return lsn;
}

/** A log that is damaged here does not keep its state from being brought to safety. */
async function committedAt({ log, logger }: SnapshotSource, lsn: Lsn): Promise<number | undefined> {
  try {
    for await (const record of log.replay({ from: lsn, to: lsn })) return record.committedAtMs;
  } catch (error) {
    if (!isHoldfastError(error) || error.kind === 'closed') throw error;
    logger.warn('backup.timeOfCutUnknown', { lsn, code: error.code });
  }
  return undefined;
}

function fileIdsOf(manifest: Manifest): number[] {
  const tables = manifest.shards.flatMap((shard) => shard.tables);
  return [...tables, ...manifest.extentFiles].map(({ fileId }) => fileId);
}

function filesOf(
  { dir, fileSystem }: SnapshotSource,
  manifest: Manifest,
  file: Buffer,
): SourceFile[] {
  const files: SourceFile[] = [];
  for (const { tables } of manifest.shards) {
    for (const { fileId, bytes, digest } of tables) {
      const name = tableFileName(fileId);
      const path = `${dir}/${name}`;
      const copies = [path, mirrorOf(path)].map((copy) => copyOnDisk(fileSystem, copy));
      files.push({ name, bytes, digest: digest.toString('hex'), copies });
    }
  }
  for (const { fileId, bytes, digest } of manifest.extentFiles) {
    const name = extentFileName(fileId);
    const copies = [copyOnDisk(fileSystem, `${dir}/${name}`)];
    files.push({ name, bytes, digest: digest.toString('hex'), copies });
  }
  const name = manifestFileName(manifest.generation);
  const digest = createHash('sha256').update(file).digest('hex');
  const copies = [copyInMemory(`${dir}/${name}`, file)];
  files.push({ name, bytes: file.length, digest, copies });
  return files;
}

/** The next checkpoint lets the log go. */
function releaseFloor(floor: LogFloor, { log, logger }: SnapshotSource): void {
  floor.release();
  log.truncateBefore().catch((error: unknown) => {
    logger.warn('backup.logNotCut', { reason: String(error) });
  });
}
