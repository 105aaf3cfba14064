/**
 * The seam for time and scheduling. Product code never touches `Date.now`, timers or
 * `setImmediate`: under simulation one seed decides all of it.
 */
export interface Timer {
  /** Idempotent. After it returns the callback will not run. */
  cancel(): void;
}

export interface Clock {
  /** Wall clock in ms since the Unix epoch. May jump; only for display, TTL and time anchors. */
  now(): number;
  /** Monotonic ms from an arbitrary start. For durations and timeouts. */
  monotonicMs(): number;
  /** Runs `callback` once after `delayMs`. Never keeps a process alive by itself. */
  after(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` after the I/O events of this turn: everything that arrived together is seen. */
  immediate(callback: () => void): void;
}

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason as Error);
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
