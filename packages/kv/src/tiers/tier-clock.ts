/**
 * The numbers of a tiered store: versions of entries, intents and changes come from one counter,
 * which never goes back, also over a crash and onto another machine.
 */
export class TierClock {
  #now: number;

  constructor(now: number) {
    this.#now = now;
  }

  /** The highest number that was given. */
  get now(): number {
    return this.#now;
  }

  tick(): number {
    this.#now++;
    return this.#now;
  }

  /** Numbers go on above this one. */
  raise(to: number): void {
    this.#now = Math.max(this.#now, to);
  }
}
