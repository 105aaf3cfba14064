/** The settings of a log, checked once. */
import { HoldfastError, LIMITS } from '@holdfast/core';

export interface LogSettings {
  /** Folder of the segment files; made when it is not there. */
  readonly dir: string;
  /** 16 random bytes, the same for the life of the database. */
  readonly databaseId: Uint8Array;
  /** A segment is sealed past this. Smaller: more files, earlier truncation. */
  readonly segmentTargetBytes?: number;
  /** Zeros written ahead at a time. Larger: fewer extensions, more space taken early. */
  readonly preallocateBytes?: number;
  /** A batch is written once it holds this much. Larger: more memory, longer syncs. */
  readonly maxBatchBytes?: number;
  /** Bytes waiting for the disk. Smaller: `COMMIT_QUEUE_FULL` earlier. */
  readonly maxQueuedBytes?: number;
  /** Free bytes kept on the disk. 0: full only when the disk says so. */
  readonly diskReserveBytes?: number;
  /** Whether to claim the folder; false when the caller has claimed one above it. */
  readonly lock?: boolean;
}

export type CheckedLogSettings = Required<LogSettings> & { readonly firstStepBytes: number };

/** Rejects nonsense with `INVALID_SETTINGS`; fills in what is left out. */
export function checkLogSettings(settings: LogSettings): CheckedLogSettings {
  const block = LIMITS.blockBytes;
  if (settings.dir === '') throw invalid('dir', 'must not be empty');
  if (settings.databaseId.length !== 16) throw invalid('databaseId', 'must be 16 bytes');
  const segmentTargetBytes = settings.segmentTargetBytes ?? LIMITS.segmentTargetBytes;
  const wanted = settings.preallocateBytes ?? LIMITS.preallocateBytes;
  const checked = {
    dir: settings.dir,
    databaseId: settings.databaseId,
    segmentTargetBytes: whole('segmentTargetBytes', segmentTargetBytes, 4 * block),
    preallocateBytes: blocks(
      Math.min(whole('preallocateBytes', wanted, 2 * block), segmentTargetBytes),
    ),
    maxBatchBytes: whole('maxBatchBytes', settings.maxBatchBytes ?? LIMITS.maxBatchBytes, 1),
    maxQueuedBytes: whole('maxQueuedBytes', settings.maxQueuedBytes ?? LIMITS.maxQueuedBytes, 1),
    diskReserveBytes: whole(
      'diskReserveBytes',
      settings.diskReserveBytes ?? LIMITS.diskReserveBytes,
      0,
    ),
    lock: settings.lock ?? true,
  };
  return {
    ...checked,
    firstStepBytes: Math.min(LIMITS.firstExtensionBytes, checked.preallocateBytes),
  };
}

function whole(name: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw invalid(name, `must be a whole number of bytes, at least ${least}`);
}

function blocks(bytes: number): number {
  return Math.ceil(bytes / LIMITS.blockBytes) * LIMITS.blockBytes;
}

function invalid(name: string, rule: string): HoldfastError {
  return new HoldfastError('INVALID_SETTINGS', `log setting ${name} ${rule}`);
}
