/**
 * How many calls are under way at once: what is above the limit waits, and begins in the order in
 * which it came.
 *
 * Owner: one connection, for one direction.
 */
export class CallSlots {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs `begin`, now or later; whoever's call it was calls `leave` once, when it has ended. */
  enter(begin: () => void): void {
    if (this.#taken < this.#limit) {
      this.#taken++;
      begin();
    } else {
      this.#waiting.push(begin);
    }
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken--;
    else next(); // its slot is the one that was left
  }
}
