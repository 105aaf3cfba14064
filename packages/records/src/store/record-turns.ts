/**
 * Work on records: one piece after the other on each record, in the order it was given; on different
 * records beside each other.
 *
 * Invariants
 * 1. `#busy` has exactly the records on which work is under way or waits. Work that is given to an
 *    idle record makes it busy at once, so whoever saw it idle has its next turn.
 */
import { Turns } from '@holdfast/core';
import type { RecordId } from '../record-key.ts';

interface Lane {
  readonly turns: Turns;
  given: number;
}

export class RecordTurns {
  readonly #busy = new Map<RecordId, Lane>();

  isIdle(record: RecordId): boolean {
    return !this.#busy.has(record);
  }

  async run<Result>(record: RecordId, work: () => Promise<Result>): Promise<Result> {
    let lane = this.#busy.get(record);
    if (lane === undefined) {
      lane = { turns: new Turns(), given: 0 };
      this.#busy.set(record, lane);
    }
    lane.given++;
    try {
      return await lane.turns.run(work);
    } finally {
      if (--lane.given === 0) this.#busy.delete(record);
    }
  }

  /** Resolves once no record is busy. */
  async idle(): Promise<void> {
    while (this.#busy.size > 0) {
      await Promise.all([...this.#busy.values()].map(({ turns }) => turns.idle()));
      await Promise.resolve();
    }
  }
}
