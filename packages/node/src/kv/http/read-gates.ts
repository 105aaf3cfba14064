/**
 * How many reads of a store go on at a time: what each will give is known only when it has, and may
 * be as large as a value may be. One store that does not answer keeps none of the others waiting.
 */
import { LIMITS } from '@holdfast/core';

interface Gate {
  under: number;
  readonly waiting: (() => void)[];
}

export class ReadGates {
  readonly #most: number;
  /** Of stores that are read just now. */
  readonly #gates = new Map<string, Gate>();

  constructor(most: number = LIMITS.storeReads) {
    this.#most = most;
  }

  /** In order, each when it may. */
  run<Result>(store: string, read: () => Promise<Result>): Promise<Result> {
    let gate = this.#gates.get(store);
    if (gate === undefined) {
      gate = { under: 0, waiting: [] };
      this.#gates.set(store, gate);
    }
    if (gate.under < this.#most) {
      gate.under++;
      return this.#begin(store, gate, read);
    }
    const { waiting } = gate;
    return new Promise<void>((resolve) => waiting.push(resolve)).then(() =>
      this.#begin(store, gate, read),
    );
  }

  /** In a place that is taken, which it hands on. */
  #begin<Result>(store: string, gate: Gate, read: () => Promise<Result>): Promise<Result> {
    const over = (): void => {
      const next = gate.waiting.shift();
      if (next !== undefined) next();
      else if (--gate.under === 0) this.#gates.delete(store);
    };
    let reading: Promise<Result>;
    try {
      reading = read();
    } catch (error) {
      over();
      throw error;
    }
    reading.then(over, over);
    return reading;
  }
}
