/**
 * Who asked what, when, and what was answered: the history that is judged at the end.
 *
 * Invariants
 * 1. Every event has an order number of its own: nothing happens "at the same time".
 * 2. What was asked and not answered stays open until the network says that it is over.
 * 3. A request the network repeated is one more operation nobody heard of.
 */
import type { Clock } from '@holdfast/core';
import type { Operation } from '@holdfast/testkit';

/** With what it was about and the virtual time it took. */
export interface RecordedOperation<Input, Output> extends Operation<Input, Output> {
  readonly path: string;
  readonly invokedMs: number;
  readonly returnedMs: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class HistoryRecorder<Input, Output> {
  readonly #clock: Clock;
  readonly #operations = new Set<Mutable<RecordedOperation<Input, Output>>>();
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get operations(): readonly RecordedOperation<Input, Output>[] {
    return [...this.#operations];
  }

  begin(client: string, path: string, input: Input): RecordedRequest<Input, Output> {
    return new RecordedRequest(this.#add(client, path, input), {
      repeat: () => this.#add(client, path, input),
      end: (operation) => this.#end(operation),
      drop: (operation) => this.#operations.delete(operation),
    });
  }

  /** The order number of now; for what is recorded whole, later. */
  now(): { readonly order: number; readonly ms: number } {
    return { order: ++this.#last, ms: this.#clock.monotonicMs() };
  }

  /** Something seen between then and now. */
  saw(
    client: string,
    path: string,
    input: Input,
    output: Output,
    since: { readonly order: number; readonly ms: number },
  ): void {
    const operation = this.#add(client, path, input);
    operation.invoked = since.order;
    operation.invokedMs = since.ms;
    operation.output = output;
    this.#end(operation);
  }

  #add(client: string, path: string, input: Input): Mutable<RecordedOperation<Input, Output>> {
    const operation: Mutable<RecordedOperation<Input, Output>> = {
      client,
      path,
      input,
      output: undefined,
      invoked: ++this.#last,
      returned: Infinity,
      invokedMs: this.#clock.monotonicMs(),
      returnedMs: Infinity,
    };
    this.#operations.add(operation);
    return operation;
  }

  #end(operation: Mutable<RecordedOperation<Input, Output>>): void {
    operation.returned = ++this.#last;
    operation.returnedMs = this.#clock.monotonicMs();
  }
}

interface Recording<Input, Output> {
  repeat(): Mutable<RecordedOperation<Input, Output>>;
  end(operation: Mutable<RecordedOperation<Input, Output>>): void;
  drop(operation: Mutable<RecordedOperation<Input, Output>>): void;
}

/** One request while it is under way. */
export class RecordedRequest<Input, Output> {
  readonly #operation: Mutable<RecordedOperation<Input, Output>>;
  readonly #recording: Recording<Input, Output>;
  #ghost: Mutable<RecordedOperation<Input, Output>> | undefined;
  #settled = false;
  #onSettled: (() => void)[] = [];

  constructor(
    operation: Mutable<RecordedOperation<Input, Output>>,
    recording: Recording<Input, Output>,
  ) {
    this.#operation = operation;
    this.#recording = recording;
  }

  answered(output: Output): void {
    this.#operation.output = output;
    this.#recording.end(this.#operation);
  }

  /** It had no effect for certain, or none that matters. */
  drop(): void {
    this.#recording.drop(this.#operation);
  }

  /** I3. */
  repeated(): void {
    this.#ghost = this.#recording.repeat();
    this.#ghost.invoked = this.#operation.invoked;
    this.#ghost.invokedMs = this.#operation.invokedMs;
  }

  /** I2. */
  settle(): void {
    this.#settled = true;
    if (this.#operation.returned === Infinity) this.#recording.end(this.#operation);
    if (this.#ghost !== undefined) this.#recording.end(this.#ghost);
    for (const resolve of this.#onSettled) resolve();
  }

  /** Resolves when nothing of it can take effect any more. */
  whenSettled(): Promise<void> {
    if (this.#settled) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onSettled.push(resolve);
    });
  }
}
