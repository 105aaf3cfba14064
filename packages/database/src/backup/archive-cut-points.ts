/** Where a crash would hurt an archive most; they fire only where there is one. */
export const ARCHIVE_CUT_POINTS = [
  /** The directory knows of a claim that the repository does not have yet. */
  'backup.claimAnnounced',
  /** The repository has the claim; the directory does not know. */
  'backup.claimPut',
  /** Both know. Nothing is archived under it. */
  'backup.claimKept',
  /** A piece is made, and no newer writer was there. */
  'backup.pieceMade',
  /** The piece is in the repository; its restore points are not. */
  'backup.piecePut',
  /** They are; the directory does not know. */
  'backup.restorePointsPut',
  /** The directory knows; the log still keeps what the piece holds. */
  'backup.archiveNoted',
] as const;

export type ArchiveCutPoint = (typeof ARCHIVE_CUT_POINTS)[number];

/** Where a crash would hurt an archive most; they fire only where there is one. */
export const ARCHIVE_CUT_POINTS = [
  /** The directory knows of a claim that the repository does not have yet. */
  'backup.claimAnnounced',
  /** The repository has the claim; the directory does not know. */
  'backup.claimPut',
  /** Both know. Nothing is archived under it. */
  'backup.claimKept',
  /** A piece is made, and no newer writer was there. */
  'backup.pieceMade',
  /** The piece is in the repository; its restore points are not. */
  'backup.piecePut',
  /** They are; the directory does not know. */
  'backup.restorePointsPut',
  /** The directory knows; the log still keeps what the piece holds. */
  'backup.archiveNoted',
] as const;

export type ArchiveCutPoint = (typeof ARCHIVE_CUT_POINTS)[number];
