/**
 * Compares what a repository holds of one epoch beyond what this directory remembers with its log:
 * after a crash pieces may have been put that nobody noted.
 */
import { hasCode, type Lsn } from '@holdfast/core';
import { CORE_RECORDS, type Log, type StoredRecord } from '@holdfast/log';
import type { CallOptions } from '@holdfast/objects';
import type { ListedPiece, Repository } from '../repository/repository.ts';
import { decodeRestorePointName } from '../repository/restore-point.ts';

export interface ArchiveComparisonParts {
  readonly repository: Repository;
  readonly log: Log;
  readonly epoch: number;
}

export interface Compared {
  /** Up to here archive and log hold the same. */
  readonly same: Lsn;
  /** Up to here the archive goes without a gap, and can be read. */
  readonly archived: Lsn;
}

export class ArchiveComparison {
  readonly #parts: ArchiveComparisonParts;

  constructor(parts: ArchiveComparisonParts) {
    this.#parts = parts;
  }

  /** Whether the piece from `from` to `lsn` is there, or was swept behind a snapshot. */
  async stillHolds(from: Lsn, lsn: Lsn, options: CallOptions): Promise<boolean> {
    if (from === 0) return true; // nothing of this epoch was archived
    for await (const piece of this.#pieces(from, options)) {
      if (piece.firstLsn > from) break;
      if (piece.lastLsn === lsn) return true;
    }
    const snapshots = await this.#parts.repository.snapshots(options);
    return snapshots.some((snapshot) => snapshot.lsn >= lsn);
  }

  /**
   * @param from compares what comes after this...
   * @param oldest ...and is still in the log. What is not counts as the same.
   */
  async run(from: Lsn, oldest: Lsn, options: CallOptions): Promise<Compared> {
    let at = from;
    for await (const piece of this.#pieces((from + 1) as Lsn, options)) {
      if (piece.firstLsn !== at + 1) break;
      if (piece.lastLsn >= oldest) {
        const same = await this.#compare(piece, oldest, options);
        if (same === undefined) break; // damaged: archived anew
        if (same !== piece.lastLsn) return { same, archived: piece.lastLsn };
      }
      at = piece.lastLsn;
    }
    return { same: at, archived: at };
  }

  /** The last LSN up to which both are the same. */
  async #compare(piece: ListedPiece, oldest: Lsn, options: CallOptions): Promise<Lsn | undefined> {
    const archived = await this.#read(piece, options);
    if (archived === undefined) return undefined;
    const from = Math.max(piece.firstLsn, oldest) as Lsn;
    const to = Math.min(piece.lastLsn, this.#parts.log.durableLsn) as Lsn;
    let same = (from - 1) as Lsn;
    if (to >= from) {
      for await (const record of this.#parts.log.replay({ from, to })) {
        const other = archived[record.lsn - piece.firstLsn];
        if (other === undefined || !isSame(record, other)) return same;
        same = record.lsn;
      }
    }
    if (same === piece.lastLsn) await this.#putRestorePoints(archived, options);
    return same;
  }

  async #read(
    piece: ListedPiece,
    options: CallOptions,
  ): Promise<readonly StoredRecord[] | undefined> {
    try {
      return (await this.#parts.repository.readPiece(piece, options)).records;
    } catch (error) {
      if (hasCode(error, 'CHECKSUM_MISMATCH') || hasCode(error, 'FORMAT_INVALID')) return undefined;
      throw error;
    }
  }

  /** The process that put the piece may have ended before it put these. */
  async #putRestorePoints(records: readonly StoredRecord[], options: CallOptions): Promise<void> {
    const { repository, epoch } = this.#parts;
    for (const point of restorePointsIn(records, epoch)) {
      await repository.putRestorePoint(point, options);
    }
  }

  #pieces(from: Lsn, options: CallOptions): AsyncGenerator<ListedPiece, void, void> {
    const { repository, epoch } = this.#parts;
    return repository.pieces({
      ...options,
      epoch,
      after: repository.names.piecesFrom(epoch, from),
    });
  }
}

export function restorePointsIn(
  records: readonly StoredRecord[],
  epoch: number,
): { name: string; lsn: Lsn; epoch: number; committedAtMs: number }[] {
  return records.flatMap(({ type, payload, lsn, committedAtMs }) => {
    if (type !== CORE_RECORDS.restorePoint) return [];
    const name = decodeRestorePointName(payload);
    return name === undefined ? [] : [{ name, lsn, epoch, committedAtMs }];
  });
}

function isSame(a: StoredRecord, b: StoredRecord): boolean {
  return (
    a.lsn === b.lsn &&
    a.type === b.type &&
    a.shard === b.shard &&
    a.tenant === b.tenant &&
    a.committedAtMs === b.committedAtMs &&
    a.payload.equals(b.payload)
  );
}
