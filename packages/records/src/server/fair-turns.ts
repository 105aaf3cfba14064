/**
 * Serves questions of many peers, so many at a time; where more wait, each peer gets the next place in
 * its turn. A peer that asks a lot waits for itself.
 *
 * Invariants
 * 1. At most `#limit` pieces of work are under way, and nothing waits while there are fewer.
 * 2. `#waiting` has the peers of which something waits, in the order of their turns; each of them had
 *    its last place before those behind it.
 */
import type { PeerId } from '../coordinate.ts';

type Start = () => void;

export class FairTurns {
  readonly #limit: number;
  readonly #waiting = new Map<PeerId, Start[]>();
  #underWay = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get underWay(): number {
    return this.#underWay;
  }

  async run<Result>(peer: PeerId, work: () => Promise<Result>): Promise<Result> {
    if (this.#underWay >= this.#limit) await this.#place(peer);
    else this.#underWay++;
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  #place(peer: PeerId): Promise<void> {
    return new Promise((resolve) => {
      const starts = this.#waiting.get(peer) ?? [];
      starts.push(resolve);
      this.#waiting.set(peer, starts);
    });
  }

  /** Gives the place on, if somebody waits. */
  #next(): void {
    for (const [peer, starts] of this.#waiting) {
      const start = starts.shift() as Start;
      this.#waiting.delete(peer);
      if (starts.length > 0) this.#waiting.set(peer, starts); // I2: behind the others
      start();
      return;
    }
    this.#underWay--;
  }
}
