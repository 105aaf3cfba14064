/**
 * Gives one by one what comes in batches: a promise that is made already for what is at hand.
 *
 * Invariants
 * 1. Steps are answered in the order they were asked for, also when nobody waits for them.
 * 2. Nothing begins before the first step; who leaves gives back the source, however that hangs.
 * 3. After the end, an error or `return` every step says that it is over.
 */
export interface EntryWalkRules<Entry, Given> {
  /** Called at the first step. */
  open(): AsyncIterator<readonly Entry[], unknown, undefined>;
  /** Before each entry: throws when the walk has to end. */
  check(): void;
  wants(entry: Entry): boolean;
  pick(entry: Entry): Given;
  readonly limit: number;
}

const OVER: IteratorReturnResult<undefined> = { done: true, value: undefined };

export class EntryWalk<Entry, Given> implements AsyncIterableIterator<Given, undefined, undefined> {
  readonly #rules: EntryWalkRules<Entry, Given>;
  #source: AsyncIterator<readonly Entry[], unknown, undefined> | undefined;
  #batch: readonly Entry[] = [];
  #at = 0;
  #given = 0;
  #over = false;
  /** The last step that waits, if any does. */
  #waiting: Promise<unknown> | undefined;

  constructor(rules: EntryWalkRules<Entry, Given>) {
    this.#rules = rules;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Given, undefined>> {
    if (this.#waiting !== undefined) return this.#after(this.#waiting);
    try {
      const found = this.#found();
      return found === undefined ? this.#after(undefined) : Promise.resolve(found);
    } catch (error) {
      this.#leave();
      return Promise.reject(error as Error);
    }
  }

  return(): Promise<IteratorResult<Given, undefined>> {
    this.#leave();
    return Promise.resolve(OVER);
  }

  /** I1. */
  #after(before: Promise<unknown> | undefined): Promise<IteratorResult<Given, undefined>> {
    const step = before === undefined ? this.#step() : before.then(() => this.#step());
    const settled: Promise<unknown> = step
      .catch(() => undefined)
      .then(() => {
        if (this.#waiting === settled) this.#waiting = undefined;
      });
    this.#waiting = settled;
    return step;
  }

  async #step(): Promise<IteratorResult<Given, undefined>> {
    try {
      for (;;) {
        const found = this.#found();
        if (found !== undefined) return found;
        this.#source ??= this.#rules.open();
        const { done, value } = await this.#source.next();
        if (this.#over) return OVER;
        if (done === true) this.#leave();
        else {
          this.#batch = value;
          this.#at = 0;
        }
      }
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  /** `undefined`: the next batch has to come first. */
  #found(): IteratorResult<Given, undefined> | undefined {
    if (this.#over) return OVER;
    const rules = this.#rules;
    while (this.#at < this.#batch.length) {
      rules.check();
      const entry = this.#batch[this.#at++] as Entry;
      if (!rules.wants(entry)) continue;
      this.#given++;
      if (this.#given >= rules.limit) this.#leave();
      return { done: false, value: rules.pick(entry) };
    }
    return undefined;
  }

  /** I2, I3. */
  #leave(): void {
    this.#over = true;
    this.#batch = [];
    const source = this.#source;
    this.#source = undefined;
    void source?.return?.().catch(() => undefined);
  }
}
