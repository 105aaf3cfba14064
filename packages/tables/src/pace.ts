/** How background work gives way: called after some bytes of work, awaited before more. */
import { sleep, type Clock } from '@holdfast/core';

export type Pace = (bytes: number) => Promise<void> | undefined;

/** Lets the events of this turn run after every piece of work. */
export function paceByTurn(clock: Clock): Pace {
  return () => new Promise((resolve) => clock.immediate(resolve));
}

/** Debt below this is not worth a timer. */
const SHORTEST_PAUSE_MS = 5;

/**
 * Holds the work at `bytesPerSecond` on average; an idle time is not saved up. A pause ends at once,
 * with the signal's reason, when it is aborted.
 */
export function paceByRate(clock: Clock, bytesPerSecond: number, signal?: AbortSignal): Pace {
  let freeAtMs = clock.monotonicMs();
  return (bytes) => {
    const now = clock.monotonicMs();
    freeAtMs = Math.max(freeAtMs, now) + (bytes / bytesPerSecond) * 1000;
    const debtMs = freeAtMs - now;
    return debtMs < SHORTEST_PAUSE_MS ? undefined : sleep(clock, debtMs, signal);
  };
}
