export * from './block-cache.ts';
export * from './compaction.ts';
export * from './extent-file.ts';
export type { RebuildOptions } from './copy-file.ts';
export * from './extent-file-info.ts';
export * from './extent-file-writer.ts';
export * from './extent-ref.ts';
export type { CopyState } from './file-digest.ts';
export * from './file-names.ts';
export * from './file-problem.ts';
export { hashKey } from './key-filter.ts';
export * from './manifest.ts';
export * from './manifest-store.ts';
export * from './memtable.ts';
export * from './merge-rows.ts';
export { type DamageListener, FILE_COPIES, type FileCopy } from './mirrored-file.ts';
export * from './node-compactor.ts';
export * from './pace.ts';
export * from './plan-compaction.ts';
export * from './row.ts';
export * from './table.ts';
export * from './table-info.ts';
export type { BatchedRows } from './table-scan.ts';
export * from './tables-cut-points.ts';
export type { TableTarget, TableWriteComponents } from './table-writer.ts';
export * from './write-table.ts';
export {
  type MendedCopy,
  type MendOptions,
  mendCopies,
  problemsOfCopies,
  readEitherCopy,
  readWholeFile,
  replaceWholeFile,
} from './whole-file.ts';
