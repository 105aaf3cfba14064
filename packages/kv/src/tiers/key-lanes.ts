/**
 * The order of calls, key by key: work on keys begins when all earlier work on each of them ended.
 *
 * Invariants
 * 1. Work enters all its lanes in the turn of the call: whoever came first on one key did so on all,
 *    so that no two wait for each other.
 * 2. A lane stands in `#tails` only while work is in it.
 * 3. `alone` waits for everything before it, and everything after it waits for it.
 */
export class KeyLanes {
  readonly #tails = new Map<string, Promise<void>>();
  #alone: Promise<void> | undefined;

  /** How many keys have work. */
  get size(): number {
    return this.#tails.size;
  }

  isBusy(key: string): boolean {
    return this.#tails.has(key);
  }

  /** @param keys may name one twice. */
  run<Result>(keys: readonly string[], work: () => Promise<Result>): Promise<Result> {
    const before: Promise<void>[] = [];
    if (this.#alone !== undefined) before.push(this.#alone);
    for (const key of keys) {
      const tail = this.#tails.get(key);
      if (tail !== undefined) before.push(tail);
    }
    const result = before.length === 0 ? work() : Promise.all(before).then(work);
    const tail: Promise<void> = result.then(
      () => this.#leave(keys, tail),
      () => this.#leave(keys, tail),
    );
    for (const key of keys) this.#tails.set(key, tail);
    return result;
  }

  /** I3. */
  alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = [...this.#tails.values()];
    if (this.#alone !== undefined) before.push(this.#alone);
    const result = Promise.all(before).then(work);
    const over: Promise<void> = result.then(
      () => this.#endAlone(over),
      () => this.#endAlone(over),
    );
    this.#alone = over;
    return result;
  }

  /** Resolves when everything that is in now has ended. */
  async idle(): Promise<void> {
    await Promise.all([...this.#tails.values(), this.#alone]);
  }

  #leave(keys: readonly string[], tail: Promise<void>): void {
    for (const key of keys) if (this.#tails.get(key) === tail) this.#tails.delete(key);
  }

  #endAlone(over: Promise<void>): void {
    if (this.#alone === over) this.#alone = undefined;
  }
}
