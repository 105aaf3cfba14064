/**
 * The reasons to keep segments. A floor that was never raised keeps everything.
 *
 * Invariant: a floor only rises until it is released.
 */
import type { Lsn } from '@holdfast/core';
import type { LogFloor } from './log.ts';

export class Floors {
  readonly #floors = new Set<Floor>();

  /** @param passed records up to and including this one are not needed from the start */
  add(name: string, passed: number = 0): LogFloor {
    const floor = new Floor(name, passed, () => this.#floors.delete(floor));
    this.#floors.add(floor);
    return floor;
  }

  /** Everything up to here may go; `undefined` when nobody has said what is needed. */
  lowest(): number | undefined {
    let lowest: number | undefined;
    for (const floor of this.#floors) {
      if (lowest === undefined || floor.passed < lowest) lowest = floor.passed;
    }
    return lowest;
  }
}

class Floor implements LogFloor {
  readonly name: string;
  passed: number;
  readonly #release: () => void;

  constructor(name: string, passed: number, release: () => void) {
    this.name = name;
    this.passed = passed;
    this.#release = release;
  }

  raise(lsn: Lsn): void {
    if (lsn > this.passed) this.passed = lsn;
  }

  release(): void {
    this.#release();
  }
}
