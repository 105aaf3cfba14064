/**
 * One mutation in flight per lane (a subscription, the keys): each is planned on applied state
 * alone, after the one before it is durable or refused.
 *
 * Invariants
 * 1. A plan runs right before its commit, in the same turn.
 * 2. A lane holds at most `maxWaiting` requests of clients; the engine's own mutations, of which
 *    there is at most one per subscription, always find room.
 */
import { HoldfastError } from '@holdfast/core';
import type { CommitOptions, EngineHost, OperationSink } from '@holdfast/database';
import type { SubscriptionOperation } from './subscription-operations.ts';

export interface Mutation<T> {
  /** None: nothing is to be changed, and `result` is the answer. */
  readonly operations: readonly SubscriptionOperation[];
  readonly options?: CommitOptions;
  /** Called once durable and applied. */
  readonly result: () => T;
}

interface Waiting {
  readonly plan: () => Mutation<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class MutationQueue {
  readonly #host: () => EngineHost;
  readonly #maxWaiting: number;
  readonly #lanes = new Map<string, Waiting[]>();

  constructor(host: () => EngineHost, maxWaiting: number) {
    this.#host = host;
    this.#maxWaiting = maxWaiting;
  }

  /** For clients. Throws what the plan throws, `COMMIT_QUEUE_FULL`, and what the commit fails with. */
  async run<T>(lane: string, plan: () => Mutation<T>): Promise<T> {
    if ((this.#lanes.get(lane)?.length ?? 0) >= this.#maxWaiting) {
      throw new HoldfastError(
        'COMMIT_QUEUE_FULL',
        `too many requests wait for this subscription limit=${this.#maxWaiting}`,
      );
    }
    return this.runInternal(lane, plan);
  }

  /** The same for the engine itself. */
  runInternal<T>(lane: string, plan: () => Mutation<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting: Waiting = { plan, resolve: resolve as (value: unknown) => void, reject };
      const queue = this.#lanes.get(lane);
      if (queue !== undefined) {
        queue.push(waiting);
        return;
      }
      this.#lanes.set(lane, [waiting]);
      void this.#work(lane);
    });
  }

  async #work(lane: string): Promise<void> {
    const queue = this.#lanes.get(lane) ?? [];
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      try {
        first.resolve(await this.#commit(first.plan()));
      } catch (error) {
        first.reject(error);
      }
      queue.shift();
    }
    this.#lanes.delete(lane);
  }

  #commit<T>({ operations, options, result }: Mutation<T>): T | Promise<T> {
    if (operations.length === 0) return result();
    return new Promise<T>((resolve, reject) => {
      const sink: OperationSink = {
        visible: () => {
          try {
            resolve(result());
          } catch (error) {
            reject(error as Error);
          }
        },
        failed: reject,
      };
      this.#host().commit(operations, sink, options);
    });
  }
}
