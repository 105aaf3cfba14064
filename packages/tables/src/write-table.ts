/** Writes one immutable sorted table. FORMAT.md, "Table". */
import type { BlockCodec, FileId, FileSystem, Lsn } from '@holdfast/core';
import type { Pace } from './pace.ts';
import type { Row } from './row.ts';
import type { TableInfo } from './table-info.ts';

export interface TableWriteComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  /** How the work gives way; default: not at all beyond the writes themselves. */
  readonly pace?: Pace;
}

export interface TableTarget {
  readonly path: string;
  readonly fileId: FileId;
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  /** Payload of one data block; default `LIMITS.tableBlockBytes`. */
  readonly blockBytes?: number;
}

export function writeTable(
  components: TableWriteComponents,
  target: TableTarget,
  rows: Iterable<Row> | AsyncIterable<Row>,
): Promise<TableInfo | undefined> {
  throw new Error(`soon ${String([components, target, rows])}`);
}
