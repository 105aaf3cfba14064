export { TIER_CUT_POINTS, type TierCutPoint } from './cut-points.ts';
export { exportEntries, type ExportOptions, importEntries } from './export-entries.ts';
export { leavePlace } from './promote-backup.ts';
export { combinedCapabilities } from './tiered-backend.ts';
export { openTieredKvStore, type TieredComponents } from './open-tiered-kv-store.ts';
export {
  type RestoreOptions,
  type RestoreReport,
  type RestoreSource,
  restoreTier,
} from './restore-tier.ts';
export {
  readTierMemory,
  type TakeOverChoice,
  takeOverNext,
  type TierMemory,
} from './tier-memory.ts';
export { type PlaceMark, readPlaceMark } from './tier-place.ts';
export { type TierRule } from './tier-rules.ts';
export * from './tiered-store.ts';
