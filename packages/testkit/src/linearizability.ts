/**
 * Is there an order of these operations, each between its invocation and its return, in which a
 * sequential model gives every answer that was given? The search of Wing, Gong and Lowe, with
 * the states already tried remembered.
 *
 * Invariants
 * 1. An operation may come next when no other one left over returned before it was invoked.
 * 2. A read goes first, as soon as it may, and is never tried again later: nothing can depend on
 *    it, so an order with it later is an order with it now. Of what merely changed nothing here
 *    (a write of the value that is there) this is not true.
 * 3. The same state with the same operations left over is searched once.
 * 4. A verdict is never guessed: a search that grows too wide throws.
 */
export interface Operation<Input, Output> {
  /** Who: for the report alone. */
  readonly client: string;
  readonly input: Input;
  /** `undefined`: nobody heard of one. */
  readonly output: Output | undefined;
  /** Order numbers: of two events the earlier one has the smaller number. */
  readonly invoked: number;
  /** When it was over for certain; `Infinity` when it may still take effect. */
  readonly returned: number;
}

export interface SequentialModel<State, Input, Output> {
  readonly initial: State;
  /**
   * The states the operation may leave. None: it cannot have had this output here. More than one
   * when the output does not say which (no output: always with the one in which it never happened);
   * the likeliest first.
   */
  step(state: State, operation: Operation<Input, Output>): readonly State[];
  /** With this output it changes nothing, whatever the state. */
  isRead(operation: Operation<Input, Output>): boolean;
  /** Equal for states that behave the same. */
  key(state: State): string;
}

export interface Verdict<State, Input, Output> {
  readonly linearizable: boolean;
  /** States tried. */
  readonly explored: number;
  /** Where the longest order that was found ends; for the report. */
  readonly stuck: Stuck<State, Input, Output> | undefined;
}

export interface Stuck<State, Input, Output> {
  readonly state: State;
  readonly done: number;
  /** What could have come next, and could not have answered what it did. */
  readonly next: readonly Operation<Input, Output>[];
}

/** I4: neither right nor wrong was shown. */
export class UndecidedError extends Error {
  override readonly name = 'UndecidedError';
}

/** I4. A history of a few hundred operations needs a few hundred. */
const MAX_EXPLORED = 200_000;

export function checkLinearizable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  maxExplored: number = MAX_EXPLORED,
): Verdict<State, Input, Output> {
  return new Search(model, history, maxExplored).run();
}

/** Each key by itself: a history is linearizable when that of every object is. */
export function operationsByKey<Input, Output>(
  history: readonly Operation<Input, Output>[],
  keyOf: (operation: Operation<Input, Output>) => string,
): Map<string, Operation<Input, Output>[]> {
  const parts = new Map<string, Operation<Input, Output>[]>();
  for (const operation of history) {
    const key = keyOf(operation);
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [operation]);
    else part.push(operation);
  }
  return parts;
}

interface Choice<State> {
  readonly index: number;
  readonly state: State;
}

/** One state of the search, and what was put in order to come to it. */
interface Frame<State> {
  /** The choice that led here, and the reads behind it. */
  readonly taken: number[];
  readonly choices: Choice<State>[];
}

class Search<State, Input, Output> {
  readonly #model: SequentialModel<State, Input, Output>;
  readonly #operations: readonly Operation<Input, Output>[];
  readonly #done: Uint8Array;
  readonly #tried = new Set<string>();
  readonly #maxExplored: number;
  #doneCount = 0;
  /** The first operation that is left over. */
  #low = 0;
  #stuck: Stuck<State, Input, Output> | undefined;

  constructor(
    model: SequentialModel<State, Input, Output>,
    history: readonly Operation<Input, Output>[],
    maxExplored: number,
  ) {
    this.#model = model;
    this.#maxExplored = maxExplored;
    this.#operations = [...history].sort((a, b) => a.invoked - b.invoked);
    this.#done = new Uint8Array(history.length);
  }

  run(): Verdict<State, Input, Output> {
    const frames: Frame<State>[] = [this.#enter(this.#model.initial, [])];
    while (this.#doneCount < this.#operations.length) {
      const frame = frames[frames.length - 1];
      if (frame === undefined) return this.#verdict(false);
      const choice = frame.choices.pop();
      if (choice === undefined) {
        for (const index of frame.taken) this.#untake(index);
        frames.pop();
      } else {
        this.#take(choice.index);
        frames.push(this.#enter(choice.state, [choice.index]));
      }
    }
    return this.#verdict(true);
  }

  #enter(state: State, taken: number[]): Frame<State> {
    this.#takeReads(state, taken);
    const key = `${this.#model.key(state)} ${this.#leftOver()}`;
    if (this.#tried.has(key)) return { taken, choices: [] }; // I3
    this.#tried.add(key);
    if (this.#tried.size > this.#maxExplored) {
      throw new UndecidedError(
        `history is too wide to judge operations=${this.#operations.length}`,
      );
    }
    const candidates = this.#candidates();
    if (this.#stuck === undefined || this.#doneCount > this.#stuck.done) {
      const next = candidates.map((index) => this.#operation(index));
      this.#stuck = { state, done: this.#doneCount, next };
    }
    const choices: Choice<State>[] = [];
    for (const index of candidates) {
      for (const next of [...this.#model.step(state, this.#operation(index))].reverse()) {
        choices.push({ index, state: next });
      }
    }
    // Popped from the end: what has to be over soonest is tried first.
    choices.sort((a, b) => this.#operation(b.index).returned - this.#operation(a.index).returned);
    return { taken, choices };
  }

  /** I2. */
  #takeReads(state: State, taken: number[]): void {
    for (let found = true; found;) {
      found = false;
      for (const index of this.#candidates()) {
        const operation = this.#operation(index);
        if (!this.#model.isRead(operation)) continue;
        if (this.#model.step(state, operation)[0] !== state) continue;
        this.#take(index);
        taken.push(index);
        found = true;
      }
    }
  }

  /** I1. */
  #candidates(): number[] {
    const candidates: number[] = [];
    let firstReturn = Infinity;
    for (let i = this.#low; i < this.#operations.length; i++) {
      if (this.#done[i] === 1) continue;
      const { invoked, returned } = this.#operation(i);
      if (invoked > firstReturn) break;
      firstReturn = Math.min(firstReturn, returned);
      candidates.push(i);
    }
    return candidates.filter((index) => this.#operation(index).invoked <= firstReturn);
  }

  #take(index: number): void {
    this.#done[index] = 1;
    this.#doneCount++;
    while (this.#done[this.#low] === 1) this.#low++;
  }

  #untake(index: number): void {
    this.#done[index] = 0;
    this.#doneCount--;
    this.#low = Math.min(this.#low, index);
  }

  /** Names the set of operations that are done: all before the first left over, and some behind. */
  #leftOver(): string {
    let key = String(this.#low);
    let left = this.#doneCount - this.#low;
    for (let i = this.#low; left > 0; i++) {
      if (this.#done[i] !== 1) continue;
      key += `,${i}`;
      left--;
    }
    return key;
  }

  #operation(index: number): Operation<Input, Output> {
    return this.#operations[index] as Operation<Input, Output>;
  }

  #verdict(linearizable: boolean): Verdict<State, Input, Output> {
    const explored = this.#tried.size;
    return { linearizable, explored, stuck: linearizable ? undefined : this.#stuck };
  }
}
