/** So many at a time, in the order they came. */
import { throwIfEnded, unlessEnded } from './object-errors.ts';

export class Permits {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves to what gives the permit back; call it once. */
  async acquire(signal: AbortSignal): Promise<() => void> {
    throwIfEnded(signal);
    if (this.#free > 0) {
      this.#free--;
    } else {
      let take = (): void => undefined;
      const turn = new Promise<void>((resolve) => {
        take = resolve;
        this.#waiting.push(take);
      });
      try {
        await unlessEnded(signal, turn);
      } catch (error) {
        const at = this.#waiting.indexOf(take);
        if (at >= 0) this.#waiting.splice(at, 1);
        else this.#release(); // it came too late for us
        throw error;
      }
    }
    return () => this.#release();
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
