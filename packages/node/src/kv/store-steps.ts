/**
 * The steps of a walk or a watch over a store of the pool.
 *
 * Invariants
 * 1. The store is given back once, when the steps end, in whatever way.
 * 2. Once their life is over every step is `CLOSED`, also one that waits.
 */
import { hasCode, HoldfastError } from '@holdfast/core';
import type { HoldProcess } from '../node-keep-alive.ts';

export interface TakenSteps<Each> {
  /** End by a signal when the life is over. */
  readonly steps: AsyncIterator<Each, unknown>;
  readonly giveBack: () => void;
}

export interface StepsLife {
  readonly isOver: () => boolean;
  /** Called while a step is waited for. */
  readonly hold: HoldProcess;
}

export class StoreSteps<Each> implements AsyncIterableIterator<Each, undefined, undefined> {
  readonly #begin: () => TakenSteps<Each>;
  readonly #life: StepsLife;
  #taken: TakenSteps<Each> | undefined;
  #ended = false;

  /** @param begin a function is called with the first step. */
  constructor(begin: TakenSteps<Each> | (() => TakenSteps<Each>), life: StepsLife) {
    this.#begin = typeof begin === 'function' ? begin : () => begin;
    if (typeof begin !== 'function') this.#taken = begin;
    this.#life = life;
  }

  async next(): Promise<IteratorResult<Each, undefined>> {
    if (this.#ended) return DONE;
    const release = this.#life.hold();
    try {
      this.#taken ??= this.#begin();
      const step = await this.#taken.steps.next();
      if (this.#life.isOver()) throw closedStore();
      if (step.done !== true) return step;
      this.#end();
      return DONE;
    } catch (error) {
      this.#end();
      throw this.#life.isOver() && hasCode(error, 'ABORTED') ? closedStore() : error;
    } finally {
      release();
    }
  }

  async return(): Promise<IteratorResult<Each, undefined>> {
    this.#end();
    return DONE;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#taken?.giveBack();
    // What hangs in a step would hold up whoever leaves.
    void this.#taken?.steps.return?.().catch(() => undefined);
  }
}

const DONE = { done: true, value: undefined } as const;

export function closedStore(): HoldfastError {
  return new HoldfastError('CLOSED', 'the store is closed');
}
