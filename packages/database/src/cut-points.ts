/** Where a crash would hurt the database most; tests arm each of them through `onCut`. */
export const DATABASE_CUT_POINTS = [
  /** The layout names the keys as they are from now on, its mirror still as they were. */
  'keys.layoutWritten',
  /** Both copies of the layout name the new key; nothing is under it. */
  'keys.entered',
  /** The log goes on under the new key; nothing else is under it. */
  'keys.logRolled',
  /** The manifest is under the new key too; what it names is not. */
  'keys.manifestWritten',
  /** A new database has a manifest and no layout yet: it is not one. */
  'database.created',
  /** This start raised the writer epoch; nothing else is open. */
  'database.epochRaised',
  /** Every file the manifest names is open, and so is the log; engines know nothing yet. */
  'database.filesOpened',
  /** Engines loaded their rows; the log behind the checkpoint is not replayed. */
  'database.rowsLoaded',
  /** Replayed; files that nobody names are still there. */
  'database.replayed',
  /** One of those files is unlinked. */
  'database.leftoverUnlinked',
  /** A checkpoint begins: nothing was taken from the engines. */
  'database.beforeCollect',
  /** The files of a cut are written and synced, their names are not. */
  'database.filesWritten',
  /** The manifest names the new files; memory still holds what is in them. */
  'database.manifestCommitted',
  /** Memory has given up what the files hold; files without a live byte are still there. */
  'database.adopted',
  /** The live bytes of sparse extent files stand in a new one that nobody names. */
  'database.extentsRewritten',
  /** A merged table is durable, nobody names it. */
  'database.compacted',
  /** The manifest names the merged table; those it was made of are still there. */
  'database.merged',
  /** The new layout of a rebalance is announced, the manifest is the old one. */
  'database.rebalanceAnnounced',
  /** The manifest is the new one, the layout still the old one. */
  'database.rebalanceCommitted',
  /** The last checkpoint of a clean stop is durable, the log is not closed. */
  'database.lastCheckpoint',
] as const;

/** Where a crash would hurt a repository most; they fire only where there is one. */
export const SNAPSHOT_CUT_POINTS = [
  /** Who creates, deletes or sweeps holds the lease; nothing else happened. */
  'backup.leaseTaken',
  /** A lease that had ended is deleted, where the store cannot replace it; none is there. */
  'backup.leaseDeleted',
  /** A snapshot has its moment: the files of that manifest are pinned. */
  'backup.filesPinned',
  /** A part is in the repository, nobody names it. */
  'backup.partPut',
  /** All parts are, nobody names them. */
  'backup.partsPut',
  /** The manifest of the snapshot is there; nobody was told. */
  'backup.snapshotPut',
  /** A manifest was deleted; its parts are there. */
  'backup.snapshotDeleted',
  /** A sweep knows what nobody needs; all of it is there. */
  'backup.sweepListed',
  /** It deleted one object of several. */
  'backup.sweptObject',
] as const;

export type DatabaseCutPoint = (typeof DATABASE_CUT_POINTS)[number];

/** The same for the archive of a database that has an object store. */
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

/** Where a crash would hurt a restore; tests arm each of them through `onCut`. */
export const RESTORE_CUT_POINTS = [
  /** The staging says what it is for; nothing is in it. */
  'restore.planned',
  /** A file of the snapshot is whole and synced; its name is not. */
  'restore.fileDone',
  /** Every file and the manifest's second copy are there; there is no log. */
  'restore.stateWritten',
  /** The log is there; nothing says which repository it came from. */
  'restore.logWritten',
  /** The staged directory is a database; it is not verified. */
  'restore.layoutWritten',
  /** Every byte and every name of it is synced; it has not got its name. */
  'restore.staged',
  /** The empty directory in its place is gone. */
  'restore.targetCleared',
  /** It has its name, which is not synced. */
  'restore.renamed',
  /** Its name is durable; the staging is still there. */
  'restore.published',
] as const;

export type RestoreCutPoint = (typeof RESTORE_CUT_POINTS)[number];
