/** Waiting for a slow client: until it has read, gone away, or done neither for too long. */
import type { ServerResponse } from 'node:http';
import type { Clock, Timer } from '@holdfast/core';
import { bytesTakenOf } from './socket-progress.ts';

/** What a reader has to take, over each window: less is no reading. */
export interface ReadPace {
  readonly writeIdleTimeoutMs: number;
  readonly minReadBytesPerSecond: number;
}

/** `true` to go on writing; `false` when the client is gone or was given up. */
export function untilDrained(
  response: ServerResponse,
  clock: Clock,
  pace: ReadPace,
): Promise<boolean> {
  if (response.destroyed || response.closed) return Promise.resolve(false);
  if (!response.writableNeedDrain) return Promise.resolve(true);
  return settled(response, clock, pace, (onDrain) => {
    response.on('drain', onDrain);
    return () => response.off('drain', onDrain);
  });
}

/**
 * Writes views whose memory is used again: `true` once the system has taken all of them, which
 * "go on writing" does not mean when they fit into the buffer of the response.
 */
export function writeAll(
  response: ServerResponse,
  parts: readonly Buffer[],
  clock: Clock,
  pace: ReadPace,
): Promise<boolean> {
  if (response.destroyed || response.closed) return Promise.resolve(false);
  const last = parts.length - 1;
  if (last < 0) return Promise.resolve(true);
  return settled(response, clock, pace, (onTaken) => {
    response.cork();
    for (let i = 0; i < last; i++) response.write(parts[i]);
    response.write(parts[last], (error) => {
      if (!error) onTaken();
    });
    response.uncork();
    return () => undefined;
  });
}

/** @param start hears of the end of the wait; returns what stops the hearing. */
function settled(
  response: ServerResponse,
  clock: Clock,
  pace: ReadPace,
  start: (onDone: () => void) => () => void,
): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (open: boolean): void => {
      timer.cancel();
      stop();
      response.off('close', onClose);
      resolve(open);
    };
    const onClose = (): void => settle(false);
    let taken = bytesTakenOf(response);
    const watch = (): Timer =>
      clock.after(pace.writeIdleTimeoutMs, () => {
        const before = taken;
        taken = bytesTakenOf(response);
        if (taken > before && taken - before >= leastOf(pace)) {
          timer = watch();
          return;
        }
        settle(false);
        response.destroy();
      });
    let timer = watch();
    response.on('close', onClose);
    const stop = start(() => settle(true));
  });
}

/** Bytes to be taken in one window. */
function leastOf(pace: ReadPace): number {
  return (pace.minReadBytesPerSecond * pace.writeIdleTimeoutMs) / 1000;
}
