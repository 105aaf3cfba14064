/** The cut points of this package, so that tests can prove that each one fired. */
export const TABLES_CUT_POINTS = [
  'file.leftoverUnlinked',
  'file.written',
  'file.synced',
  'mirror.written',
  'mirror.renamed',
  'mirror.directorySynced',
  'manifest.synced',
  'manifest.renamed',
  'manifest.directorySynced',
  'manifest.olderUnlinked',
] as const;
export type TablesCutPoint = (typeof TABLES_CUT_POINTS)[number];
