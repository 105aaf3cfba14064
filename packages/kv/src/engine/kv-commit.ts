/**
 * A commit of entries on its way. A condition that failed, or nothing to delete, is told once what it
 * saw is durable.
 */
import type { HoldfastError } from '@holdfast/core';
import { Flight, type OperationSink } from '@holdfast/database';
import type { KeyState } from './key-state.ts';

export class KvCommit extends Flight implements OperationSink {
  readonly states: readonly KeyState[];
  readonly #landed: (commit: KvCommit) => void;
  readonly #onVisible: () => void;
  readonly #onFailed: (error: HoldfastError) => void;

  constructor(
    states: readonly KeyState[],
    landed: (commit: KvCommit) => void,
    onVisible: () => void,
    onFailed: (error: HoldfastError) => void,
  ) {
    super();
    this.states = states;
    this.#landed = landed;
    this.#onVisible = onVisible;
    this.#onFailed = onFailed;
  }

  visible(): void {
    this.#landed(this);
    this.#onVisible();
    this.ended();
  }

  /** With effect `none` planned state was discarded before; otherwise nothing is planned again. */
  failed(error: HoldfastError): void {
    this.#onFailed(error);
    this.ended(error);
  }
}
