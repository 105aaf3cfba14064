/** Waiting for a slow client: until it has read, gone away, or done neither for too long. */
import type { ServerResponse } from 'node:http';
import type { Clock } from '@holdfast/core';

/** `true` to go on writing; `false` when the client is gone or was given up. */
export function untilDrained(
  response: ServerResponse,
  clock: Clock,
  idleTimeoutMs: number,
): Promise<boolean> {
  if (response.destroyed || response.closed) return Promise.resolve(false);
  if (!response.writableNeedDrain) return Promise.resolve(true);
  return new Promise((resolve) => {
    const settle = (open: boolean): void => {
      timer.cancel();
      response.off('drain', onDrain);
      response.off('close', onClose);
      resolve(open);
    };
    const onDrain = (): void => settle(true);
    const onClose = (): void => settle(false);
    const timer = clock.after(idleTimeoutMs, () => {
      settle(false);
      response.destroy();
    });
    response.on('drain', onDrain);
    response.on('close', onClose);
  });
}
