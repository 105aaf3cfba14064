/**
 * Snapshots, restores and drills as the node shows them, embedded, over HTTP and on the command
 * line: plain values that are the same in JSON. docs/CLI.md has the shapes.
 */
import type {
  PruneReport,
  RestorePlan,
  RestoreReport,
  SnapshotInfo,
  SnapshotList,
  SnapshotManifest,
  SnapshotVerifyReport,
} from '@holdfast/database';

export interface SnapshotSummary {
  readonly id: string;
  readonly kind: 'full' | 'incremental';
  /** Of the writer that made it. */
  readonly epoch: number;
  /** The last record it holds. */
  readonly lsn: number;
  /** The moment it holds: when that record was committed. */
  readonly at: string;
  readonly createdAt: string;
  readonly files: number;
  readonly bytes: number;
  /** That the repository did not hold before. */
  readonly newBytes: number;
}

export interface SnapshotListing {
  /** The newest first. */
  readonly snapshots: readonly SnapshotSummary[];
  /** Listed, and not to be used. */
  readonly unreadable: readonly {
    readonly id: string;
    readonly lsn: number;
    readonly problem: { readonly code: string; readonly message: string };
  }[];
}

export interface SnapshotDetails extends Omit<SnapshotSummary, 'files'> {
  readonly files: readonly {
    readonly name: string;
    readonly bytes: number;
    /** SHA-256, hexadecimal. */
    readonly digest: string;
    readonly parts: number;
  }[];
}

export interface SnapshotVerification {
  readonly id: string;
  /** A restore from it would succeed. */
  readonly ok: boolean;
  readonly files: number;
  readonly parts: number;
  readonly bytes: number;
  readonly problems: readonly {
    readonly kind: string;
    readonly file: string;
    /** Of the object. */
    readonly key?: string;
    readonly message: string;
  }[];
}

export interface PruneResult {
  readonly deleted: readonly string[];
  readonly kept: readonly string[];
  readonly removed: {
    readonly parts: number;
    readonly pieces: number;
    readonly marks: number;
    readonly bytes: number;
  };
  readonly dryRun: boolean;
}

export interface RestorePlanSummary {
  readonly repository: string;
  /** Of the last writer of the history that is restored. */
  readonly epoch: number;
  /** The last record of the restored database. */
  readonly lsn: number;
  readonly at: string;
  /** What `latest` is. */
  readonly latestLsn: number;
  /** Absent: everything is replayed. */
  readonly snapshot?: string;
  readonly pieces: number;
  readonly records: number;
  readonly objects: number;
  readonly bytes: number;
}

export interface RestoreResult {
  readonly repository: string;
  readonly into: string;
  readonly lsn: number;
  readonly at: string;
  readonly snapshot?: string;
  readonly files: number;
  readonly bytes: number;
  readonly records: number;
  readonly ms: number;
}

export function snapshotSummary(info: SnapshotInfo): SnapshotSummary {
  const { snapshotId, kind, epoch, lsn, committedAtMs, createdAtMs } = info;
  return {
    id: snapshotId,
    kind,
    epoch,
    lsn,
    at: isoTime(committedAtMs),
    createdAt: isoTime(createdAtMs),
    files: info.fileCount,
    bytes: info.totalBytes,
    newBytes: info.uploadedBytes,
  };
}

export function snapshotListing({ snapshots, unreadable }: SnapshotList): SnapshotListing {
  return {
    snapshots: snapshots.map(snapshotSummary),
    unreadable: unreadable.map(({ snapshotId, lsn, problem }) => ({
      id: snapshotId,
      lsn,
      problem: { code: problem.code, message: problem.message },
    })),
  };
}

export function snapshotDetails(manifest: SnapshotManifest): SnapshotDetails {
  const { files } = manifest;
  const summary = snapshotSummary({ ...manifest, fileCount: files.length, partCount: 0 });
  return {
    ...summary,
    files: files.map(({ name, bytes, digest, parts }) => ({
      name,
      bytes,
      digest,
      parts: parts.length,
    })),
  };
}

export function snapshotVerification(
  id: string,
  { problems, files, parts, bytes }: SnapshotVerifyReport,
): SnapshotVerification {
  return { id, ok: problems.length === 0, files, parts, bytes, problems };
}

export function pruneResult({ deleted, kept, sweep }: PruneReport): PruneResult {
  const { parts, pieces, restorePoints, bytes, dryRun } = sweep;
  return { deleted, kept, removed: { parts, pieces, marks: restorePoints, bytes }, dryRun };
}

export function restorePlanSummary(plan: RestorePlan): RestorePlanSummary {
  const { repositoryId, epoch, lsn, committedAtMs, latestLsn, snapshot, pieces } = plan;
  return {
    repository: repositoryId,
    epoch,
    lsn,
    at: isoTime(committedAtMs),
    latestLsn,
    ...(snapshot === undefined ? {} : { snapshot: snapshot.snapshotId }),
    pieces: pieces.length,
    records: plan.records,
    objects: plan.objects,
    bytes: plan.bytes,
  };
}

export function restoreResult(into: string, report: RestoreReport): RestoreResult {
  const { repositoryId, lsn, committedAtMs, snapshotId, files, bytes, records, ms } = report;
  return {
    repository: repositoryId,
    into,
    lsn,
    at: isoTime(committedAtMs),
    ...(snapshotId === undefined ? {} : { snapshot: snapshotId }),
    files,
    bytes,
    records,
    ms: Math.round(ms),
  };
}

export function isoTime(atMs: number): string {
  return new Date(atMs).toISOString();
}
