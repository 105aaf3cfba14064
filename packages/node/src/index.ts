export type { EmbeddedArchive } from './administration.ts';
export type { BackupHealth, BackupStatus } from './backup/backup-status.ts';
export type { DrillResult } from './backup/drills.ts';
export type { KeyShare, KeyStatus } from './backup/embedded-keys.ts';
export type { EmbeddedKeys } from './backup/embedded-keys.ts';
export type { EmbeddedSnapshots, PruneOptions } from './backup/embedded-snapshots.ts';
export type {
  PruneResult,
  RestorePlanSummary,
  RestoreResult,
  SnapshotDetails,
  SnapshotListing,
  SnapshotSummary,
  SnapshotVerification,
} from './backup/snapshot-summary.ts';
export type { WorkOptions, WorkProgress } from './backup/work.ts';
export * from './embedded-streams.ts';
export type { HealthState } from './health.ts';
export { HoldfastNode, type NodeStats } from './holdfast-node.ts';
export type { ListenAddress } from './http-listener.ts';
export {
  generateKeyFile,
  keyFileIds,
  type KeySourceSettings,
  prependKey,
  removeKey,
} from './key-source.ts';
export { EmbeddedKv } from './kv/embedded-kv.ts';
export type { KvStoresOptions, KvStoreSummary } from './kv/kv-stores.ts';
export type {
  KvAck,
  KvCallOptions,
  KvCapabilities,
  KvChange,
  KvDeleteOptions,
  KvEngineStats,
  KvEntry,
  KvOperation,
  KvPage,
  KvPageOptions,
  KvPutOptions,
  KvRange,
  KvStore,
  KvWatchOptions,
} from '@holdfast/kv';
export * from './node-components.ts';
export * from './node-pino-logger.ts';
export { type BackupAccess, OfflineBackup, type RestoreOrder } from './offline-backup.ts';
export * from './offline.ts';
export * from './open-node.ts';
export {
  parseNodeSettings,
  SETTING_KINDS,
  type NodeSettings,
  type NodeSettingsInput,
  type SettingKind,
} from './settings.ts';
export type { ListedStream, StreamPage } from './stream-list-route.ts';
export type { StreamBatch } from './stream-reader.ts';
export type {
  EmbeddedTiers,
  ExportChoice,
  TierRepair,
  TierVerification,
} from './tiers/embedded-tiers.ts';
export type {
  MovedOutcome,
  RestoreChoice,
  RestoreOutcome,
  RewrapOutcome,
} from './tiers/tier-operations.ts';
export type { StoreTiersInput, TierPart, TiersInput } from './tiers/tier-settings.ts';
export type {
  SettingLine,
  TieredStoreState,
  TieredStoreStatus,
  TierPartStatus,
  TierProblem,
  TiersHealth,
} from './tiers/tier-status.ts';
