export { TIER_CUT_POINTS, type TierCutPoint } from './cut-points.ts';
export { exportEntries, type ExportOptions, importEntries } from './export-entries.ts';
export { openTieredKvStore, type TieredComponents } from './open-tiered-kv-store.ts';
export {
  type RestoreOptions,
  type RestoreReport,
  type RestoreSource,
  restoreTier,
} from './restore-tier.ts';
export { type TierRule } from './tier-rules.ts';
export * from './tiered-store.ts';
