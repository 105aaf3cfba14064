/**
 * Which archive pieces hold the records behind a snapshot, by their names: each LSN once, from a
 * piece of the epoch it belongs to. Overlaps are fine; a gap ends it.
 */
import type { Lsn } from '@holdfast/core';
import type { CallOptions } from '@holdfast/objects';
import type { Lineage } from '../repository/lineage.ts';
import type { ListedPiece, Repository } from '../repository/repository.ts';

/** A piece, and what of it is wanted. */
export interface PlannedPiece {
  readonly piece: ListedPiece;
  readonly from: Lsn;
  readonly to: Lsn;
}

export interface Coverage {
  /** Consecutive; the first begins with the LSN behind `after`. */
  readonly pieces: readonly PlannedPiece[];
  /** Every LSN up to here is there. */
  readonly reached: Lsn;
  /** The newest LSN that this history is known to have. */
  readonly newest: Lsn;
  /** Where records go on behind the first gap; `undefined` when there is none. */
  readonly goesOnAt: Lsn | undefined;
}

/** @param after what the snapshot holds. */
export async function coverRecords(
  repository: Repository,
  lineage: Lineage,
  after: Lsn,
  options: CallOptions,
): Promise<Coverage> {
  const cover = new Cover(after);
  for (const { epoch, from, to = Infinity } of lineage.ranges) {
    if (to <= after) continue;
    cover.begin(from); // its writer went on from there: what comes before was written
    for await (const piece of repository.pieces({ ...options, epoch })) {
      cover.offer(piece, Math.max(piece.firstLsn, from), Math.min(piece.lastLsn, to));
    }
    cover.settle();
  }
  return cover.result();
}

class Cover {
  readonly #pieces: PlannedPiece[] = [];
  /** The LSN wanted next. */
  #wanted: number;
  #newest: number;
  #goesOnAt: number | undefined;
  /** The one that reaches furthest among those that hold `#wanted`. */
  #best: { readonly piece: ListedPiece; readonly to: number } | undefined;

  constructor(after: Lsn) {
    this.#wanted = after + 1;
    this.#newest = after;
  }

  begin(from: number): void {
    this.#newest = Math.max(this.#newest, from - 1);
    if (from > this.#wanted) this.#goesOnAt ??= from;
  }

  /** Pieces come in the order of their first LSN. */
  offer(piece: ListedPiece, from: number, to: number): void {
    if (from > to) return;
    this.#newest = Math.max(this.#newest, to);
    if (this.#goesOnAt !== undefined || to < this.#wanted) return;
    if (from > this.#wanted) this.settle();
    if (from > this.#wanted) {
      this.#goesOnAt = from;
    } else if (to >= this.#wanted && to > (this.#best?.to ?? 0)) {
      this.#best = { piece, to };
    }
  }

  /** Nothing better comes for `#wanted`. */
  settle(): void {
    const best = this.#best;
    this.#best = undefined;
    if (best === undefined) return;
    this.#pieces.push({ piece: best.piece, from: this.#wanted as Lsn, to: best.to as Lsn });
    this.#wanted = best.to + 1;
  }

  result(): Coverage {
    return {
      pieces: this.#pieces,
      reached: (this.#wanted - 1) as Lsn,
      newest: this.#newest as Lsn,
      goesOnAt: this.#goesOnAt as Lsn | undefined,
    };
  }
}
