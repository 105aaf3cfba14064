/**
 * The calls under way on one store: each ends with its caller's signal or with the store.
 *
 * Invariants
 * 1. After `close` was asked for no call starts, and the signal of every call under way is ended.
 * 2. `close` resolves when the last call has left.
 * 3. A call that has left listens to nobody's signal any more.
 */
import { HoldfastError } from '@holdfast/core';

/** One call, or the body that came out of it. */
export interface OpenCall {
  /** Its `reason` is a `HoldfastError`: `ABORTED` or `CLOSED`. */
  readonly signal: AbortSignal;
  /** Idempotent. */
  leave(): void;
}

export class OpenCalls {
  readonly #open = new Set<AbortController>();
  #closed = false;
  #onIdle: (() => void) | undefined;

  /** Throws when the store is closed or the signal has ended already. */
  enter(signal: AbortSignal | undefined): OpenCall {
    if (this.#closed) throw closedError(); // I1
    if (signal?.aborted) throw abortedError(signal);
    const controller = new AbortController();
    const onAbort = (): void => {
      if (signal !== undefined) controller.abort(abortedError(signal));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#open.add(controller);
    const leave = (): void => {
      signal?.removeEventListener('abort', onAbort); // I3
      if (this.#open.delete(controller) && this.#open.size === 0) this.#onIdle?.();
    };
    return { signal: controller.signal, leave };
  }

  async run<Result>(
    signal: AbortSignal | undefined,
    act: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const call = this.enter(signal);
    try {
      return await act(call.signal);
    } finally {
      call.leave();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const controller of [...this.#open]) controller.abort(closedError()); // I1
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      const before = this.#onIdle;
      this.#onIdle = () => {
        before?.();
        resolve(); // I2
      };
    });
  }
}

function closedError(): HoldfastError {
  return new HoldfastError('CLOSED', 'the object store is closed');
}

function abortedError(signal: AbortSignal): HoldfastError {
  const cause: unknown = signal.reason;
  return new HoldfastError('ABORTED', 'the call was ended by its signal', { cause });
}
