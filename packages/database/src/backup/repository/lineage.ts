/**
 * Whose history each LSN belongs to. Writers follow one another, and sometimes one goes on from an
 * older point of another (a restore, a take-over): claims form a tree, and a lineage is the path
 * from its root to one of them.
 *
 * Invariants
 * 1. Ranges are consecutive and rise; each belongs to one epoch, and epochs rise with them.
 * 2. An epoch counts from its claim's `from` up to where its successor on the path begins, whatever
 *    else it left in the repository.
 */
import { HoldfastError, type Lsn } from '@holdfast/core';
import type { WriterClaim } from './writer-claim.ts';

export interface LineageRange {
  readonly epoch: number;
  readonly from: Lsn;
  /** `undefined`: open end. */
  readonly to: Lsn | undefined;
}

export class Lineage {
  /** The writer at its end. */
  readonly epoch: number;
  /** Rising. An epoch that has nothing on this path is left out. */
  readonly ranges: readonly LineageRange[];
  readonly #claims: ReadonlyMap<number, WriterClaim>;

  constructor(claims: ReadonlyMap<number, WriterClaim>, epoch: number) {
    this.#claims = claims;
    this.epoch = epoch;
    const ranges: LineageRange[] = [];
    let to: Lsn | undefined;
    for (const claim of pathFrom(claims, epoch)) {
      if (to !== undefined && claim.from > to) continue; // its successor goes back behind it
      ranges.push({ epoch: claim.epoch, from: claim.from, to });
      to = (claim.from - 1) as Lsn;
    }
    this.ranges = ranges.reverse();
  }

  /** Where it begins: before that there is only what a snapshot holds. */
  get from(): Lsn {
    return this.ranges[0]?.from as Lsn;
  }

  /** The epoch whose piece holds this record; `undefined` before the first. */
  epochAt(lsn: Lsn): number | undefined {
    return this.ranges.findLast(({ from }) => from <= lsn)?.epoch;
  }

  /** Whether the state that the writer of `epoch` had after `lsn` is one of this history. */
  holds(epoch: number, lsn: Lsn): boolean {
    if (!this.#claims.has(epoch)) return false;
    return originOf(this.#claims, epoch, lsn) === originOf(this.#claims, this.epoch, lsn);
  }
}

/**
 * @param asOf the history as this epoch knew it; default: the newest.
 * @throws `FILE_MISSING` when a claim that another one names is not there.
 */
export function resolveLineage(
  claims: readonly WriterClaim[],
  asOf: number | undefined = newestOf(claims),
): Lineage | undefined {
  if (asOf === undefined) return undefined;
  return new Lineage(new Map(claims.map((claim) => [claim.epoch, claim])), asOf);
}

function newestOf(claims: readonly WriterClaim[]): number | undefined {
  return claims.reduce<number | undefined>(
    (newest, { epoch }) => (newest === undefined || epoch > newest ? epoch : newest),
    undefined,
  );
}

/** The claim of `epoch`, and those it goes on from. A parent is older, so this ends. */
function* pathFrom(
  claims: ReadonlyMap<number, WriterClaim>,
  epoch: number,
): Generator<WriterClaim, void, void> {
  for (let next = epoch; next !== 0;) {
    const claim = claims.get(next);
    if (claim === undefined) {
      throw new HoldfastError('FILE_MISSING', `writer claim is missing epoch=${next}`, {
        details: { epoch: next },
      });
    }
    yield claim;
    next = claim.parent;
  }
}

/** Who wrote `lsn`, by the path of `epoch`; before its beginning, minus the epoch that began it. */
function originOf(claims: ReadonlyMap<number, WriterClaim>, epoch: number, lsn: Lsn): number {
  let root = 0;
  for (const claim of pathFrom(claims, epoch)) {
    if (claim.from <= lsn) return claim.epoch;
    root = claim.epoch;
  }
  return -root;
}
