/**
 * Opens a log: claims the folder, recovers what is there, begins a segment of its own.
 *
 * Order, each step durable before the next: the end of the old log, the new segment, the
 * removal of leftovers.
 */
import {
  BlockCodec,
  type Clock,
  type DirectoryLock,
  type FileSystem,
  type KeyRing,
  type Logger,
  type Lsn,
  type Random,
  SILENT,
  cut,
  hasCode,
} from '@holdfast/core';
import { CommitQueue } from './commit-queue.ts';
import { Committer } from './committer.ts';
import { Floors } from './floors.ts';
import { LiveSegments } from './live-segments.ts';
import { type CheckedLogSettings, type LogSettings, checkLogSettings } from './log-settings.ts';
import type { Log } from './log.ts';
import { Recovery } from './recovery.ts';
import { SegmentSupply } from './segment-supply.ts';
import { SegmentedLog } from './segmented-log.ts';
import { Truncation } from './truncation.ts';

export interface LogComponents {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  /** With it everything is encrypted. All keys the log was written with have to be in it. */
  readonly keys?: KeyRing;
}

/**
 * Rejects with `DIRECTORY_LOCKED`, `INVALID_SETTINGS`, `KEY_MISSING`, `KEY_REQUIRED`, or one of the
 * `corrupt` codes; then
 * nothing was changed. On a full disk the log opens in the state `full`.
 */
export async function openLog(components: LogComponents, settings: LogSettings): Promise<Log> {
  const checked = checkLogSettings(settings);
  const { fileSystem } = components;
  await fileSystem.makeDirectory(checked.dir);
  const lock = checked.lock ? await fileSystem.lockDirectory(checked.dir) : undefined;
  try {
    return await openLocked(components, checked, lock);
  } catch (error) {
    await lock?.release();
    throw error;
  }
}

async function openLocked(
  components: LogComponents,
  settings: CheckedLogSettings,
  lock: DirectoryLock | undefined,
): Promise<Log> {
  const { fileSystem } = components;
  const logger = components.logger ?? SILENT;
  const codec = new BlockCodec(settings.databaseId, components.keys);
  const recovered = await new Recovery(fileSystem, codec, settings.dir).run();
  if (recovered.tornBytes > 0) {
    logger.warn('log.torn_tail_cut', {
      bytes: recovered.tornBytes,
      nextLsn: recovered.nextLsn,
    });
  }
  const segments = new LiveSegments(recovered.segments);
  const queue = new CommitQueue(settings, recovered.nextLsn);
  const parts = { ...components, logger, codec, queue, segments };
  const committer = new Committer(
    parts,
    (recovered.nextLsn - 1) as Lsn,
    recovered.lastCommittedAtMs,
    (onFailure) =>
      new SegmentSupply(
        { ...parts, ...settings, directory: settings.dir, onFailure },
        recovered.nextSegmentId,
        recovered.tail,
      ),
  );
  const floors = new Floors();
  const { leftovers } = recovered;
  const truncation = new Truncation(fileSystem, settings.dir, segments, floors, leftovers);
  try {
    await begin(committer, truncation);
  } catch (error) {
    await committer.close().catch(() => undefined);
    throw error;
  }
  return new SegmentedLog({
    fileSystem,
    codec,
    queue,
    committer,
    segments,
    floors,
    truncation,
    lock,
    recovery: {
      segments: recovered.segments.length,
      records: recovered.records,
      tornBytes: recovered.tornBytes,
      lastLsn: (recovered.nextLsn - 1) as Lsn,
    },
  });
}

/** The new segment, then the removal of what it makes superfluous. */
async function begin(committer: Committer, truncation: Truncation): Promise<void> {
  try {
    await committer.roll();
  } catch (error) {
    // Full: the first segment is made when there is room, and leftovers stay until then.
    if (hasCode(error, 'DISK_FULL')) return;
    throw error;
  }
  await cut('log.recoveryBegun');
  await truncation.removeLeftovers();
}
