/** What the manifest says about one table: enough to plan merges without opening it. */
import type { FileId, Lsn } from '@holdfast/core';

export interface TableInfo {
  readonly fileId: FileId;
  /** Size of the file. */
  readonly bytes: number;
  /** Rows of the table, tombstones included. */
  readonly rows: number;
  readonly tombstones: number;
  readonly firstKey: Buffer;
  readonly lastKey: Buffer;
  /** The log records its rows stand for lie within `firstLsn` to `lastLsn`. */
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  /** SHA-256 of the whole file. */
  readonly digest: Buffer;
}
