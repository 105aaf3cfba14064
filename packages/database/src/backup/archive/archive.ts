/** The archive of an open database, as others see it. */
import type { Lsn } from '@holdfast/core';

export type ArchiveCondition =
  /** Not the writer of the repository yet. */
  | 'claiming'
  /** All is well; what is durable is archived within the interval. */
  | 'archiving'
  /** The last attempt failed; it goes on by itself. */
  | 'behind'
  /** Another node is the writer now. */
  | 'fenced'
  /** The repository and this directory do not go together. */
  | 'refused'
  | 'closed';

export interface ArchiveStats {
  readonly state: ArchiveCondition;
  /** Of our claim; `undefined` while claiming. */
  readonly epoch: number | undefined;
  /** Everything up to here is in the repository; 0 while nobody knows. */
  readonly archivedLsn: Lsn;
  /** Age of the oldest record that is not archived; 0 for none. */
  readonly lagSeconds: number;
  readonly lagRecords: number;
  /** Bytes of the log that they take, at most. */
  readonly lagBytes: number;
  readonly pieces: number;
  readonly pieceBytes: number;
  /** Of the last attempt, when it failed. */
  readonly lastError: { readonly code: string; readonly message: string } | undefined;
}

/** What others see of it. */
export interface Archive {
  stats(): ArchiveStats;
  /** Archives everything durable now. Rejects with what the first attempt after the call says. */
  flush(): Promise<void>;
}
