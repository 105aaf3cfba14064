/** How far the backup of a node is: for the operator, and, without names, for `/readyz`. */
import type { ArchiveStats, ScheduleStats, SnapshotStats } from '@holdfast/database';
import type { DrillStats } from './drills.ts';
import { isoTime } from './snapshot-summary.ts';

interface Failure {
  readonly code: string;
  readonly message: string;
}

export interface BackupStatus {
  /** Where it goes. */
  readonly place: string;
  /** Id of the database's part of that place. */
  readonly repository?: string;
  readonly archive: {
    readonly state: ArchiveStats['state'];
    readonly epoch?: number;
    readonly archivedLsn: number;
    /** Age of the oldest record that is not archived: what a lost disk would cost now. */
    readonly lagSeconds: number;
    readonly lagRecords: number;
    readonly lagBytes: number;
    readonly lastError?: Failure;
  };
  readonly snapshots: {
    readonly lastId?: string;
    readonly lastAt?: string;
    readonly lastLsn?: number;
    readonly ageSeconds?: number;
    /** What changes the snapshots now. */
    readonly underWay?: string;
    readonly created: number;
    readonly failed: number;
    readonly nextInSeconds?: number;
    readonly lastError?: Failure;
  };
  readonly drills: {
    readonly running: boolean;
    readonly passed: number;
    readonly failed: number;
    readonly lastAt?: string;
    readonly lastOk?: boolean;
    readonly lastLsn?: number;
    readonly lastMs?: number;
    readonly ageSeconds?: number;
    readonly problems?: readonly string[];
  };
}

export interface BackupHealth {
  readonly state: ArchiveStats['state'];
  readonly lagSeconds: number;
  readonly lastSnapshotAgeSeconds?: number;
  readonly lastDrill?: { readonly ok: boolean; readonly ageSeconds: number };
  /** Code of the last thing that failed and has not gone well since. */
  readonly lastError?: string;
}

export interface BackupFacts {
  readonly place: string;
  readonly repository: string | undefined;
  readonly archive: ArchiveStats;
  readonly snapshots: SnapshotStats | undefined;
  readonly schedule: ScheduleStats | undefined;
  readonly drills: DrillStats | undefined;
  readonly nowMs: number;
}

export function backupStatus(facts: BackupFacts): BackupStatus {
  const { place, repository, archive } = facts;
  const { state, epoch, archivedLsn, lagSeconds, lagRecords, lagBytes, lastError } = archive;
  return {
    place,
    ...given({ repository }),
    archive: {
      ...{ state, archivedLsn, lagSeconds, lagRecords, lagBytes },
      ...given({ epoch, lastError }),
    },
    snapshots: snapshotStatus(facts),
    drills: drillStatus(facts),
  };
}

export function backupHealth({ archive, snapshots, drills }: BackupStatus): BackupHealth {
  const { lastOk: ok, ageSeconds } = drills;
  return {
    state: archive.state,
    lagSeconds: archive.lagSeconds,
    ...given({
      lastSnapshotAgeSeconds: snapshots.ageSeconds,
      lastDrill: ok === undefined || ageSeconds === undefined ? undefined : { ok, ageSeconds },
      lastError: archive.lastError?.code ?? snapshots.lastError?.code,
    }),
  };
}

function snapshotStatus({ snapshots, schedule, nowMs }: BackupFacts): BackupStatus['snapshots'] {
  if (snapshots === undefined) return { created: 0, failed: 0 };
  const { lastSnapshotId, lastSnapshotAtMs, lastSnapshotLsn, underWay, created, failed } =
    snapshots;
  const known = lastSnapshotAtMs !== undefined;
  return {
    created,
    failed,
    ...given({
      lastId: lastSnapshotId,
      lastAt: known ? isoTime(lastSnapshotAtMs) : undefined,
      lastLsn: lastSnapshotLsn,
      ageSeconds: known ? seconds(nowMs - lastSnapshotAtMs) : undefined,
      underWay: underWay?.purpose,
      nextInSeconds: schedule === undefined ? undefined : seconds(schedule.nextInMs),
      lastError: failureOf(snapshots.lastError ?? schedule?.lastError),
    }),
  };
}

function drillStatus({ drills, nowMs }: BackupFacts): BackupStatus['drills'] {
  const { running = false, passed = 0, failed = 0, last } = drills ?? {};
  return {
    ...{ running, passed, failed },
    ...given({
      lastAt: last?.at,
      lastOk: last?.ok,
      lastLsn: last?.lsn,
      lastMs: last?.ms,
      ageSeconds: last === undefined ? undefined : seconds(nowMs - Date.parse(last.at)),
      problems: last === undefined || last.ok ? undefined : last.problems,
    }),
  };
}

function failureOf(error: Failure | undefined): Failure | undefined {
  return error === undefined ? undefined : { code: error.code, message: error.message };
}

function seconds(ms: number): number {
  return Math.max(0, Math.round(ms / 1000));
}

type Given<Values> = { [Key in keyof Values]?: Exclude<Values[Key], undefined> };

/** Without what nobody knows. */
function given<Values extends object>(values: Values): Given<Values> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as Given<Values>;
}
