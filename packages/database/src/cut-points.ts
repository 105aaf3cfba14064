/** Where a crash would hurt the database most; tests arm each of them through `onCut`. */
export const DATABASE_CUT_POINTS = [
  /** The layout names the keys as they are from now on, its mirror still as they were. */
  'keys.layoutWritten',
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

export type DatabaseCutPoint = (typeof DATABASE_CUT_POINTS)[number];
