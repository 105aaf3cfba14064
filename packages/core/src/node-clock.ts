/** The real clock. One of the few files that may touch time directly. */
import type { Clock, Timer } from './clock.ts';

export class NodeClock implements Clock {
  now(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }

  immediate(callback: () => void): void {
    setImmediate(callback);
  }
}
