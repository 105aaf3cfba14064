export type { Archive, ArchiveCondition, ArchiveStats } from './backup/archive/archive.ts';
export type { BackupSettings } from './backup/database-backup.ts';
export {
  type ChangeOptions,
  type CreateSnapshotOptions,
  DatabaseSnapshots,
  type PruneReport,
  type SnapshotStats,
  type SweepOptions,
} from './backup/snapshot/database-snapshots.ts';
export type { RetentionRules } from './backup/snapshot/retention.ts';
export type {
  SnapshotInfo,
  SnapshotList,
  UnreadableSnapshot,
} from './backup/snapshot/snapshot-catalog.ts';
export type { SnapshotKind, SnapshotManifest } from './backup/repository/snapshot-manifest.ts';
export type { ScheduleStats } from './backup/snapshot/snapshot-schedule.ts';
export type {
  SnapshotProblem,
  SnapshotVerifyReport,
  VerifyProgress,
} from './backup/snapshot/snapshot-verify.ts';
export type { SnapshotProgress } from './backup/snapshot/snapshot-writer.ts';
export type { SweepReport } from './backup/snapshot/sweep.ts';
export {
  type RestoreComponents,
  restoreDatabase,
  type RestoreProgress,
  type RestoreReport,
  type RestoreSettings,
} from './backup/restore/restore.ts';
export {
  type DrillLook,
  type DrillReport,
  drillRestore,
  type DrillSettings,
} from './backup/restore/restore-drill.ts';
export {
  planRestore,
  type RestorePlan,
  type RestoreRequest,
  type RestoreTarget,
} from './backup/restore/restore-plan.ts';
export {
  type OpenedRepository,
  openRepositoryForRestore,
  repositoriesIn,
  type RepositoryChoice,
} from './backup/restore/restore-repository.ts';
export { rowsOfAllShards } from './all-rows.ts';
export type { KeyHolder, KeyStatus, KeyUse } from './key-care.ts';
export { DATABASE_CUT_POINTS, type DatabaseCutPoint } from './cut-points.ts';
export { Database, type DatabaseState, type DatabaseStats } from './database.ts';
export type { Damage, DamageKind, DamageState, IntegrityStats } from './damage-list.ts';
export * from './engine.ts';
export { Flight, parkOnAll } from './flight.ts';
export { type DatabaseComponents, type DatabaseSettings, openDatabase } from './open-database.ts';
export { rebalanceDatabase, type RebalanceReport } from './rebalance-database.ts';
export type { ScrubReport } from './scrubber.ts';
export type { StateProblem } from './state-verify.ts';
export { type DatabaseVerifyReport, verifyDatabase } from './verify-database.ts';
// What an engine needs of the rooms below, so that engines import the database alone.
export { LOG_CUT_POINTS, RECORD_RANGES, REQUIRED_RECORD } from '@holdfast/log';
export {
  decodeExtentRef,
  encodeExtentRef,
  EXTENT_REF_BYTES,
  type ExtentRef,
  type KeyRange,
  prefixRange,
  type Row,
  TABLES_CUT_POINTS,
} from '@holdfast/tables';
